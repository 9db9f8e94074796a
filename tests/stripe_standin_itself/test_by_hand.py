"""Run by hand: one process, its words, its state over a restart; nothing is left behind."""

import asyncio
import sys
from pathlib import Path

import aiohttp

from tests.stripe_standin import StandIn, state, up


async def _started(file: Path) -> tuple[asyncio.subprocess.Process, str]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.stripe_standin", "--port", "0", "--state", str(file)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    words = (await child.stdout.readline()).decode().split()
    return child, next(word for word in words if word.startswith("http"))


async def test_it_keeps_what_it_knows_and_ends_with_zero(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    for names in (["Ada"], ["Bob", "Ada"]):
        child, base = await _started(file)
        auth = {"Authorization": "Bearer sk_test_standin"}
        async with aiohttp.ClientSession(headers=auth) as browser:
            url = f"{base}/v1/customers"
            async with browser.post(url, data={"name": names[0]}) as reply:
                assert reply.status == 200
            async with browser.get(url) as reply:
                assert [one["name"] for one in (await reply.json())["data"]] == names
        child.terminate()
        assert await child.wait() == 0


async def test_a_state_that_was_kept_is_the_same_world(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    async with StandIn() as first:
        first.promotion("HALF", percent=50)
        state.save(first.desk.world, file)
    second = StandIn()
    assert state.load(second.desk.world, file) == first.port
    assert second.desk.world.tables == first.desk.world.tables
    assert second.desk.world.kinds == first.desk.world.kinds


def test_the_welcome_names_the_pages_and_buys_a_pack_with_the_key() -> None:
    told = up.welcome("http://127.0.0.1:8490", "http://127.0.0.1:8080", "sluice_abc")
    assert "http://127.0.0.1:8490/_control" in told
    assert "Bearer sluice_abc" in told
    assert "http://127.0.0.1:8080/v1/billing/checkout" in told
