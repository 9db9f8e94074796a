"""A gateway that is told to stop while answers stream: they end whole, or are cut and free."""

import asyncio

from tests.edge.client import head
from tests.edge.door import API, TRIAL, running
from tests.edge.stage import Stage, final
from tests.edge.stub import Stub


async def test_a_stream_that_runs_is_told_to_its_end_and_charged(
    environ: dict[str, str], deepsearch: Stub
) -> None:
    with running(environ) as door:
        key = await door.key()
        stage = Stage(door, key, deepsearch)
        await stage.begin()
        await stage.sees(1_000)
        async with await door.wire() as idle:
            assert (await idle.ask(head("GET", "/health", [("host", API)]))).status == 200
            stopping = asyncio.create_task(asyncio.to_thread(door.stop))
            # It has heard when it ends who asks nothing.
            assert await idle.ended() == b""
        await stage.sees(2_000)
        await stage.finish(final(3_000), b"data: [DONE]\n\n")
        rest = await asyncio.wait_for(stage.wire.reader.readuntil(b"\r\n0\r\n"), 30)
        assert b'"total_tokens": 3000' in rest
        await stopping
        await stage.wire.close()
    with running(environ) as again:
        assert await again.balance(key) == TRIAL - 3_000


async def test_a_stream_that_hangs_is_cut_when_the_drain_is_over_and_is_free(
    environ: dict[str, str], deepsearch: Stub
) -> None:
    with running(environ, SLUICE_DRAIN_MS="500") as door:
        key = await door.key()
        stage = Stage(door, key, deepsearch)
        await stage.begin()
        await stage.sees(1_000)
        await asyncio.to_thread(door.stop)
        assert b"\r\n0\r\n" not in await stage.wire.ended()
        await stage.wire.close()
        await stage.hung_up.wait()
    with running(environ) as again:
        assert await again.balance(key) == TRIAL
        (row,) = await again.rows(key)
        assert (row.outcome, row.cost_tokens) == ("gateway_failed", 0)
