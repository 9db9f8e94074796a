"""DeepSearch's HTTP side: a conversation in, a researched answer out. Read this first.

It refuses with `{"error": ...}` before the first byte and never charges for a refusal. Handlers
are cancelled when the gateway hangs up, and everything that a request does ends with its handler.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote
from uuid import UUID

import orjson
from aiohttp import web

from services import serving
from services.deepsearch import ask as asking
from services.deepsearch import models, refusals, replies
from services.deepsearch.ask import Ask
from services.deepsearch.forms import Head, Outcome
from services.deepsearch.llm.client import Model
from services.deepsearch.neighbours import Caller, Neighbour
from services.deepsearch.refusals import AskError, Refusal, bad
from services.deepsearch.session import Means, Session
from services.deepsearch.toolbox import Neighbours
from services.deepsearch.tools import Progress
from services.deepsearch.trace import DEADLINE_MS, ROLE, Trace, Traces
from services.postgres import Postgres, UnavailableError, load_queries
from services.serving import SIGNED
from services.settings import Settings
from services.tokenizer import DEFAULT, Tokenizer

COMPLETIONS: Final = "/v1/chat/completions"
TRACES: Final = "/v1/requests/"
TRACE: Final = "/trace"
BUDGET: Final = "x-token-budget"
# Researches begin so far apart, so that a crowd that comes at once is greeted before it is served.
START_S: Final = 0.005
# How long a thread keeps the interpreter when the loop wants it; counting and comparing are done in
# threads.
SWITCH_S: Final = 0.001
# Larger bodies, and those whose schema is to be checked, are read in a thread.
SMALL_BYTES: Final = 256 * 1024


class Service:
    """Answers the gateway. `run` brackets its connections."""

    def __init__(self, settings: Settings) -> None:
        knobs = settings.deepsearch
        secret = settings.internal_secret
        tokenizer = Tokenizer(DEFAULT)
        self._knobs = knobs
        self._model = (
            Model(knobs.llm_url, knobs.llm_key, knobs.llm_model, knobs.llm_timeout_ms, tokenizer)
            if knobs.llm_url
            else None
        )
        near = Neighbours(
            search=Neighbour("search", knobs.search_url, secret),
            reader=Neighbour("reader", knobs.reader_url, secret),
            embeddings=Neighbour("embeddings", knobs.embeddings_url, secret),
            rerank=Neighbour("rerank", knobs.rerank_url, secret),
        )
        self._means = Means(near, tokenizer, self._model, knobs)
        self._starts = asyncio.Lock()
        self._traces = Traces(_postgres(settings), load_queries("traces"))

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        """Forgets old traces while it serves; closes everything at the end."""
        sys.setswitchinterval(SWITCH_S)
        forgetting = asyncio.create_task(self._traces.forget_old())
        yield
        forgetting.cancel()
        with suppress(asyncio.CancelledError):
            await forgetting
        await self._means.neighbours.close()
        if self._model is not None:
            await self._model.close()
        await self._traces.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request that is signed."""
        path = request.path.rstrip("/")
        if path == COMPLETIONS:
            if request.method != "POST":
                return _not_allowed(request, "POST")
            return await self._complete(request)
        if path.startswith(TRACES) and path.endswith(TRACE):
            return await self._trace(request, path)
        if path == models.PATH or path.startswith(models.PATH + "/"):
            if request.method not in ("GET", "HEAD"):
                return _not_allowed(request, "GET, HEAD")
            return models.answer(unquote(path.removeprefix(models.PATH).strip("/")))
        return refusals.answer(Refusal(404, f"{request.method} {request.path[:200]} is not here"))

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        signed = request[SIGNED]
        caller = Caller(signed.subject, signed.request_id)
        try:
            ask = await _ask(request)
            session = Session(self._means, ask, caller)
            await session.prepare()
        except AskError as fault:
            return refusals.answer(fault.refusal)
        began_s = time.time()
        finish = "cancelled"

        async def work(progress: Progress) -> Outcome:
            nonlocal finish
            async with self._starts:
                await asyncio.sleep(START_S)
            outcome = await session.work(progress)
            finish = outcome.finish
            return outcome

        head = Head(int(began_s * 1_000), ask.model)
        account = session.account
        try:
            if not ask.stream:
                return await replies.whole(head, account, work)
            stream = replies.Stream(head, account, done=self._knobs.done)
            return await stream.write(request, work)
        finally:
            if caller.uuid is not None:
                began_at = datetime.fromtimestamp(began_s, UTC)
                trace = Trace(caller.uuid, caller.subject, ask.model, began_at, finish)
                took_ms = round((time.time() - began_s) * 1_000)
                await self._traces.keep(trace, account, max(0, took_ms))

    async def _trace(self, request: web.Request, path: str) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            return _not_allowed(request, "GET, HEAD")
        name = unquote(path[len(TRACES) : -len(TRACE)])
        try:
            found = await self._traces.find(UUID(name), request[SIGNED].subject)
        except ValueError:
            found = None
        except UnavailableError:
            return refusals.answer(Refusal(503, "Traces cannot be read now; please try again"))
        if found is None:
            return refusals.answer(
                Refusal(404, f"There is no trace of a request {name[:100]!r} of this key")
            )
        return models.free(found)


def build(settings: Settings) -> web.Application:
    """Deepsearch as an application."""
    service = Service(settings)
    app = serving.build_app(settings, service.handle, _envelope, settings.deepsearch.body_bytes)
    app.cleanup_ctx.append(service.run)
    return app


async def _ask(request: web.Request) -> Ask:
    """The checked request. Raises AskError."""
    body = await request.read()
    ceiling = request.headers.get(BUDGET, "").strip()
    if len(body) <= SMALL_BYTES and b'"response_format"' not in body:
        return _read(body, ceiling)
    return await asyncio.to_thread(_read, body, ceiling)


def _read(body: bytes, ceiling: str) -> Ask:
    try:
        fields: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise refusals.wrong("", "The body is not valid JSON") from None
    if not isinstance(fields, Mapping):
        raise bad(refusals.NO_MESSAGES)
    return asking.read(fields, ceiling)


def _postgres(settings: Settings) -> Postgres | None:
    dsn = settings.database_url
    if dsn is None:
        return None
    return Postgres(
        dsn, role=ROLE, application_name="sluice-deepsearch", pool_size=2, deadline_ms=DEADLINE_MS
    )


def _not_allowed(request: web.Request, allow: str) -> web.Response:
    return refusals.answer(Refusal(405, f"{request.method} is not a method of this path"), allow)


def _envelope(_request: web.Request, status: int, message: str) -> web.Response:
    return refusals.answer(Refusal(status, message))
