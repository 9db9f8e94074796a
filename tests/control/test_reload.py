"""Limits change without a restart: everywhere, whole or not at all; what was used stays used."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.commands import doctor, limits
from gateway.errors import ConfigurationFault
from gateway.products.builtin import version_of
from gateway.settings import load_settings
from tests.control.conftest import Open
from tests.control.rig import TOKEN, Door, until

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
        # Raised: at once, though a refusal is remembered, and only by what is new.
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


def _said(
    door: Door, folder: Path, products: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """`sluice limits ...` on this machine: its exit code, and what it prints."""
    settings = load_settings(
        {
            "SLUICE_DATA_DIR": str(folder),
            "SLUICE_ADMIN_TOKEN": TOKEN,
            "SLUICE_OPS_PORT": str(door.ops_port),
            "SLUICE_PRODUCTS": str(products),
        }
    )
    parser = argparse.ArgumentParser()
    limits.add_arguments(parser)
    try:
        code = limits.execute(settings, parser.parse_args(words))
    except ConfigurationFault as fault:
        return 2, str(fault)
    return code, capsys.readouterr().out


async def test_apply_checks_a_file_and_then_puts_it_in_force(
    open_door: Open, products: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = tmp_path / "wanted.toml"
    wanted.write_text(READER.format(rpm=4))
    async with open_door(PRODUCTS=str(products)) as door:

        async def say(*words: str) -> tuple[int, str]:
            return await asyncio.to_thread(_said, door, tmp_path, products, list(words), capsys)

        before = await _catalogue(door)
        code, text = await say("apply", str(wanted), "--check")
        assert code == 0
        assert text.splitlines() == [
            f"now:  {before['version']} {products}, named by SLUICE_PRODUCTS",
            f"then: {version_of(wanted.read_text())} {wanted}",
            "reader.key: rpm 2, tpm -, at once 2 -> rpm 4, tpm -, at once 4",
        ]
        code, text = await say("apply", str(products), "--check")
        assert (code, text.splitlines()[2:]) == (0, ["no limit changes"])
        assert (await _catalogue(door))["version"] == before["version"]
        code, text = await say("apply", str(wanted))
        after = await _catalogue(door)
        assert code == 0
        assert after["everywhere"]
        assert after["version"] != before["version"]
        assert text.count(after["version"]) == len(after["processes"])
        assert products.read_text() == wanted.read_text()
        assert (await say("reload", "--json"))[0] == 0
        # What the gateways would refuse does not get there.
        wanted.write_text("[embeddings]\n")
        code, text = await say("apply", str(wanted))
        assert code == 2
        assert "reader is gone" in text
        assert (await _catalogue(door))["version"] == after["version"]
        assert sorted(path.name for path in tmp_path.glob("*.toml*")) == [
            "products.toml",
            "wanted.toml",
        ]


@pytest.mark.parametrize(("words", "undone"), [(["--check"], "compare it with"), ([], "replace")])
def test_apply_without_a_file_in_force_says_that_there_is_nothing_to_compare(
    products: Path, words: list[str], undone: str
) -> None:
    parser = argparse.ArgumentParser()
    limits.add_arguments(parser)
    arguments = parser.parse_args(["apply", str(products), *words])
    # The command line makes exit code 2 of it.
    with pytest.raises(ConfigurationFault, match=f"nothing to {undone}: SLUICE_PRODUCTS is not"):
        limits.execute(load_settings({}), arguments)


async def test_doctor_tells_of_a_process_with_another_catalogue(
    open_door: Open, products: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"SLUICE_DATA_DIR": str(tmp_path), "SLUICE_PRODUCTS": str(products)}
    async with open_door(PRODUCTS=str(products)) as door:

        async def told(*words: str) -> bool:
            await asyncio.to_thread(doctor.execute, environ, argparse.Namespace(settings=False))
            line = next(x for x in capsys.readouterr().out.splitlines() if "products" in x)
            return all(word in line for word in words)

        version = (await _catalogue(door))["version"]
        await until(lambda: told("1 in the catalogue", version))
        _write(products, READER.format(rpm=7) + "maximum_tokens = 9\n")
        await until(lambda: told(version, "in force", "sluice limits reload"))
