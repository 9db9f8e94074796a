"""Connections to services: kept, replaced once when stale, never used while unclean."""

import asyncio

from tests.edge.door import READER, Door, Key
from tests.edge.paying import BODY, Cost, embed, paid
from tests.edge.scripts import HEADER, answering
from tests.edge.stub import Stub, Turn, seven, used

# Larger than what is kept in memory to be sent again.
UPLOAD = b'{"input": "%b"}' % (b" " * 1_500_000)


async def test_a_connection_is_kept_for_the_next_request(
    door: Door, key: Key, embeddings: Stub
) -> None:
    for _ in range(5):
        assert (await embed(door, key)).status == 200
    assert [turn.connection for turn in embeddings.turns] == [1] * 5


async def test_two_requests_never_share_a_connection(
    door: Door, key: Key, embeddings: Stub
) -> None:
    async def script(turn: Turn) -> None:
        body = await turn.read_body()
        await embeddings.turn(20)
        await turn.reply(used(len(body)))

    embeddings.script = script
    bodies = [b'{"input": "%b"}' % (b"x" * size) for size in range(20)]
    replies = await asyncio.gather(*(embed(door, key, body) for body in bodies))
    assert [r["x-usage-tokens"] for r in replies] == [str(len(body)) for body in bodies]
    assert embeddings.connections == 20


async def test_a_stale_connection_is_replaced_and_the_request_paid_once(
    door: Door, embeddings: Stub
) -> None:
    await embed(door, await door.key())

    async def script(turn: Turn) -> None:
        if turn.connection == 1:
            turn.cut()
        else:
            await seven(turn)

    embeddings.script = script
    key = await door.key()
    reply = await embed(door, key)
    assert reply.status == 200
    assert [turn.connection for turn in embeddings.turns] == [1, 1, 2]
    await paid(door, key, reply.request_id, Cost("complete", 7, 7, 7))
    first, second = (turn.get("x-request-id") for turn in embeddings.turns[1:])
    assert first == second == reply.request_id


async def test_a_request_is_never_sent_a_third_time(door: Door, embeddings: Stub) -> None:
    await embed(door, await door.key())

    async def script(turn: Turn) -> None:
        turn.cut()

    embeddings.script = script
    key = await door.key()
    reply = await embed(door, key)
    assert reply.status == 502
    assert [turn.connection for turn in embeddings.turns] == [1, 1, 2]
    await paid(door, key, reply.request_id, Cost("service_broke_off", status=502))


async def test_a_request_of_which_an_answer_had_begun_is_not_sent_again(
    door: Door, embeddings: Stub
) -> None:
    await embed(door, await door.key())

    async def script(turn: Turn) -> None:
        await turn.send(b"H")
        await asyncio.sleep(0.02)
        turn.cut()

    embeddings.script = script
    key = await door.key()
    reply = await embed(door, key)
    assert reply.status == 502
    assert len(embeddings.turns) == 2
    await paid(door, key, reply.request_id, Cost("service_broke_off", status=502))


async def test_a_request_that_was_worked_on_is_not_sent_again(door: Door, embeddings: Stub) -> None:
    """What ends the service after a second's work may be the request itself."""
    await embed(door, await door.key())

    async def script(turn: Turn) -> None:
        await asyncio.sleep(1.1)
        turn.cut()

    embeddings.script = script
    key = await door.key()
    assert (await embed(door, key)).status == 502
    assert len(embeddings.turns) == 2


async def test_a_streamed_body_is_never_sent_twice(door: Door, embeddings: Stub) -> None:
    await embed(door, await door.key())

    async def script(turn: Turn) -> None:
        await turn.read_body()
        turn.cut()

    embeddings.script = script
    key = await door.key()
    reply = await embed(door, key, UPLOAD)
    assert reply.status == 502
    assert [turn.connection for turn in embeddings.turns] == [1, 2]
    await paid(door, key, reply.request_id, Cost("service_broke_off", status=502))


async def test_an_answer_that_comes_before_the_upload_ends_is_passed_on(
    door: Door, key: Key, embeddings: Stub
) -> None:
    """And its connection, on which half a body was sent, is used no more."""
    body = b'{"detail": "too long"}'

    async def script(turn: Turn) -> None:
        if int(turn.get("content-length") or 0) < 1_000_000:
            await seven(turn)
            return
        start = b"HTTP/1.1 413 Any\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        await turn.send(start % len(body) + body)
        await turn.hung_up()

    embeddings.script = script
    large = b'{"input": "%b"}' % (b" " * 60_000_000)
    reply = await embed(door, await door.key(paid=10**9), large)
    assert (reply.status, reply.body) == (413, body)
    assert (await embed(door, key)).status == 200
    assert [turn.connection for turn in embeddings.turns] == [1, 2]


async def test_a_service_that_says_close_is_dialled_anew(
    door: Door, key: Key, embeddings: Stub
) -> None:
    embeddings.script = answering(used(7), [*HEADER, ("Connection", "close")])
    for _ in range(3):
        reply = await embed(door, key)
        assert reply.status == 200
        assert "connection" not in reply.names
    assert [turn.connection for turn in embeddings.turns] == [1, 2, 3]


async def test_a_service_that_speaks_without_being_asked_is_dialled_anew(
    door: Door, key: Key, embeddings: Stub
) -> None:
    over = asyncio.Event()

    async def script(turn: Turn) -> None:
        await seven(turn)
        await asyncio.sleep(0.02)
        await turn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        await turn.hung_up()
        over.set()

    embeddings.script = script
    for _ in range(3):
        over.clear()
        assert (await embed(door, key)).body == used(7)
        await asyncio.wait_for(over.wait(), 60)
    assert [turn.connection for turn in embeddings.turns] == [1, 2, 3]


async def test_a_service_that_restarts_is_found_again(door: Door, key: Key, reader: Stub) -> None:
    """Its idle connections end with it; nobody notices."""
    for _ in range(3):
        reply = await door.ask("GET", "/https://a.example/", host=READER, key=key)
        assert reply.status == 200
        for turn in reader.turns[-1:]:
            turn.writer.close()
        await asyncio.sleep(0.02)
    assert [turn.connection for turn in reader.turns] == [1, 2, 3]


async def test_a_service_gets_the_body_as_it_was_sent(
    door: Door, key: Key, embeddings: Stub
) -> None:
    for body in (BODY, b"{}", bytes(range(256)) * 100, UPLOAD):
        await embed(door, await door.key(), body)
        assert embeddings.turns[-1].body == body
