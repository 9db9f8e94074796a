"""Durable first, then the last byte; and what happens when nothing can be made durable."""

import asyncio

import pytest

from tests.edge.client import Wire, head
from tests.edge.door import API, DEEPSEARCH, TRIAL, Door, Key, running, until
from tests.edge.faults import failing_disk, frozen_spool
from tests.edge.paying import BODY, Cost, embed, paid
from tests.edge.scripts import HEADER, LARGE
from tests.edge.stub import SSE, Stub, Turn, used

EVENT = b'data: {"choices": [{"delta": {"content": "x"}, "finish_reason": null}]}\n\n'
LAST = b'data: {"choices": [{"finish_reason": "stop"}], "usage": {"total_tokens": 11}}\n\n'
# As long as a byte that must not come is waited for.
SILENCE_S = 0.15


async def begun(door: Door, key: Key, host: str = API, target: str = "/v1/embeddings") -> Wire:
    wire = await door.wire()
    await wire.send(
        head("POST", target, [("host", host), key.bearer, ("content-length", str(len(BODY)))])
        + BODY
    )
    return wire


async def silent(wire: Wire) -> None:
    """Nothing comes."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.reader.read(1), SILENCE_S)


async def some(wire: Wire) -> bytes:
    """What comes within a moment, if anything does."""
    try:
        return await asyncio.wait_for(wire.reader.read(65_536), SILENCE_S)
    except TimeoutError:
        return b""


async def chunks(wire: Wire, size: int) -> bytes:
    """So many body bytes, however they are cut into chunks."""
    body = b""
    while len(body) < size:
        length = int(await wire.line(), 16)
        body += await wire.reader.readexactly(length)
        assert await wire.line() == b""
    return body


async def test_no_byte_of_a_small_answer_goes_before_its_outcome_is_durable(
    door: Door, key: Key, embeddings: Stub
) -> None:
    with frozen_spool(door):
        wire = await begun(door, key)
        await embeddings.turn()
        await silent(wire)
        assert len(embeddings.turns) == 1
    assert (await wire.reply()).body == used(7)
    await wire.close()


async def test_the_last_byte_of_a_streamed_answer_waits_for_its_outcome(
    door: Door, key: Key, embeddings: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.begin(headers=HEADER)
        await turn.chunk(b"x" * LARGE)
        await asyncio.sleep(0.05)
        await turn.end()

    embeddings.script = script
    with frozen_spool(door):
        wire = await begun(door, key)
        assert (await wire.reply_head())["transfer-encoding"] == "chunked"
        assert await chunks(wire, LARGE - 1) == b"x" * (LARGE - 1)
        await silent(wire)
    assert await chunks(wire, 1) == b"x"
    assert await wire.line() == b"0"
    await wire.close()


async def test_the_last_byte_of_an_answer_of_known_length_waits_for_its_outcome(
    door: Door, key: Key, embeddings: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.reply(b"x" * 2 * LARGE, headers=HEADER, kind="text/plain")

    embeddings.script = script
    with frozen_spool(door):
        wire = await begun(door, key)
        assert (await wire.reply_head())["content-length"] == str(2 * LARGE)
        came = b""
        while len(came) < LARGE:
            came += await wire.reader.readexactly(min(10_000, LARGE - len(came)))
        while piece := await some(wire):
            came += piece
        assert len(came) < 2 * LARGE
    assert len(await wire.reader.readexactly(2 * LARGE - len(came)))
    await wire.close()


async def test_the_last_event_of_a_stream_waits_for_its_outcome(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    """Although the service ends the stream a little later."""

    async def script(turn: Turn) -> None:
        await turn.begin(kind=SSE)
        await turn.chunk(EVENT)
        await asyncio.sleep(0.02)
        await turn.chunk(EVENT)
        await asyncio.sleep(0.02)
        await turn.chunk(LAST)
        await asyncio.sleep(0.02)
        await turn.end()

    deepsearch.script = script
    with frozen_spool(door):
        wire = await begun(door, key, DEEPSEARCH, "/v1/chat/completions")
        await wire.reply_head()
        assert await chunks(wire, 2 * len(EVENT)) == 2 * EVENT
        await silent(wire)
    assert await chunks(wire, len(LAST)) == LAST
    await wire.close()


async def test_events_in_the_middle_of_a_stream_wait_for_nothing(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    """Each is with the client before the service says the next."""
    said, heard = asyncio.Event(), asyncio.Event()

    async def script(turn: Turn) -> None:
        await turn.begin(kind=SSE)
        for _ in range(20):
            await turn.chunk(EVENT)
            said.set()
            await asyncio.wait_for(heard.wait(), 30)
            heard.clear()
        await turn.chunk(LAST)
        await turn.end()

    deepsearch.script = script
    wire = await begun(door, key, DEEPSEARCH, "/v1/chat/completions")
    await wire.reply_head()
    for _ in range(20):
        assert await asyncio.wait_for(chunks(wire, len(EVENT)), 30) == EVENT
        heard.set()
    assert await chunks(wire, len(LAST)) == LAST
    await wire.close()


async def test_a_full_disk_refuses_before_the_service_is_asked_and_heals_by_itself(
    environ: dict[str, str], embeddings: Stub
) -> None:
    with running(environ) as door:
        key = await door.key()
        with failing_disk(door):
            reply = await embed(door, key)
            assert (reply.status, reply["x-usage-tokens"]) == (503, "0")
            assert len(embeddings.turns) == 1, "nobody knew of the disk yet"
            refused = await embed(door, await door.key())
            assert (refused.status, refused["retry-after"]) == (503, "1")
            assert len(embeddings.turns) == 1

        async def healed() -> bool:
            return (await embed(door, await door.key())).status == 200

        await until(healed)
        await paid(door, key, reply.request_id, Cost("gateway_failed", reported=7))
        assert await door.balance(key) == TRIAL
