"""The segmenter's HTTP side: GET with a query, POST with JSON; free for everyone.

It refuses in the envelope of the api. hosts; nothing it answers is ever charged.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import orjson
from aiohttp import web

from services import api_refusals, serving, wire
from services.api_refusals import Refusal, invalid
from services.segmenter.ask import Ask, read
from services.segmenter.segment import segment
from services.settings import Settings
from services.tokenizer import AVAILABLE, Tokenizer

PATHS: Final = frozenset({"/v1/segment", "/v1/segment/", "/"})
METHODS: Final = "GET, HEAD, POST"
# Beyond this a text leaves the loop: a quarter of a millisecond of work.
SMALL_CHARACTERS: Final = 1024
THREADS: Final = 2


class Segmenter:
    """Cuts and counts. The vocabularies are loaded in the background of the start."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="segment")
        self._tokenizers: asyncio.Task[dict[str, Tokenizer]] | None = None

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        self._tokenizers = asyncio.create_task(asyncio.to_thread(_load))
        yield
        await self._tokenizers
        self._threads.shutdown()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        request_id = request.headers.get(wire.REQUEST_ID, "")
        if request.path not in PATHS:
            refusal = api_refusals.by_status(404, f"No such path: {request.path[:200]}")
            return api_refusals.answer(refusal, request_id)
        if request.method not in METHODS.split(", "):
            refusal = api_refusals.by_status(405, f"{request.method} is not a method of this path")
            return api_refusals.answer(refusal, request_id, allow=METHODS)
        fields = await _fields(request)
        if isinstance(fields, Refusal):
            return api_refusals.answer(fields, request_id)
        ask = read(fields, "body" if request.method == "POST" else "query")
        if isinstance(ask, Refusal):
            return api_refusals.answer(ask, request_id)
        return web.Response(
            body=await self._answer(ask),
            content_type=wire.JSON_TYPE,
            headers={wire.USAGE_TOKENS: "0"},
        )

    async def _answer(self, ask: Ask) -> bytes:
        assert self._tokenizers is not None
        tokenizers = await asyncio.shield(self._tokenizers)
        if len(ask.content) <= SMALL_CHARACTERS:
            return _written(ask, tokenizers)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _written, ask, tokenizers)


def build(settings: Settings) -> web.Application:
    """The segmenter as an application."""
    segmenter = Segmenter()
    app = serving.build_app(settings, segmenter.handle, _envelope, settings.segmenter_body_bytes)
    app.cleanup_ctx.append(segmenter.run)
    return app


def _load() -> dict[str, Tokenizer]:
    return {name: Tokenizer(name) for name in AVAILABLE}


def _written(ask: Ask, tokenizers: Mapping[str, Tokenizer]) -> bytes:
    return orjson.dumps(segment(ask, tokenizers))


async def _fields(request: web.Request) -> Mapping[str, Any] | Refusal:
    if request.method != "POST":
        return dict(request.query)
    try:
        found = orjson.loads(await request.read())
    except orjson.JSONDecodeError as fault:
        return invalid(("body",), f"The body is not valid JSON: {fault}", "json_invalid")
    if not isinstance(found, dict):
        return invalid(("body",), "Input should be a JSON object", "dict_type")
    return found


def _envelope(request: web.Request, status: int, message: str) -> web.Response:
    request_id = request.headers.get(wire.REQUEST_ID, "")
    return api_refusals.answer(api_refusals.by_status(status, message), request_id)
