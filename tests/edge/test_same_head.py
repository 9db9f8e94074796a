"""A head that comes again is not parsed again, and means what the parser would have said."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.same_head import SameHead, same_head
from tests.edge.client import Wire, head
from tests.edge.door import API, Door, Key
from tests.edge.stub import Stub

LINES = (
    b"host: api.localhost",
    b"authorization: Bearer k",
    b"accept: */*",
    b"x-a: content-length: 3",
)
LENGTHS = st.sampled_from((b"content-length: ", b"Content-Length:", b"CONTENT-LENGTH: \t"))
ODD_DIGITS = st.sampled_from(
    (b"", b"+2", b"-2", b"0x2", b"2 ", b" 2", b"2,2", b"1_0", b"2\n", b"2\0", b"9" * 12, b"\xb2")
)
Parsed = tuple[RawRequestMessage, bytes] | None


async def parsed(packet: bytes) -> Parsed:
    """The one whole request that the parser finds in a packet."""
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(Mock(_reading_paused=False), loop, 2**16, auto_decompress=False)
    try:
        messages, _, rest = parser.feed_data(packet)
    except HttpProcessingError:
        return None
    if len(messages) != 1 or rest or not messages[0][1].is_eof():
        return None
    return messages[0][0], messages[0][1].read_nowait()


def fields(message: Any) -> list[tuple[bytes, bytes]]:
    """The raw headers, without the length."""
    return [each for each in message.raw_headers if each[0].lower() != b"content-length"]


@st.composite
def packets(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A first request that is whole, and another one on the same connection, alike or not."""
    # Without a host the parser takes nothing.
    lines = [*draw(st.permutations(LINES[1:]))[: draw(st.integers(0, 3))], LINES[0]]
    at = draw(st.integers(0, len(lines)))
    name, space = draw(LENGTHS), draw(st.sampled_from((b"", b"", b" ")))

    def one(digits: bytes, body: bytes, changed: int | None = None) -> bytes:
        all_lines = [*lines[:at], name + digits + space, *lines[at:]]
        packet = b"POST /v1/embeddings HTTP/1.1\r\n" + b"".join(x + b"\r\n" for x in all_lines)
        packet += b"\r\n" + body
        if changed is None:
            return packet
        where = changed % len(packet)
        return (
            packet[:where]
            + bytes([packet[where] ^ draw(st.integers(1, 255))])
            + packet[where + 1 :]
        )

    body = draw(st.binary(max_size=12))
    first = one(str(len(body)).encode(), body)
    again = draw(st.binary(max_size=120))
    digits = draw(st.one_of(st.just(str(len(again)).encode()), ODD_DIGITS, st.just(b"007")))
    changed = draw(st.one_of(st.none(), st.none(), st.integers(0, 400)))
    behind = draw(st.sampled_from((b"", b"", b"G", b"POST / HTTP/1.1\r\n\r\n")))
    second = one(digits, again + behind, changed)
    return first, second[: len(second) - draw(st.sampled_from((0, 0, 0, 1, 30)))]


@given(packets())
async def test_what_is_taken_for_the_same_head_is_what_the_parser_finds(
    both: tuple[bytes, bytes],
) -> None:
    first, second = both
    found = await parsed(first)
    assert found is not None
    same = same_head(first, found[0])
    if same is None:
        return
    whole, body = same.body_of(first), same.body_of(second)
    assert whole is not None
    assert whole.read_nowait() == found[1]
    if body is None:
        return
    again = await parsed(second)
    assert again is not None
    assert (again[1], len(again[1])) == (body.read_nowait(), body.size)
    assert (again[0].method, again[0].path) == (same.message.method, same.message.path)
    assert fields(again[0]) == fields(same.message)
    assert again[0].should_close is same.message.should_close


async def test_an_ordinary_client_is_known_from_his_second_request_on() -> None:
    lines = [("Host", API), ("Content-Type", "application/json"), ("Content-Length", "2")]
    packet = head("POST", "/v1/embeddings", lines) + b"{}"
    found = await parsed(packet)
    assert found is not None
    same = same_head(packet, found[0])
    assert isinstance(same, SameHead)
    body = same.body_of(packet.replace(b"th: 2", b"th: 10") + b"12345678")
    assert body is not None
    assert (body.read_nowait(), body.read_nowait()) == (b"{}12345678", b"")


@pytest.mark.parametrize(
    "lines",
    [
        [("content-length", "2"), ("connection", "close")],
        [("content-length", "2"), ("x-long", "a" * 3_000)],
        [("transfer-encoding", "chunked")],
        [],
    ],
)
async def test_what_is_not_kept(lines: list[tuple[str, str]]) -> None:
    body = b"{}" if lines and lines[0][1] == "2" else b""
    packet = head("POST", "/", [("host", API), *lines]) + body
    parser = HttpRequestParser(Mock(), asyncio.get_running_loop(), 2**16)
    messages, _, _ = parser.feed_data(packet)
    assert same_head(packet, messages[0][0]) is None


async def test_each_request_of_a_connection_has_its_own_length_body_and_price(
    door: Door, key: Key, embeddings: Stub
) -> None:
    bodies = [b'{"input": "%b"}' % (b"a" * size) for size in (1, 2_000, 0, 17, 90_000, 5)]

    def asked(body: bytes) -> bytes:
        lines = [("host", API), key.bearer, ("content-length", str(len(body)))]
        return head("POST", "/v1/embeddings", lines) + body

    async with await door.wire() as wire:
        for body in bodies:
            assert (await wire.ask(asked(body))).status == 200
        # In two packets, two in one packet, and again as before.
        whole = asked(bodies[0])
        for cut in (10, len(whole) - 3):
            await wire.send(whole[:cut])
            await asyncio.sleep(0.01)
            assert (await wire.ask(whole[cut:])).status == 200
        await wire.send(asked(bodies[3]) + asked(bodies[5]))
        assert [(await wire.reply()).status for _ in range(2)] == [200, 200]
        assert (await wire.ask(asked(bodies[1]))).status == 200
    sent = [*bodies, bodies[0], bodies[0], bodies[3], bodies[5], bodies[1]]
    assert [turn.body for turn in embeddings.turns] == sent
    assert [turn.get("content-length") for turn in embeddings.turns] == [str(len(b)) for b in sent]


def odds(key: Key, length: int = 2) -> tuple[bytes, bytes, bytes]:
    """A whole request, and another one whose head is in two pieces."""
    lines = [("host", API), key.bearer]
    whole = head("POST", "/v1/embeddings", [*lines, ("content-length", str(length))])
    begun = head("POST", "/v1/embeddings", lines).removesuffix(b"\r\n")
    return whole + b"{" + b" " * (length - 2) + b"}", begun, b"x: y\r\ncontent-length: 2\r\n\r\n{}"


async def in_turn(wire: Wire, *packets: bytes) -> None:
    """Each is read before the next one comes."""
    for packet in packets:
        await wire.send(packet)
        await asyncio.sleep(0.05)


HALF = f"GET /health HTTP/1.1\r\nhost: {API}\r\nx: ".encode()
HEALTH = head("GET", "/health", [("host", API)])


@pytest.mark.parametrize("cut", [2, 60, 0])
async def test_a_request_inside_a_header_of_another_one_is_none(
    door: Door, key: Key, embeddings: Stub, cut: int
) -> None:
    """Half a head came behind a whole request: what follows is its rest, whatever it looks like."""
    whole, _, _ = odds(key)
    async with await door.wire() as wire:
        assert (await wire.ask(whole)).status == 200
        if cut:
            await in_turn(wire, whole[:cut], whole[cut:] + HALF)
        else:
            await in_turn(wire, whole + HEALTH + HALF)
        for _ in range(1 if cut else 2):
            assert (await wire.reply()).status == 200
        await wire.send(whole)
        assert (await wire.reply()).status in (200, 400)
    assert len(embeddings.turns) == 2


@pytest.mark.parametrize("in_front", ["a request", "the end of a body"])
async def test_the_second_half_of_a_head_is_no_head(
    door: Door, key: Key, embeddings: Stub, in_front: str
) -> None:
    whole, begun, rest = odds(key, 4)
    async with await door.wire() as wire:
        if in_front == "a request":
            await in_turn(wire, HEALTH + begun, rest)
        else:
            await in_turn(wire, whole[:-2], whole[-2:] + begun, rest)
        assert [(await wire.reply()).status for _ in range(2)] == [200, 200]
        turns = len(embeddings.turns)
        await wire.send(rest)
        assert (await wire.reply()).status == 400
    assert len(embeddings.turns) == turns


@pytest.mark.parametrize("behind", [b"\0\r\n", b"G\xc3\xbc\r\n\r\n"])
async def test_what_is_refused_is_not_looked_at_again_from_its_middle(
    door: Door, key: Key, embeddings: Stub, behind: bytes
) -> None:
    """Good requests before what is none are heard, but not those inside another one's header."""
    whole, _, _ = odds(key)
    for hidden in (whole, whole.replace(b"embeddings", b"embeddings?\xc3\xbc")):
        async with await door.wire() as wire:
            await in_turn(wire, HEALTH + HALF)
            assert (await wire.reply()).status == 200
            await wire.send(hidden + behind)
            assert (await wire.reply()).status in (200, 400)
    assert embeddings.turns == []
