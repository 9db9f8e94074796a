"""Limits that are only tried, of a tier and of a key; what was used, kept; and the log replayed."""

import argparse
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.commands import simulate_limits
from gateway.settings import load_settings
from tests.control.conftest import Open
from tests.control.rig import COST_TOKENS, TOKEN, Door, until

IN_FORCE = """\
[reader]
anonymous = { rpm = 50 }
key = { rpm = 6 }
premium = { rpm = 500 }
shadow = { key = { rpm = 2, tpm = 1_000_000 }, anonymous = { rpm = 1 } }
"""
WANTED = "[reader]\nanonymous = { rpm = 1 }\nkey = { rpm = 4 }\npremium = { rpm = 500 }\n"


async def _shadow(door: Door, name: str) -> dict[str, float]:
    """Of each tier and dimension."""
    text = (await door.ops("GET", "/metrics")).body.decode()
    lines = [line for line in text.splitlines() if line.startswith(f"sluice_shadow_{name}_total{{")]
    found = {}
    for line in lines:
        labels, _, value = line.partition("{")[2].rpartition("} ")
        named = dict(each.split("=") for each in labels.replace('"', "").split(","))
        assert named["product"] == "reader"
        found[f"{named['tier']} {named['dimension']}"] = float(value)
    return found


async def test_a_shadow_tells_what_it_would_have_refused_and_refuses_nothing(
    open_door: Open, tmp_path: Path
) -> None:
    products = tmp_path / "products.toml"
    products.write_text(IN_FORCE)
    async with open_door(PRODUCTS=str(products)) as door:
        minted = await door.mint()
        key = minted["api_key"]
        for _ in range(5):
            await door.spend(key)
        for _ in range(3):
            told = await door.ask("GET", "/https://example.com/", host="r.localhost")
            assert told.status == 200

        async def counted() -> bool:
            # What it would have refused did not count: two of five were let in.
            looked, refused = await _shadow(door, "looked"), await _shadow(door, "refused")
            return looked == {"key rpm": 5, "key tpm": 5, "anonymous rpm": 3} and refused == {
                "key rpm": 3,
                "anonymous rpm": 2,
            }

        await until(counted)
        # Of this key alone, in place of the tier's; the same window goes on.
        path = f"/admin/keys/{minted['key_id']}/limits"
        told = await door.ops("PUT", path, document={"reader": {"shadow_rpm": 3}})
        assert told.json()["limits"] == {"reader": {"shadow_rpm": 3}}
        assert (await door.spend(key))["x-ratelimit-limit-requests"] == "6"
        await door.spend(key, expected=429)

        async def not_refused() -> bool:
            looked, refused = await _shadow(door, "looked"), await _shadow(door, "refused")
            return looked["key rpm"] == 6 and refused["key rpm"] == 3

        await until(not_refused)


async def test_a_keys_limits_of_tokens_change_on_every_node_and_what_was_used_stays(
    open_door: Open,
) -> None:
    async with open_door() as here, open_door() as there:
        minted = await here.mint()
        key, path = minted["api_key"], f"/admin/keys/{minted['key_id']}/limits"
        await here.ops("PUT", path, document={"reader": {"tpm": 1_000_000}})
        await here.spend(key)
        await there.spend(key)
        for limit in (1_000_000, 600_000, 2_000_000):
            await there.ops("PUT", path, document={"reader": {"tpm": limit}})

            async def kept(limit: int = limit) -> bool:
                shown = (await here.me(key))["limits"]["reader"]
                left = (shown["tpm"], shown["remaining_tokens"])
                return left == (limit, limit - 2 * COST_TOKENS)

            await until(kept)
        # Below what is used: refused until it has slid out, at once on both.
        await here.ops("PUT", path, document={"reader": {"tpm": COST_TOKENS}})
        for door in (here, there):
            told = await door.spend(key, expected=429)
            assert 0 < int(told["retry-after"]) <= 60
            assert told["x-ratelimit-limit-tokens"] == str(COST_TOKENS)


def _simulated(folder: Path, capsys: pytest.CaptureFixture[str], **more: Any) -> Any:
    plan = folder / "wanted.toml"
    plan.write_text(WANTED)
    settings = load_settings(
        {
            "SLUICE_DATA_DIR": str(folder),
            "SLUICE_KEY_PEPPER": "the-pepper-of-the-tests-0123456789",
            "SLUICE_ADMIN_TOKEN": TOKEN,
        }
    )
    given = {
        "plan": plan,
        "since": "1h",
        "product": None,
        "folder": None,
        "key": None,
        "json": True,
    }
    code = simulate_limits.execute(settings, argparse.Namespace(**{**given, **more}))
    text = capsys.readouterr().out
    return code, text if "json" in more else orjson.loads(text)


async def test_the_log_of_a_gateway_is_replayed_under_another_plan(
    open_door: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    products = tmp_path / "products.toml"
    products.write_text(IN_FORCE)
    async with open_door(PRODUCTS=str(products)) as door:
        minted = await door.mint()
        for _ in range(6):
            await door.spend(minted["api_key"])
        await door.spend(minted["api_key"], expected=429)
        for _ in range(3):
            await door.ask("GET", "/https://example.com/", host="r.localhost")
    code, found = _simulated(tmp_path, capsys, key=minted["key_id"])
    assert code == 0
    assert found["arrivals"] == 10
    assert found["unread"] == []
    rows = {row["tier"]: row for row in found["tiers"]}
    assert (rows["key"]["refused_in_force"], rows["key"]["refused_by_plan"]) == (1, 3)
    assert (rows["key"]["newly_refused"], rows["key"]["newly_admitted"]) == (2, 0)
    assert rows["anonymous"]["newly_refused"] == 2
    assert found["subjects_newly_refused"] == 2
    assert found["key"][0]["newly_refused"] == 2
    assert {row["subject"] for row in found["subjects"]} >= {found["key"][0]["subject"]}
    code, text = _simulated(tmp_path, capsys, json=False)
    assert "2 subjects would be refused that were not" in text
    assert not list((tmp_path / "arrivals").rglob("*127.0.0.1*"))
