"""Limits change without a restart: at once, everywhere, whole or not at all; what was used stays."""

from pathlib import Path
from typing import Any

import pytest

from tests.control.conftest import Open
from tests.control.rig import Door, until

READER = (
    "[reader]\nanonymous = {{ rpm = 50 }}\nkey = {{ rpm = {rpm} }}\npremium = {{ rpm = 500 }}\n"
)


@pytest.fixture
def products(tmp_path: Path) -> Path:
    path = tmp_path / "products.toml"
    path.write_text(READER.format(rpm=2))
    return path


def _write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".fresh")
    fresh.write_text(text)
    fresh.replace(path)


async def _catalogue(door: Door) -> dict[str, Any]:
    told = await door.ops("GET", "/admin/catalogue")
    assert told.status == 200
    document: dict[str, Any] = told.json()
    return document


async def _put(door: Door, path: Path, text: str) -> None:
    """In force by itself in every process; no call asks for it."""
    before = (await _catalogue(door))["version"]
    _write(path, text)

    async def done() -> bool:
        found = await _catalogue(door)
        return found["version"] != before and found["everywhere"] and not found["refused"]

    await until(done)


async def test_a_changed_file_is_in_force_and_what_was_used_stays_used(
    open_door: Open, products: Path
) -> None:
    async with open_door(PRODUCTS=str(products)) as door:
        key = (await door.mint())["api_key"]
        await door.spend(key)
        await door.spend(key)
        await door.spend(key, expected=429)
        await _put(door, products, READER.format(rpm=3))
        # Raised: at once, though the refusal of a moment ago is remembered, and only by what is new.
        await door.spend(key)
        await door.spend(key, expected=429)
        await _put(door, products, READER.format(rpm=1))
        told = await door.spend(key, expected=429)
        assert 0 < int(told["retry-after"]) <= 60
        assert told["x-ratelimit-limit-requests"] == "1"
        assert (await door.me(key))["limits"]["reader"]["rpm"] == 1
        paper = await door.ask("GET", "/openapi.json")
        assert b'"rpm":1' in paper.body or b"1 request" in paper.body


WRONG = [
    ("[reader]\nkey = 5\n", "must be a table"),
    ("[reader]\nanonymous = 'blocked'\n", "reader.anonymous is blocked or opened"),
    ("[reader]\n[embeddings]\n", "embeddings is new"),
    ("[embeddings]\n", "reader is gone"),
    ("[reader]\nmaximum_tokens = 7\n", "reader.maximum_tokens has changed"),
    ("[limits]\nfree_trial_tokens = 7\n[reader]\n", "[limits] has changed"),
    ("not toml", "not TOML"),
]


async def test_a_file_that_cannot_follow_is_refused_whole(open_door: Open, products: Path) -> None:
    async with open_door(PRODUCTS=str(products)) as door:
        before = await _catalogue(door)
        for text, sentence in WRONG:
            # Its good part is refused with the rest.
            _write(products, text)
            told = await door.ops("POST", "/admin/catalogue/reload")
            assert told.status == 409, text
            assert told.json()["code"] == "CATALOGUE_REFUSED"
            assert sentence in told.json()["detail"]
            found = await _catalogue(door)
            assert found["version"] == before["version"]
            assert sentence in " ".join(found["refused"])
            assert (await door.ops("GET", "/ready")).status == 200
        metrics = (await door.ops("GET", "/metrics")).body.decode()
        assert 'sluice_catalogue_reloads_total{result="refused"}' in metrics
        assert f'version="{before["version"]}"' in metrics
        key = (await door.mint())["api_key"]
        assert (await door.spend(key))["x-ratelimit-limit-requests"] == "2"
        products.unlink()
        assert (await door.ops("POST", "/admin/catalogue/reload")).status == 409
        assert (await door.spend(key)).status == 200


async def test_the_call_answers_when_every_process_has_it(open_door: Open, products: Path) -> None:
    async with open_door(PRODUCTS=str(products)) as door:
        assert (await door.ops("POST", "/admin/catalogue/reload")).json()["everywhere"]
        _write(products, READER.format(rpm=9))
        told = await door.ops("POST", "/admin/catalogue/reload")
        assert told.status == 200
        document = told.json()
        assert document["file"] == str(products)
        names = {each["process"].partition("-")[0] for each in document["processes"]}
        assert names == {"test", "operations"}

        async def everywhere() -> bool:
            return bool((await _catalogue(door))["everywhere"])

        await until(everywhere)
        key = (await door.mint())["api_key"]
        assert (await door.spend(key))["x-ratelimit-limit-requests"] == "9"
        assert (await door.ops("POST", "/admin/catalogue/reload", document={"a": 1})).status == 400


async def test_the_built_in_catalogue_cannot_be_reloaded(open_door: Open) -> None:
    async with open_door() as door:
        told = await door.ops("POST", "/admin/catalogue/reload")
        assert told.status == 409
        assert "SLUICE_PRODUCTS" in told.json()["detail"]
