"""How the reader is asked: signed, for the client who asks, in time; and what it may do wrong."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from services.search.hits import NO_PAGE, Page
from services.search.reading import Caller, ReaderClient
from services.signing import Signed, body_matches, verify_head

SECRET = b"a secret of the tests long enough"
CALLER = Caller("k:42", "0192-request")


class Reader:
    """A reader on a unix socket that does as it is told."""

    def __init__(self, socket: Path) -> None:
        self.url = f"unix:{socket}"
        self.answer: Any = None
        self.status = 200
        self.signed: list[Signed] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[Any] = []

    async def reply(self, request: web.Request) -> web.StreamResponse:
        now_ms = time.time_ns() // 1_000_000
        found = verify_head(SECRET, "POST", request.raw_path, request.headers, now_ms)
        body = await request.read()
        assert isinstance(found, Signed), found
        assert body_matches(found, body)
        self.signed.append(found)
        self.headers.append(dict(request.headers))
        self.bodies.append(orjson.loads(body))
        if self.answer == "silent":
            await asyncio.sleep(10)
        raw = self.answer if isinstance(self.answer, bytes) else orjson.dumps(self.answer)
        return web.Response(status=self.status, body=raw)


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    reader = Reader(tmp_path / "r.sock")
    app = web.Application()
    app.router.add_post("/", reader.reply)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "r.sock")).start()
    yield reader
    await runner.cleanup()


@pytest.fixture
async def client(reader: Reader) -> AsyncIterator[ReaderClient]:
    client = ReaderClient(reader.url, SECRET)
    yield client
    await client.close()


async def ask(client: ReaderClient, within_s: float = 2.0) -> Page:
    fields = {"url": "https://a.com/", "targetSelector": "h1"}
    headers = {"x-locale": "de"}
    return await client.read(fields, headers, CALLER, time.monotonic() + within_s)


async def test_reader_is_asked_for_the_client_and_signed(
    reader: Reader, client: ReaderClient
) -> None:
    reader.answer = {"data": {"content": "text", "usage": {"tokens": 7}}}
    page = await ask(client)
    assert (page.content, page.tokens) == ("text", 7)
    assert reader.signed[0].subject == "k:42"
    assert reader.signed[0].request_id == "0192-request"
    assert reader.bodies == [{"url": "https://a.com/", "targetSelector": "h1"}]
    assert reader.headers[0]["x-locale"] == "de"
    assert reader.headers[0]["Accept"] == "application/json"
    assert reader.headers[0]["X-Timeout"] == "2"


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"<html>", b"[]", b"null", b"5", b'{"data": null}', b'{"data": [1]}'),
        *(b"\xff", b'{"data": "x"}', b'"' + b"x" * 3_000_000 + b'"'),
    ],
)
async def test_nonsense_of_the_reader_is_a_page_without_content(
    reader: Reader, client: ReaderClient, answer: bytes
) -> None:
    reader.answer = answer
    for status in (200, 400, 500):
        reader.status = status
        assert await ask(client) == NO_PAGE


@pytest.mark.parametrize("usage", [None, 5, {"tokens": -3}, {"tokens": "9"}, {"tokens": True}])
async def test_usage_that_is_no_number_counts_nothing(
    reader: Reader, client: ReaderClient, usage: Any
) -> None:
    reader.answer = {"data": {"content": 5, "usage": usage}}
    page = await ask(client)
    assert (page.content, page.tokens) == ("", 0)


async def test_wrong_option_is_told_and_a_wrong_page_is_not(
    reader: Reader, client: ReaderClient
) -> None:
    reader.status = 400
    reader.answer = {"data": None, "path": "targetSelector", "message": "no selector"}
    refusal = (await ask(client)).refusal
    assert refusal is not None
    assert (refusal.status, refusal.path, refusal.message) == (
        400,
        "targetSelector",
        "no selector",
    )
    reader.answer = {"data": None, "path": "url", "message": "could not be resolved"}
    assert await ask(client) == NO_PAGE


async def test_deadline_ends_the_wait(reader: Reader, client: ReaderClient) -> None:
    reader.answer = "silent"
    begun = time.monotonic()
    assert await ask(client, 0.2) == NO_PAGE
    assert time.monotonic() - begun < 8
    assert await ask(client, -1) == NO_PAGE


async def test_reader_that_is_not_there_costs_the_content_only() -> None:
    for url in ("", "unix:/nowhere/r.sock", "http://127.0.0.1:1"):
        client = ReaderClient(url, SECRET)
        assert await ask(client) == NO_PAGE
        await client.close()
