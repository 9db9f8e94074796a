"""Who pays: services whose bytes are no answer, or that are too slow; nobody does."""

import asyncio

import pytest

from tests.edge.door import Door, Key
from tests.edge.paying import BODY, Cost, charged, embed, free, paid
from tests.edge.scripts import HEADER, LARGE, answering, raw
from tests.edge.stub import Stub, Turn, used

BROKEN = {
    "closed before an answer": [b""],
    "closed within the head": [b"HTTP/1.1 200 OK\r\ncontent-ty"],
    "cut in a body of known length": [b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}"],
    "cut in chunks": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"],
    "cut in the last chunk": [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    ],
    "both lengths": [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\n{}\r\n0\r\n\r\n"
    ],
    "two lengths": [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} "],
    "no length": [b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n{}"],
    "less than no length": [b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}"],
    "more than its length": [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}{}"],
    "an unknown coding": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n"],
    "a bad chunk": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"],
    "a long chunk": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n"],
    "a huge chunk": [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"f" * 13 + b"\r\n"
    ],
    "an endless chunk head": [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;" + b"x" * 400 + b"\r\n{}"
    ],
    "an endless head": [b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000],
    "too many headers": [b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 201 + b"\r\n"],
    "no HTTP": [b"SSH-2.0-OpenSSH\r\n\r\n"],
    "a strange version": [b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"],
    "a strange status": [b"HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\n{}"],
    "a status of nothing": [b"HTTP/1.1 000 OK\r\ncontent-length: 2\r\n\r\n{}"],
    "a header without a colon": [b"HTTP/1.1 200 OK\r\nnothing\r\ncontent-length: 2\r\n\r\n{}"],
    "a folded header": [b"HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 2\r\n\r\n{}"],
    "a bare line feed": [b"HTTP/1.1 200 OK\r\na: b\nset-cookie: c\r\ncontent-length: 2\r\n\r\n{}"],
    "a zero byte": [b"HTTP/1.1 200 OK\r\na: b\0c\r\ncontent-length: 2\r\n\r\n{}"],
    "another protocol": [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"],
    "interim answers for ever": [b"HTTP/1.1 102 Processing\r\n\r\n" * 5_000],
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_is_free(door: Door, key: Key, embeddings: Stub, name: str) -> None:
    script = raw(*BROKEN[name])
    reply = await free(door, key, embeddings, script, "service_broke_off", 502)
    assert reply.json()["code"] == "SERVICE_BROKE_OFF"


async def test_interim_answers_are_skipped(door: Door, key: Key, embeddings: Stub) -> None:
    body = used(7)
    await charged(
        door,
        key,
        embeddings,
        raw(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body),
        ),
        7,
    )


async def test_a_body_that_ends_with_its_connection_is_whole(
    door: Door, key: Key, embeddings: Stub
) -> None:
    script = raw(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + used(7))
    await charged(door, key, embeddings, script, 7)


@pytest.mark.parametrize("length", [LARGE, None])
async def test_a_streamed_answer_that_is_cut_is_free_and_seen_to_be_cut(
    door: Door, key: Key, embeddings: Stub, length: int | None
) -> None:
    async def script(turn: Turn) -> None:
        await turn.read_body()
        framing = f"content-length: {length}" if length else "transfer-encoding: chunked"
        start = f"HTTP/1.1 200 OK\r\n{framing}\r\nx-usage-tokens: 7\r\n\r\n"
        await turn.send(start.encode())
        piece = b"x" * (LARGE - 1)
        await turn.send(piece if length else b"%x\r\n%b\r\n" % (len(piece), piece))
        turn.writer.close()

    embeddings.script = script
    reply = await embed(door, key)
    assert (reply.status, reply.whole) == (200, False)
    await paid(door, key, reply.request_id, Cost("service_broke_off", status=502))


async def test_an_answer_beyond_the_products_cap_is_free(
    door: Door, key: Key, segmenter: Stub
) -> None:
    """A length beyond the cap is refused before a byte, chunks are cut there."""
    segmenter.script = answering(b" " * 300_001)
    reply = await door.ask("POST", "/v1/segment", key=key, body=BODY)
    assert reply.status == 502
    cost = Cost("service_broke_off", 0, None, status=502)
    await paid(door, key, reply.request_id, cost, "segment")
    another = await door.key()

    async def script(turn: Turn) -> None:
        await turn.begin()
        await turn.chunk(b" " * 290_000)
        await asyncio.sleep(0.05)
        await turn.chunk(b" " * 10_001)
        await turn.hung_up()

    segmenter.script = script
    reply = await door.ask("POST", "/v1/segment", key=another, body=BODY)
    assert not reply.whole
    await paid(door, another, reply.request_id, cost, "segment")


async def test_an_answer_that_does_not_begin_in_time_is_free(
    door: Door, key: Key, rerank: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.read_body()
        await turn.hung_up()

    rerank.script = script
    reply = await door.ask("POST", "/v1/rerank", key=key, body=BODY)
    assert reply.status == 504
    assert reply.json()["code"] == "SERVICE_TIMEOUT"
    await paid(door, key, reply.request_id, Cost("service_timeout", status=504), "rerank")


async def test_an_answer_that_does_not_end_in_time_is_free(
    door: Door, key: Key, rerank: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.begin(headers=HEADER)
        await turn.chunk(b" " * LARGE)
        await turn.hung_up()

    rerank.script = script
    reply = await door.ask("POST", "/v1/rerank", key=key, body=BODY)
    assert (reply.status, reply.whole) == (200, False)
    await paid(door, key, reply.request_id, Cost("service_timeout", status=504), "rerank")
