"""The load generator and the stub of `make bench-speed`, against each other on real sockets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.admission.scripts import Scripts
from gateway.products.product import Limits
from gateway.redis_link import RedisLink
from ops.bench.speed_load import Client, closed, open_loop, percentile_us, request_of
from ops.bench.speed_nginx import lua_setting
from ops.bench.speed_stub import EVENTS, SMALL, Service

SMALL_BYTES = len(SMALL.split(b"\r\n\r\n", 1)[1])


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


def test_percentiles_are_of_what_there_is() -> None:
    assert percentile_us([], 99) == 0
    assert percentile_us([0.001], 99) == 1_000
    assert percentile_us([n / 1_000 for n in range(100)], 50) == 50_000
    assert percentile_us([n / 1_000 for n in range(100)], 99) == 99_000


async def test_a_closed_loop_counts_whole_answers(port: int) -> None:
    told = await closed(port, request_of("small", "k", 1_000), 4, 0.1)
    requests = told["requests"]
    assert isinstance(requests, int)
    assert requests >= 4
    assert told["statuses"] == {"200": requests}
    assert told["body_bytes"] == requests * SMALL_BYTES


async def test_an_open_loop_sends_what_is_due_and_counts_from_then(port: int) -> None:
    told = await open_loop(port, request_of("slow", "k", 1_000), 2, 0.2, 100)
    assert told["statuses"] == {"200": 20}
    # Two connections bear 40 in a second: the last ones waited, and say so.
    most_us = told["most_us"]
    assert isinstance(most_us, int)
    assert most_us > 150_000


async def test_a_stream_of_events_is_one_answer(port: int) -> None:
    told = await closed(port, request_of("events", "k", 1_000), 2, 0.0)
    assert told["statuses"] == {"200": 2}
    size = told["body_bytes"]
    assert isinstance(size, int)
    assert size > 2 * EVENTS * 50


async def test_the_stub_takes_a_body_in_chunks_for_one_request(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b'd\r\n{"model":"m"}\r\n',
        b"0\r\n\r\n",
    ):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    assert await reader.readexactly(len(SMALL)) == SMALL
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    # Had the chunk been a request of its own, its answer would stand before this one's end.
    assert await reader.readexactly(len(SMALL)) == SMALL
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


def test_an_answer_in_chunks_is_counted_however_it_is_cut() -> None:
    whole = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nx-usage-tokens: 7\r\n\r\n"
    )
    for size in (1, 2, 3, 7, 50, len(whole)):
        ends: list[str] = []
        client = Client(lambda _, status, ends=ends: ends.append(status))  # type: ignore[misc]
        for at in range(0, 2 * len(whole), size):
            client.data_received((whole * 2)[at : at + size])
            if size >= len(whole):
                break
        if size < len(whole):
            assert len(ends) >= 1
            assert client.body_bytes >= 31
        assert ends[0] == "200"


async def test_nginx_asks_with_the_words_of_the_gateway() -> None:
    """Its Lua gets the encoder's own words, so that both ask the same script the same thing."""
    url = "unix:///nowhere"
    paths = {"/v1/embeddings": ("embeddings", Limits(5, 6, 7))}
    text = lua_setting(url, 42, "Bearer k", paths)
    admit = Scripts(RedisLink(url))._admit.sha.decode()
    assert f'admit = "{admit}"' in text
    for word in ("@id", "@number", "@deadline", "@hold", "@cost"):
        assert text.count(f'"{word}"') == 1
    assert text.count('h:k:42"') == 2
    assert 'key = "Bearer k"' in text
