"""Requests that two readers could frame differently: refused, and what follows is never answered.

Behind each there is a good request of the same key. Whatever reaches the service is counted there
and compared with what was answered here.
"""

import pytest

from tests.edge.client import Reply, Wire, head
from tests.edge.door import API, Door, Key
from tests.edge.stub import Stub

CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
TWO = b"2\r\n{}\r\n0\r\n\r\n"
# What stands behind `POST /v1/embeddings HTTP/1.1`, its host and its key.
ODD = {
    "both lengths": b"content-length: 13\r\n" + CHUNKED + TWO,
    "both lengths the other way": b"transfer-encoding: chunked\r\ncontent-length: 13\r\n\r\n" + TWO,
    "an empty coding beside a length": b"transfer-encoding: \r\ncontent-length: 2\r\n\r\n{}",
    "identity beside a length": b"transfer-encoding: identity\r\ncontent-length: 2\r\n\r\n{}",
    "an empty coding": b"transfer-encoding:\r\n\r\n",
    "chunked twice": b"transfer-encoding: chunked\r\n" + CHUNKED + TWO,
    "chunked twice in a list": b"transfer-encoding: chunked, chunked\r\n\r\n" + TWO,
    "a quoted coding": b'transfer-encoding: "chunked"\r\n\r\n' + TWO,
    "a coding behind a vertical tab": b"transfer-encoding: \x0bchunked\r\n\r\n" + TWO,
    "a coding with a parameter": b"transfer-encoding: chunked;q=1\r\n\r\n" + TWO,
    "a folded coding": b"transfer-encoding:\r\n chunked\r\n\r\n" + TWO,
    "a space before the colon": b"transfer-encoding : chunked\r\n\r\n" + TWO,
    "a space before a length's colon": b"content-length : 2\r\n\r\n{}",
    "a coding behind a bare line feed": b"a: b\ntransfer-encoding: chunked\r\n\r\n" + TWO,
    "a coding behind a bare return": b"a: b\rtransfer-encoding: chunked\r\n\r\n" + TWO,
    "two lengths": b"content-length: 2\r\ncontent-length: 9\r\n\r\n{}",
    "the same length twice": b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "a list of lengths": b"content-length: 2,2\r\n\r\n{}",
    "a length with a sign": b"content-length: +2\r\n\r\n{}",
    "a negative length": b"content-length: -2\r\n\r\n{}",
    "a length in hex": b"content-length: 0x2\r\n\r\n{}",
    "a length with an underscore": b"content-length: 0_2\r\n\r\n{}",
    "a length with a point": b"content-length: 2.0\r\n\r\n{}",
    "a length in other digits": b"content-length: \xef\xbc\x92\r\n\r\n{}",
    "a length and a word": b"content-length: 2 3\r\n\r\n{}",
    "an empty length": b"content-length:\r\n\r\n{}",
    "a folded length": b"content-length: 2\r\n 3\r\n\r\n{}",
    "a zero byte in a length": b"content-length: 2\0\r\n\r\n{}",
    "a length beyond all": b"content-length: 18446744073709551618\r\n\r\n{}",
    "a chunk with a sign": CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
    "a chunk in 0x": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk behind a space": CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n",
    "a chunk before a space": CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n",
    "a chunk with an underscore": CHUNKED + b"0_2\r\n{}\r\n0\r\n\r\n",
    "a chunk without a size": CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk beyond all": CHUNKED + b"10000000000000002\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"2\r\n{}}\r\n0\r\n\r\n",
    "a chunk size with a bare line feed": CHUNKED + b"2\n{}\r\n0\r\n\r\n",
    "chunk data with a bare line feed": CHUNKED + b"2\r\n{}\n0\r\n\r\n",
    "a line feed in an extension": CHUNKED + b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "a return in an extension": CHUNKED + b"2;a\rb\r\n{}\r\n0\r\n\r\n",
    "an endless extension": CHUNKED + b"2;" + b"a" * 1_000_000 + b"\r\n{}\r\n0\r\n\r\n",
    "a last chunk with bare line feeds": CHUNKED + b"2\r\n{}\r\n0\n\n",
    "a length in the trailers": CHUNKED + b"2\r\n{}\r\n0\r\ncontent-length: 5\r\n\r\n",
    "a trailer without a colon": CHUNKED + b"2\r\n{}\r\n0\r\nnothing\r\n\r\n",
    "a zero byte in a name": b"a\0b: c\r\ncontent-length: 2\r\n\r\n{}",
    "a second host": b"host: b\r\ncontent-length: 2\r\n\r\n{}",
}
GOOD = {
    "a length": b"content-length: 2\r\n\r\n{}",
    "a length with zeros": b"content-length: 0002\r\n\r\n{}",
    "chunks": CHUNKED + TWO,
    "chunks in capitals": b"TRANSFER-ENCODING: Chunked\r\n\r\n" + TWO,
    "a chunk with zeros": CHUNKED + b"000000000000000002\r\n{}\r\n0\r\n\r\n",
    "an extension": CHUNKED + b'2;a=b;c="d"\r\n{}\r\n0\r\n\r\n',
    "a trailer": CHUNKED + b"2\r\n{}\r\n0\r\nx-any: y\r\n\r\n",
    "a length with another name beside it": b"content_length: 9\r\ncontent-length: 2\r\n\r\n{}",
    "a coding that is declared hop by hop": b"connection: transfer-encoding\r\n" + CHUNKED + TWO,
}
HOSTS = {
    "a space": "a b",
    "a slash": "a/b",
    "user info": "user@api.localhost",
    "a comma and a space": "a, b",
    "two ports": "a:80:80",
    "a port of letters": "a:http",
    "a port that is none": "a:70000",
    "an open bracket": "[::1",
    "a bracket of nonsense": "[::1::2]",
    "an address without brackets": "::1",
    "a backslash": "a\\b",
    "a question mark": "a?b",
    "a percent sign": "a%zz",
    "bytes": "ä.localhost",
    "angle brackets": "<a>",
}
RIGHT_HOSTS = ("api.localhost", "API.localhost:8080", "127.0.0.1", "[::1]:80", "a_b.c", "x:", "%41")


def begun(key: Key, version: str = "1.1") -> bytes:
    name, value = key.bearer
    return f"POST /v1/embeddings HTTP/{version}\r\nhost: {API}\r\n{name}: {value}\r\n".encode()


def hidden(key: Key) -> bytes:
    body = b'{"hidden": 1}'
    return head("POST", "/v1/embeddings", [("host", API), key.bearer, ("content-length", "13")]) + (
        body
    )


async def refused_for_good(wire: Wire) -> Reply:
    """One 4xx, and the end of the connection."""
    reply = await wire.reply()
    assert 400 <= reply.status < 500, reply
    assert reply["connection"] == "close"
    assert await wire.ended() == b""
    return reply


@pytest.mark.parametrize("name", ODD)
async def test_odd_framing_is_refused_and_nothing_behind_it_is_a_request(
    door: Door, key: Key, embeddings: Stub, name: str
) -> None:
    async with await door.wire() as wire:
        wire.writer.write(begun(key) + ODD[name] + hidden(key))
        await refused_for_good(wire)
    assert embeddings.turns == []
    assert await door.rows(key) == []
    async with await door.wire() as wire:
        # The same behind good ones, whose head is known by then.
        for _ in range(2):
            assert (await wire.ask(begun(key) + GOOD["a length"])).status == 200
        wire.writer.write(begun(key) + ODD[name] + hidden(key))
        await refused_for_good(wire)
    assert [turn.body for turn in embeddings.turns] == [b"{}", b"{}"]


@pytest.mark.parametrize("name", GOOD)
async def test_what_is_framed_well_is_one_request_and_the_next_one_is_whole(
    door: Door, key: Key, embeddings: Stub, name: str
) -> None:
    async with await door.wire() as wire:
        await wire.send(begun(key) + GOOD[name] + hidden(key))
        assert [(await wire.reply()).status for _ in range(2)] == [200, 200]
        assert await wire.is_open()
    assert [turn.body for turn in embeddings.turns] == [b"{}", b'{"hidden": 1}']
    for turn in embeddings.turns:
        assert len({"content-length", "transfer-encoding"} & turn.names) == 1
        assert turn.get("content-length") == str(len(turn.body))
        assert not {"connection", "trailer", "content_length", "x-any", "te"} & turn.names


@pytest.mark.parametrize("lines", [CHUNKED, b"transfer-encoding: chunked\r\nconnection: a\r\n\r\n"])
async def test_http_1_0_has_no_chunks(door: Door, key: Key, embeddings: Stub, lines: bytes) -> None:
    async with await door.wire() as wire:
        await wire.send(begun(key, "1.0") + lines + TWO)
        await refused_for_good(wire)
    assert embeddings.turns == []


@pytest.mark.parametrize("name", HOSTS)
async def test_a_host_that_is_none_is_refused(door: Door, key: Key, name: str) -> None:
    lines = [("host", HOSTS[name]), key.bearer]
    for target in ("/v1/keys/me", "/health", "/r/https://a.example/"):
        async with await door.wire() as wire:
            reply = await wire.ask(head("GET", target, lines))
            assert reply.status == 400
            assert "HTTP_MALFORMED" in (reply.json().get("code"), reply.json().get("reason"))


@pytest.mark.parametrize("host", RIGHT_HOSTS)
async def test_a_host_as_rfc_3986_has_it_is_taken(door: Door, host: str) -> None:
    async with await door.wire() as wire:
        assert (await wire.ask(head("GET", "/health", [("host", host)]))).status == 200


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://api.localhost/health", 200),
        ("HTTP://api.localhost:80/health", 200),
        ("http://user@api.localhost/health", 400),
        ("http://api.localhost:x/health", 400),
        ("http:///health", 400),
        ("ftp://api.localhost/health", 400),
        ("api.localhost:80", 400),
        ("*", 400),
    ],
)
async def test_targets_in_other_forms(door: Door, target: str, status: int) -> None:
    """The absolute form is a server's duty; the others name nothing here."""
    async with await door.wire() as wire:
        assert (await wire.ask(head("GET", target, [("host", API)]))).status == status


async def test_an_upgrade_with_a_body_is_one_request_and_the_end(
    door: Door, key: Key, embeddings: Stub
) -> None:
    lines = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\n{}"
    async with await door.wire() as wire:
        await wire.send(begun(key) + lines + hidden(key))
        reply = await wire.reply()
        assert (reply.status, reply["connection"]) == (200, "close")
        assert await wire.ended() == b""
    assert [turn.body for turn in embeddings.turns] == [b"{}"]
    assert not {"upgrade", "connection"} & embeddings.turns[0].names


async def test_connect_opens_no_tunnel(door: Door, key: Key, embeddings: Stub) -> None:
    async with await door.wire() as wire:
        await wire.send(head("CONNECT", "a.example:443", [("host", "a.example")]) + hidden(key))
        assert 400 <= (await wire.reply()).status < 500
        assert await wire.ended() == b""
    assert embeddings.turns == []
