"""What clients may take of a gateway's patience: places, time for a head, room for bodies."""

import asyncio

import pytest

from tests.edge.client import head
from tests.edge.door import API, READER, TRIAL, Door, Key, running, until
from tests.edge.paying import AT_ONCE_S, embed
from tests.edge.scripts import answering
from tests.edge.stub import Stub, Turn, used

SLOW = b"GET /https://a.example/ HTTP/1.1\r\nhost: r.localhost\r\n"


async def test_a_head_that_does_not_end_in_time_is_refused(environ: dict[str, str]) -> None:
    """However it trickles; a connection on which nothing was said may stay."""
    with running(environ, SLUICE_HEADER_DEADLINE_MS="150") as door:
        async with await door.wire() as idle, await door.wire() as wire:
            await wire.send(SLOW)
            trickle = asyncio.create_task(_trickle(wire.writer))
            reply = await wire.reply()
            assert reply.status == 408
            assert reply.json()["name"] == "RequestTimeoutError"
            assert await wire.ended() == b""
            trickle.cancel()
            assert await idle.is_open()


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"a: b\r\n")
        await asyncio.sleep(0.03)


async def test_one_client_too_many_is_turned_away_in_json(environ: dict[str, str]) -> None:
    with running(environ, SLUICE_MAX_CONNECTIONS="3") as door:
        wires = [await door.wire() for _ in range(3)]
        for wire in wires:
            assert (await wire.ask(head("GET", "/health", [("host", API)]))).status == 200
        async with await door.wire() as wire:
            reply = await wire.reply()
            assert (reply.status, reply["retry-after"]) == (503, "1")
            assert reply.json()["code"] == "SERVICE_OVERLOADED"
            assert await wire.ended() == b""
        await wires[0].close()

        async def is_gone() -> bool:
            return len(door.node.server.connections) == 2

        await until(is_gone)
        async with await door.wire() as wire:
            assert (await wire.ask(head("GET", "/health", [("host", API)]))).status == 200
        for wire in wires[1:]:
            await wire.close()


async def test_bodies_beyond_the_room_for_them_are_refused_and_the_room_is_given_back(
    door: Door, key: Key, classifier: Stub
) -> None:
    classifier.script = answering(used(7))
    room = door.node.pipeline._parts.measurer.room
    whole = room.left_bytes
    body = b'{"classifier_id": "x", "input": "%b"}' % (b"y" * 1_000_000)
    reply = await door.ask("POST", "/v1/classify", key=key, body=body)
    assert reply.status == 200
    assert room.left_bytes == whole
    room.left_bytes = 500_000
    try:
        reply = await door.ask("POST", "/v1/classify", key=key, body=body)
        assert (reply.status, reply["retry-after"]) == (503, "1")
        assert reply.json()["code"] == "SERVICE_OVERLOADED"
        assert room.left_bytes == 500_000
        small = b'{"classifier_id": "x", "input": "y"}'
        assert (await door.ask("POST", "/v1/classify", key=key, body=small)).status == 200
    finally:
        room.left_bytes = whole
    await door.at_rest(key.subject, "classify_few_shot")
    assert await door.balance(key) == TRIAL - 14


@pytest.mark.parametrize("kind", ["idle", "busy"])
async def test_a_stop_waits_for_requests_and_not_for_idle_clients(
    environ: dict[str, str], embeddings: Stub, kind: str
) -> None:
    loop = asyncio.get_running_loop()
    with running(environ) as door:
        key = await door.key()
        async with await door.wire() as idle:
            assert (await idle.ask(head("GET", "/health", [("host", API)]))).status == 200
            asked = asyncio.create_task(embed(door, key)) if kind == "busy" else None
            if asked is not None:
                embeddings.script = _slow
                await embeddings.turn()
            began_s = loop.time()
            await asyncio.to_thread(door.stop)
            assert loop.time() - began_s < 20
            if asked is not None:
                assert (await asked).status == 200
            assert not await idle.is_open()


async def _slow(turn: Turn) -> None:
    await asyncio.sleep(0.3)
    await answering(used(7))(turn)


async def test_a_service_that_is_not_deployed_is_told_in_its_hosts_envelope(
    door: Door, key: Key
) -> None:
    reply = await door.ask("GET", "/a%20query", host="s.localhost", key=key)
    assert reply.status == 503
    assert reply.json()["name"] == "ServiceDisabledError"
    assert reply["x-usage-tokens"] == "0"
    reply = await door.ask("GET", "/s/a%20query", host="127.0.0.1", key=key)
    assert reply.json()["name"] == "ServiceDisabledError"
    assert await door.rows(key) == []
    assert await door.balance(key) == TRIAL


async def test_an_upload_that_stalls_is_given_up(door: Door, key: Key, embeddings: Stub) -> None:
    """The service is told at once, the client gets 408, nobody pays."""
    cut = asyncio.Event()

    async def script(turn: Turn) -> None:
        try:
            await turn.read_body()
        finally:
            cut.set()

    embeddings.script = script
    lines = [("host", API), key.bearer, ("content-length", "2000000")]
    async with await door.wire() as wire:
        reply = await wire.ask(head("POST", "/v1/embeddings", lines) + b" " * 1_500_000)
        assert reply.status == 408
    await asyncio.wait_for(cut.wait(), AT_ONCE_S)
    await door.at_rest(key.subject)
    (row,) = await door.rows(key)
    assert (row.outcome, row.cost_tokens) == ("client_body_failed", 0)


async def test_a_service_that_does_not_take_the_body_in_time_is_who_is_too_slow(
    door: Door, key: Key, embeddings: Stub
) -> None:
    over = asyncio.Event()

    async def script(turn: Turn) -> None:
        await over.wait()
        turn.cut()

    embeddings.script = script
    reply = await embed(door, key, b" " * 3_000_000)
    over.set()
    assert reply.status == 504
    await door.at_rest(key.subject)
    (row,) = await door.rows(key)
    assert (row.outcome, row.cost_tokens) == ("service_timeout", 0)


async def test_a_reader_without_a_key_is_limited_by_its_address(door: Door, reader: Stub) -> None:
    header = door.address()
    statuses = [
        (await door.ask("GET", "/https://a.example/", host=READER, headers=[header])).status
        for _ in range(22)
    ]
    assert statuses == [200] * 20 + [429] * 2
    assert len(reader.turns) == 20
