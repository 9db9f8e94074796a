"""Clients that take or send nothing any more: seen, and nobody waits for them for ever."""

import asyncio

import pytest

from tests.edge.door import READER, Door, Key
from tests.edge.paying import AT_ONCE_S, only_row, request
from tests.edge.scripts import HEADER, LARGE
from tests.edge.stub import Stub, Turn


async def test_who_is_killed_in_his_upload_while_the_service_takes_nothing_is_seen(
    door: Door, key: Key, reader: Stub
) -> None:
    """Nothing is read from a client whose service is full, so that only its socket tells.

    Who closes in the usual way is not seen: his last word waits behind what he has sent.
    """
    cut, loop = asyncio.Event(), asyncio.get_running_loop()

    async def script(turn: Turn) -> None:
        await asyncio.wait_for(cut.wait(), 60)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await turn.read_body()

    reader.script = script
    wire = await door.wire()
    wire.writer.write(request(key, host=READER, target="/", body=b" " * 50_000_000))
    await reader.turn()
    await asyncio.sleep(0.2)
    began_s = loop.time()
    wire.reset()
    row = await only_row(door, key)
    assert loop.time() - began_s < AT_ONCE_S
    assert (row.outcome, row.cost_tokens) == ("client_left_before", 0)
    cut.set()


async def test_who_holds_up_his_answer_until_its_deadline_pays_for_it(
    door: Door, key: Key, rerank: Stub
) -> None:
    """It is not the service that was too slow; and it is not kept waiting any longer."""
    hung_up = asyncio.Event()

    async def script(turn: Turn) -> None:
        try:
            await turn.begin(headers=HEADER)
            await turn.chunk(b"{")
            while True:
                await turn.chunk(b" " * LARGE)
        finally:
            hung_up.set()

    rerank.script = script
    wire = await door.wire(small_window=True)
    await wire.send(request(key, target="/v1/rerank"))
    await wire.reply_head()
    await asyncio.wait_for(hung_up.wait(), 2.4 + AT_ONCE_S)
    await wire.ended()
    row = await only_row(door, key)
    # Our own count: rerank of this catalogue does not report in a header.
    assert (row.outcome, row.cost_tokens) == ("client_left_midway", 3)
    await wire.close()


async def test_who_takes_nothing_of_his_answer_any_more_is_taken_for_gone(
    door: Door, key: Key, embeddings: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.edge.server._STALL_S", 0.1)

    async def script(turn: Turn) -> None:
        await turn.begin(headers=HEADER)
        while True:
            await turn.chunk(b"x" * LARGE)

    embeddings.script = script
    wire = await door.wire(small_window=True)
    await wire.send(request(key))
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens) == ("client_left_midway", 7)
    await wire.close()
