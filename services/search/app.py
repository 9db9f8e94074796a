"""The search's HTTP side: one query in, hits with their pages out. Read this first.

It refuses with the reader's envelope and never charges for a refusal.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from services import serving, wire
from services.reader import forms as reader_forms
from services.reader import inputs, refusals
from services.reader.forms import Form
from services.reader.refusals import Refusal, bad_option
from services.search import ask as asking
from services.search.ask import Ask
from services.search.favicons import Favicons
from services.search.index.library import HeldError, Library
from services.search.keeping import Keeper
from services.search.operating import SUBJECT, Operating
from services.search.providers.chain import Chain, Found
from services.search.providers.shop import providers
from services.search.providers.transport import Transport
from services.search.reading import Bodies, Caller, ReaderClient
from services.search.replies import Replies, Search, refused
from services.serving import EXIT_SETTINGS, SIGNED
from services.settings import Settings

METHODS: Final = frozenset({"GET", "POST"})
# How often a search without hits is tried again with a word less, where the client wants that.
SHORTENED_MOST: Final = 3
Fields = Mapping[str, Any]


class Service:
    """Searches for the gateway. `run` brackets its index and its connections."""

    def __init__(self, settings: Settings) -> None:
        knobs = settings.search
        self._settings = settings
        self._library = Library(settings.data_dir / "index", settings.domain)
        self._transport = Transport()
        self._reader = ReaderClient(knobs.reader_url, settings.internal_secret)
        self._favicons = Favicons(settings)
        self._keeper = Keeper(self._library) if knobs.keep_pages else None
        bodies = Bodies(self._reader, self._library)
        self._replies = Replies(bodies, self._favicons, self._keeper)
        self._operating = Operating(self._library, self._reader)
        self._chain = Chain(
            providers(knobs, self._transport, self._library), knobs.providers, knobs.provider_ms
        )

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        """The index is open and the connections are, until the service stops."""
        try:
            await self._library.open()
        except HeldError as fault:
            sys.stderr.write(f"services.search: {fault}: stop it, or set SLUICE_DATA_DIR\n")
            raise SystemExit(EXIT_SETTINGS) from None
        yield
        if self._keeper is not None:
            await self._keeper.close()
        await self._library.close()
        await self._reader.close()
        await self._transport.close()
        self._favicons.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request that is signed."""
        signed = request[SIGNED]
        accept = request.headers.get("Accept", "")
        if signed.subject == SUBJECT:
            return await self._operating.handle(request)
        outcome = await self._found(request, Caller(signed.subject, signed.request_id))
        if outcome is None:
            return self._index(accept)
        if isinstance(outcome, Refusal):
            return refused(outcome, accept)
        if outcome.ask.form is Form.EVENTS:
            return await self._replies.stream(request, outcome)
        return await self._replies.whole(request, outcome, accept)

    async def _found(self, request: web.Request, caller: Caller) -> Search | Refusal | None:
        """The hits, a refusal, or None where the index page is asked for."""
        started_s = time.monotonic()
        if request.method not in METHODS:
            return refusals.by_status(405, f"{request.method} is not a method of the search")
        fields = await _fields(request)
        if isinstance(fields, Refusal):
            return fields
        query = asking.query_of(request.raw_path, fields)
        if query is None and request.method == "POST":
            return bad_option("q", "No query provided")
        if query is None or isinstance(query, Refusal):
            return query
        ask = asking.read(query, request.headers, fields)
        if isinstance(ask, Refusal):
            return ask
        timeout_ms = ask.timeout_ms or self._settings.search.timeout_ms
        deadline_s = started_s + timeout_ms / 1000
        found = await self._hits(ask, deadline_s)
        if isinstance(found, Refusal):
            return found
        if not found.hits:
            return refusals.no_content(f"No search results available for query {query}")
        return Search(ask, found, caller, deadline_s)

    async def _hits(self, ask: Ask, deadline_s: float) -> Found | Refusal:
        question = ask.question
        found = await self._chain.find(question, ask.provider, deadline_s)
        for _ in range(SHORTENED_MOST if ask.fallback else 0):
            shorter = asking.shortened(question)
            if isinstance(found, Refusal) or found.hits or shorter is None:
                break
            question = shorter
            found = await self._chain.find(question, ask.provider, deadline_s)
        return found

    def _index(self, accept: str) -> web.Response:
        fields = reader_forms.index(self._settings.domain)
        fields["note"] = f"https://s.{self._settings.domain}/?q=YOUR_SEARCH_QUERY needs an API key"
        json = reader_forms.accepted(accept) is Form.JSON
        body = (
            orjson.dumps({"code": 200, "status": 20000, "data": fields})
            if json
            else reader_forms.index_text(fields).encode()
        )
        return web.Response(
            body=body,
            content_type=(Form.JSON if json else Form.TEXT).value,
            charset=None if json else "utf-8",
            headers=wire.void_headers(),
        )


def build(settings: Settings) -> web.Application:
    """The search as an application."""
    service = Service(settings)
    app = serving.build_app(settings, service.handle, _envelope, settings.search.body_bytes)
    app.cleanup_ctx.append(service.run)
    return app


async def _fields(request: web.Request) -> Fields | Refusal:
    """Parameters of the query string, and over them those of the body."""
    found: dict[str, Any] = {}
    for name in request.query:
        values = request.query.getall(name)
        found[name] = values if name in asking.REPEATABLE else values[-1]
    if request.method != "POST":
        return found
    body = await request.read()
    content_type = request.headers.get("Content-Type", "")
    given = await asyncio.to_thread(inputs.fields, content_type, body)
    return given if isinstance(given, Refusal) else {**found, **given}


def _envelope(request: web.Request, status: int, message: str) -> web.Response:
    return refused(refusals.by_status(status, message), request.headers.get("Accept", ""))
