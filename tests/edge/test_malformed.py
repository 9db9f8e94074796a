"""Bytes that are no HTTP: a 4xx in JSON in the envelope of their host, and never a 5xx."""

import asyncio
import os

import pytest

from tests.edge.client import Reply, head
from tests.edge.door import API, Door, Key
from tests.edge.stub import Stub

POST = b"POST /v1/embeddings HTTP/1.1\r\nhost: api.localhost\r\n"
MALFORMED = {
    "no HTTP at all": b"\x00\x01\x02\x03\r\n\r\n",
    "a TLS greeting": bytes.fromhex("16030100a5010000a10303") + os.urandom(160) + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version of the future": b"GET / HTTP/3.7\r\nhost: x\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "an empty target": b"GET  HTTP/1.1\r\nhost: x\r\n\r\n",
    "a target without a slash": b"GET nothing HTTP/1.1\r\nhost: x\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
    "an unknown method": b"BREW /v1/embeddings HTTP/1.1\r\nhost: x\r\n\r\n",
    "a method in lower case": b"get / HTTP/1.1\r\nhost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "a host of bytes": b"GET / HTTP/1.1\r\nhost: \xff\xfe.x\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nhost: x\r\nnothing\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
    "an empty header name": b"GET / HTTP/1.1\r\nhost: x\r\n: y\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nhost: x\r\na: b\r\n  c\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nhost: x\n\n",
    "a bare line feed in a header": b"GET / HTTP/1.1\r\nhost: x\r\na: b\nc: d\r\n\r\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nhost: x\r\na: b\rc\r\n\r\n",
    "a zero byte in a header": b"GET / HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n",
    "both lengths": POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths the other way": POST
    + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{} ",
    "two equal lengths": POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"content-length: 2, 2\r\n\r\n{}",
    "a length below zero": POST + b"content-length: -2\r\n\r\n{}",
    "a length with a sign": POST + b"content-length: +2\r\n\r\n{}",
    "a length in hex": POST + b"content-length: 0x2\r\n\r\n{}",
    "a length beyond all integers": POST + b"content-length: 99999999999999999999\r\n\r\n{}",
    "an unknown coding": POST + b"transfer-encoding: gzip\r\n\r\n",
    "a coding before chunked": POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding behind chunked": POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a misspelt coding": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk of no size": POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a long line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 20_000 + b"\r\n\r\n",
    "a flood of headers": b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 101 + b"\r\n",
    "an endless head": b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 200_000,
    "an endless header": b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 2_000_000,
    "a key of bytes": b"GET /v1/keys/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\r\n\r\n",
}
# As HTTP these are well-formed: the connection goes on.
UNDERSTOOD = ("a host of bytes", "a key of bytes")


def is_refusal(reply: Reply) -> None:
    """A 4xx in the envelope of the API hosts, which nobody pays for."""
    assert 400 <= reply.status < 500, reply
    found = reply.json()
    assert found["detail"]
    assert found["code"]
    assert found["error"]["message"]
    assert found["request_id"] == reply.request_id
    assert found.get("charged", 0) == 0


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_http_gets_a_4xx_in_json_and_the_connection_ends(
    door: Door, name: str
) -> None:
    async with await door.wire() as wire:
        wire.writer.write(MALFORMED[name])
        is_refusal(await wire.reply())
        if name not in UNDERSTOOD:
            assert await wire.ended() == b""


@pytest.mark.parametrize(
    ("host", "target", "mark"),
    [
        ("r.localhost", "/https://a.example/", "readableMessage"),
        ("s.localhost", "/q", "readableMessage"),
        ("api.localhost", "/v1/embeddings", "detail"),
        ("deepsearch.localhost", "/v1/chat/completions", "error"),
        ("127.0.0.1", "/r/https://a.example/", "readableMessage"),
        ("127.0.0.1", "/v1/chat/completions", "error"),
        ("127.0.0.1", "/v1/embeddings", "detail"),
    ],
)
async def test_malformed_http_is_refused_in_the_envelope_of_its_host(
    door: Door, host: str, target: str, mark: str
) -> None:
    start = f"POST {target} HTTP/1.1\r\nHost: {host}\r\n".encode()
    for pieces in ([start + b"a b: c\r\n\r\n"], [start, b"x: y\r\n", b"nothing\r\n\r\n"]):
        async with await door.wire() as wire:
            for piece in pieces:
                await wire.send(piece)
                await asyncio.sleep(0.01)
            reply = await wire.reply()
            assert reply.status == 400
            found = reply.json()
            assert mark in found
            if mark == "readableMessage":
                assert found["code"] == 400
            if mark == "error":
                assert isinstance(found["error"], str)


async def test_a_body_that_breaks_off_behind_a_good_head_is_refused_at_once(
    door: Door, key: Key, embeddings: Stub
) -> None:
    lines = [("host", API), key.bearer, ("transfer-encoding", "chunked")]
    async with await door.wire() as wire:
        await wire.send(head("POST", "/v1/embeddings", lines) + b"2\r\n{}\r\n")
        await asyncio.sleep(0.02)
        reply = await wire.ask(b"not a size\r\n")
        is_refusal(reply)
        assert reply.json()["code"] == "HTTP_MALFORMED"
        assert await wire.ended() == b""
    assert embeddings.turns == []
    assert await door.rows(key) == []


async def test_a_body_that_never_comes_is_given_up(door: Door, key: Key, embeddings: Stub) -> None:
    async with await door.wire() as wire:
        lines = [("host", API), key.bearer, ("content-length", "100")]
        reply = await wire.ask(head("POST", "/v1/embeddings", lines) + b"{")
        assert reply.status == 408
        is_refusal(reply)
    assert await door.rows(key) == []


def good(key: Key, body: bytes = b"{}") -> bytes:
    lines = [("host", API), key.bearer, ("content-length", str(len(body)))]
    return head("POST", "/v1/embeddings", lines) + body


@pytest.mark.parametrize(
    "bad",
    [
        b"BREW / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x00\x01",
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
        POST + b"content-length: -2\r\n\r\n{}",
    ],
)
async def test_good_requests_in_one_packet_are_answered_before_what_is_none(
    door: Door, key: Key, embeddings: Stub, bad: bytes
) -> None:
    bodies = [b"{}", b'{"a": "\r\n\r\n"}', b'{"input": "x"}']
    async with await door.wire() as wire:
        await wire.send(b"".join(good(key, body) for body in bodies) + bad)
        for _ in bodies:
            assert (await wire.reply()).status == 200
        last = await wire.reply()
        assert (last.status, last.json()["code"]) == (400, "HTTP_MALFORMED")
        assert last["connection"] == "close"
        assert await wire.ended() == b""
    assert [turn.body for turn in embeddings.turns] == bodies


async def test_a_body_that_breaks_behind_good_requests_is_told_of_itself(
    door: Door, key: Key, embeddings: Stub
) -> None:
    lines = [("host", API), key.bearer, ("transfer-encoding", "chunked")]
    broken = head("POST", "/v1/embeddings", lines) + b"zz\r\n{}\r\n0\r\n\r\n"
    async with await door.wire() as wire:
        await wire.send(good(key) + good(key) + broken)
        assert [(await wire.reply()).status for _ in range(3)] == [200, 200, 400]
        assert await wire.ended() == b""
    assert len(embeddings.turns) == 2
