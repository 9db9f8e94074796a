"""A real gateway process whose event loop is held up: who is let go, who goes on, and the end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.edge.client import Reply, Wire, head
from tests.edge.conftest import free_port
from tests.edge.door import API, READER, Door, Key, running, until
from tests.edge.paying import BODY
from tests.edge.process import GatewayProcess, gateway_process
from tests.edge.stub import Stub

# Between two levels: late enough to shed whoever has no key, not enough to shed keys.
HELD_S = 0.3
LOOSE_S = 0.06


@asynccontextmanager
async def held_up(pid: int) -> AsyncIterator[None]:
    """The process runs a sixth of the time, in pieces."""

    async def pulse() -> None:
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(HELD_S)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(LOOSE_S)

    task = asyncio.create_task(pulse())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        os.kill(pid, signal.SIGCONT)


async def embed_at(wire: Wire, key: Key) -> Reply:
    lines = [("host", API), key.bearer, ("content-length", str(len(BODY)))]
    return await wire.ask(head("POST", "/v1/embeddings", lines) + BODY)


async def read_at(wire: Wire, door: Door) -> Reply:
    return await wire.ask(head("GET", "/https://a.example/", [("host", READER), door.address()]))


def is_shed(reply: Reply) -> bool:
    if reply.status != 503:
        assert reply.status == 200
        return False
    assert "SERVICE_OVERLOADED" in (reply.json().get("code"), reply.json().get("reason"))
    assert 1 <= int(reply["retry-after"]) <= 4
    assert reply["x-usage-tokens"] == "0"
    return True


async def test_premium_goes_on_while_who_has_no_key_is_shed_and_all_come_back(
    door: Door, environ: dict[str, str], tmp_path: Path, embeddings: Stub, reader: Stub
) -> None:
    premium = await door.key(paid=1_000_000)
    async with (
        gateway_process(environ, free_port(), tmp_path) as process,
        await process.wire() as wire,
        await process.wire() as other,
    ):
        assert (await embed_at(wire, premium)).status == 200
        assert (await read_at(other, door)).status == 200
        shed = await _both(process, door, premium, wire, other)
        reached = len(reader.turns)

        async def all_are_back() -> bool:
            return not is_shed(await read_at(other, door))

        # Within the patience of `until`; 10 s are promised, of a machine that has time for it.
        await until(all_are_back)
        assert shed >= 5
        assert len(reader.turns) == reached + 1


async def _both(process: GatewayProcess, door: Door, premium: Key, wire: Wire, other: Wire) -> int:
    """Until five without a key were shed and five of premium answered since the first of them."""
    shed = answered = premium_shed = 0
    async with held_up(process.pid), asyncio.timeout(200):
        while shed < 5 or answered < 5:
            shed += is_shed(await read_at(other, door))
            gone = is_shed(await embed_at(wire, premium))
            premium_shed += gone
            answered += bool(shed) and not gone
            # Money is never shed, nor is who asks how we are.
            for target in ("/v1/keys/me", "/health"):
                lines = [("host", API), premium.bearer]
                assert (await other.ask(head("GET", target, lines))).status == 200
    # One who is asked a moment later may be met by a higher level.
    assert premium_shed <= shed + 1
    return shed


async def test_the_order_of_shedding_and_that_nothing_is_counted_or_charged(
    environ: dict[str, str], embeddings: Stub, reader: Stub, segmenter: Stub
) -> None:
    """Segments without a key first, pages without one, keys, premium; money and probes never."""
    with running(environ) as door:
        await door.run(_hold_the_timer(door))
        for level in (0, 1, 2, 3, 4, 0):
            await _at_level(door, level)


async def _hold_the_timer(door: Door) -> None:
    timer = door.node.pipeline._parts.shedder._overload._timer
    assert timer is not None
    timer.cancel()


async def _at_level(door: Door, level: int) -> None:
    telemetry, overload = door.node.ground.telemetry, door.node.pipeline._parts.shedder._overload
    counted = telemetry.degraded.labels("shed")
    key, premium, here = await door.key(), await door.key(paid=1_000_000), door.address()
    overload.level = 0
    for one in (premium, key):
        assert (await door.ask("POST", "/v1/embeddings", key=one, body=BODY)).status == 200
    overload.level, before = level, counted.value
    replies = [
        await door.ask("POST", "/v1/segment", body=b'{"content": "x"}', headers=[here]),
        await door.ask("GET", "/https://a.example/", host=READER, headers=[here]),
        await door.ask("POST", "/v1/embeddings", key=key, body=BODY),
        await door.ask("POST", "/v1/embeddings", key=premium, body=BODY),
        await door.ask("GET", "/v1/keys/me", key=key),
        await door.ask("GET", "/health"),
    ]
    assert [reply.status for reply in replies] == [503] * level + [200] * (6 - level)
    assert sum(is_shed(reply) for reply in replies[:4]) == level
    assert counted.value - before == level
    assert sum(child.value for _, child in telemetry.shed.series()) == counted.value
    door.node.readiness._known = None
    ready = await door.ask("GET", "/ready")
    assert ready.status == 200
    assert ("overload" in ready.json().get("degraded", ())) == (level > 0)
    for one, rank in ((key, 2), (premium, 3)):
        standing = (await door.at_rest(one.subject)).products["embeddings"]
        used = standing.limit_requests - standing.remaining_requests
        assert used == (1 if level > rank else 2)
