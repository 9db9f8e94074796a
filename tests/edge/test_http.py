"""HTTP as clients send it: pieces, packets, versions, upgrades, bodies of every framing."""

import asyncio

import pytest

from tests.edge.client import head
from tests.edge.door import API, READER, TRIAL, Door, Key
from tests.edge.paying import BODY, Cost, embed, paid
from tests.edge.stub import Stub, seven, used


async def test_requests_in_one_packet_are_answered_in_order(
    door: Door, key: Key, embeddings: Stub
) -> None:
    many = 40
    async with await door.wire() as wire:
        for number in range(many):
            body = b'{"n": %d}' % number
            lines = [("host", API), key.bearer, ("content-length", str(len(body)))]
            wire.writer.write(head("POST", "/v1/embeddings", lines) + body)
        for _ in range(many):
            assert (await wire.reply()).body == used(7)
        assert await wire.is_open()
    assert [turn.body for turn in embeddings.turns] == [b'{"n": %d}' % n for n in range(many)]


async def test_a_request_in_single_bytes_is_understood(
    door: Door, key: Key, embeddings: Stub
) -> None:
    lines = [("host", API), key.bearer, ("content-length", str(len(BODY)))]
    async with await door.wire() as wire:
        for byte in head("POST", "/v1/embeddings", lines) + BODY:
            await wire.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await wire.reply()).status == 200


@pytest.mark.parametrize("size", [10, 1_000_000, 3_000_000])
async def test_bodies_in_chunks_reach_the_service(door: Door, embeddings: Stub, size: int) -> None:
    key, body = await door.key(paid=10**8), b'{"input": "%b"}' % (b"x" * size)
    lines = [("host", API), key.bearer, ("transfer-encoding", "chunked")]
    async with await door.wire() as wire:
        wire.writer.write(head("POST", "/v1/embeddings", lines))
        for at in range(0, len(body), 100_000):
            piece = body[at : at + 100_000]
            await wire.send(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
        reply = await wire.ask(b"0\r\ntrailer: x\r\n\r\n")
        assert reply.status == 200
        assert await wire.is_open()
    assert embeddings.turns[0].body == body


async def test_who_waits_for_100_continue_is_told_to_go_on(
    door: Door, key: Key, embeddings: Stub
) -> None:
    lines = [("host", API), key.bearer, ("content-length", str(len(BODY)))]
    async with await door.wire() as wire:
        start = head("POST", "/v1/embeddings", [*lines, ("expect", "100-continue")])
        await wire.send(start)
        assert (await wire.reply_head()).status == 100
        assert (await wire.ask(BODY)).status == 200
        assert (await wire.ask(start + BODY)).status == 200
        assert await wire.is_open()


async def test_who_waits_for_100_continue_and_is_refused_sends_no_body(
    door: Door, embeddings: Stub
) -> None:
    """The connection ends, as nobody can tell whether the body still comes."""
    lines = [("host", API), ("content-length", "5000000"), ("expect", "100-continue")]
    async with await door.wire() as wire:
        reply = await wire.ask(head("POST", "/v1/embeddings", lines))
        assert (reply.status, reply["connection"]) == (401, "close")


async def test_after_a_refusal_with_an_unread_body_the_connection_is_used_on(
    door: Door, key: Key, embeddings: Stub
) -> None:
    body = b" " * 300_000
    for lines in ([("host", API)], [("host", API), ("authorization", "Bearer wrong")]):
        async with await door.wire() as wire:
            start = head("POST", "/v1/embeddings", [*lines, ("content-length", str(len(body)))])
            assert (await wire.ask(start + body)).status == 401
            good = [("host", API), key.bearer, ("content-length", str(len(BODY)))]
            assert (await wire.ask(head("POST", "/v1/embeddings", good) + BODY)).status == 200


async def test_a_body_beyond_the_products_cap_is_refused_and_read_to_no_end(
    door: Door, key: Key, segmenter: Stub
) -> None:
    """Of a length that is told, and in chunks that go on."""
    lines = [("host", API), key.bearer]
    async with await door.wire() as wire:
        start = head("POST", "/v1/segment", [*lines, ("content-length", "20001")])
        reply = await wire.ask(start)
        assert (reply.status, reply["connection"]) == (413, "close")
        assert reply.json()["limit_bytes"] == 20_000
    async with await door.wire() as wire:
        start = head("POST", "/v1/segment", [*lines, ("transfer-encoding", "chunked")])
        reply = await wire.ask(start + b"6000\r\n" + b" " * 0x6000 + b"\r\n")
        assert (reply.status, reply["connection"]) == (413, "close")
    assert segmenter.turns == []
    assert await door.rows(key) == []


async def test_http_1_0_is_spoken(door: Door, key: Key, embeddings: Stub) -> None:
    lines = f"authorization: Bearer {key.text}\r\ncontent-length: {len(BODY)}\r\n"
    start = f"POST /v1/embeddings HTTP/1.0\r\n{lines}".encode()
    async with await door.wire() as wire:
        reply = await wire.ask(start + b"\r\n" + BODY)
        assert (reply.status, reply["connection"]) == (200, "close")
        assert await wire.ended() == b""
    async with await door.wire() as wire:
        for _ in range(3):
            reply = await wire.ask(start + b"connection: keep-alive\r\n\r\n" + BODY)
            assert (reply.status, reply["connection"]) == (200, "keep-alive")


async def test_a_stream_to_an_http_1_0_client_ends_with_its_connection(
    door: Door, key: Key, reader: Stub
) -> None:
    async def script(turn: object) -> None:
        found = reader.turns[-1]
        await found.begin(kind="text/plain")
        for _ in range(4):
            await found.chunk(b"x" * 100_000)
            await asyncio.sleep(0.005)
        await found.end([("x-usage-tokens", "5")])

    reader.script = script
    async with await door.wire() as wire:
        lines = f"host: {READER}\r\nauthorization: Bearer {key.text}\r\n"
        start = f"GET /https://a.example/ HTTP/1.0\r\n{lines}\r\n"
        reply = await wire.ask(start.encode())
        assert (reply.status, len(reply.body)) == (200, 400_000)
        assert "transfer-encoding" not in reply.names
        assert "trailer" not in reply.names
    await paid(door, key, reply.request_id, Cost("complete", 5, None, 5), "reader")


async def test_head_gets_the_head_only(door: Door) -> None:
    async with await door.wire() as wire:
        reply = await wire.ask(head("HEAD", "/health", [("host", API)]), method="HEAD")
        assert (reply.status, reply.body) == (200, b"")
        assert int(reply["content-length"]) > 0
        reply = await wire.ask(head("HEAD", "/v1/embeddings", [("host", API)]), method="HEAD")
        assert (reply.status, reply["allow"]) == (405, "POST, OPTIONS")
        assert await wire.is_open()


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "nothing"])
async def test_an_upgrade_is_declined_by_answering(
    door: Door, key: Key, embeddings: Stub, protocol: str
) -> None:
    lines = [("host", API), key.bearer, ("content-length", str(len(BODY)))]
    upgrade = [("connection", "upgrade"), ("upgrade", protocol)]
    async with await door.wire() as wire:
        reply = await wire.ask(head("POST", "/v1/embeddings", [*lines, *upgrade]) + BODY)
        assert reply.status == 200
        assert await wire.ended() == b""


async def test_connect_is_refused(door: Door) -> None:
    async with await door.wire() as wire:
        reply = await wire.ask(b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n")
        assert (reply.status, reply.json()["code"]) == (400, "HTTP_MALFORMED")
        assert await wire.ended() == b""


async def test_a_target_as_people_paste_it_is_percent_encoded(
    door: Door, key: Key, reader: Stub
) -> None:
    async with await door.wire() as wire:
        for _ in range(2):
            start = head("GET", "/https://a.example/wiki/Köln?q=中", [("host", READER), key.bearer])
            assert (await wire.ask(start)).status == 200
    assert reader.turns[1].path == "/https://a.example/wiki/K%C3%B6ln?q=%E4%B8%AD"


async def test_who_asks_to_close_is_obeyed(door: Door, key: Key, embeddings: Stub) -> None:
    lines = [("host", API), key.bearer, ("connection", "close"), ("content-length", "2")]
    async with await door.wire() as wire:
        reply = await wire.ask(head("POST", "/v1/embeddings", lines) + b"{}")
        assert reply["connection"] == "close"
        assert await wire.ended() == b""


async def test_a_compressed_body_is_refused(door: Door, key: Key, embeddings: Stub) -> None:
    reply = await embed(door, key, BODY, **{"content-encoding": "gzip"})
    assert reply.status == 415
    assert embeddings.turns == []
    assert await door.balance(key) == TRIAL


async def test_ten_thousand_requests_leave_nothing_behind(door: Door, embeddings: Stub) -> None:
    """Not that many here, but on one connection and with every kind of end."""
    embeddings.script = seven
    key = await door.key()
    async with await door.wire() as wire:
        for number in range(60):
            body = BODY if number % 3 else b'{"broken"'
            lines = [("host", API), ("content-length", str(len(body)))]
            lines += [key.bearer] if number % 2 else []
            reply = await wire.ask(head("POST", "/v1/embeddings", lines) + body)
            assert reply.status == (200 if number % 2 else 401)
    await door.at_rest(key.subject)
    assert await door.balance(key) == TRIAL - 7 * 30


@pytest.mark.parametrize("host", ["127.0.0.1", API, "dash.localhost", "deepsearch.localhost"])
async def test_head_of_a_front_page_is_its_head(door: Door, host: str) -> None:
    got = await door.ask("GET", "/", host=host)
    reply = await door.ask("HEAD", "/", host=host)
    assert (reply.status, reply.body) == (200, b"")
    assert reply["content-length"] == got["content-length"]
