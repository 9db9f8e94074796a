"""The reader's HTTP side: one request in, one page out. Read this first.

It refuses with the reader's envelope and never charges for a refusal.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from services import serving, wire
from services.reader import forms, inputs, options, refusals, target, trust
from services.reader.fetch import Ask, Fetched, Fetcher
from services.reader.forms import Form, Reading
from services.reader.guard import OWN_LABELS, Guard, SystemLookup
from services.reader.jobs import Failure, Job
from services.reader.options import Options
from services.reader.pool import Pool
from services.reader.refusals import Refusal
from services.settings import Settings

# Larger bodies are parsed in a thread, so that the loop is not held.
LARGE_BODY_BYTES: Final = 256 * 1024
METHODS: Final = frozenset({"GET", "HEAD", "POST"})
Fields = Mapping[str, Any]


class Reader:
    """Reads pages for the gateway. `start` and `stop` bracket its worker processes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lookup = SystemLookup()
        guard = Guard(
            self._lookup,
            domain=settings.domain,
            allowed=settings.reader_allow,
            own_origins=settings.gateway_origins,
        )
        self._fetcher = Fetcher(guard, trust.context(), settings.reader_user_agent)
        self._pool = Pool(
            settings.reader_workers,
            page_ms=settings.reader_extract_ms,
            worker_bytes=settings.reader_worker_bytes,
        )
        self._own_hosts = _own_hosts(settings)

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        self._pool.start()
        yield
        await self._pool.stop()
        self._lookup.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        outcome = await self._read(request)
        form = forms.accepted(request.headers.get("Accept", ""))
        if isinstance(outcome, Refusal):
            return _refuse(outcome)
        if outcome is None:
            return self._index(form)
        return _answer(form, *outcome)

    async def _read(self, request: web.Request) -> tuple[Reading, Options] | Refusal | None:
        """The page with its options, a refusal, or None where the index page is asked for."""
        started_s = time.monotonic()
        if request.method not in METHODS:
            return refusals.by_status(405, f"{request.method} is not a method of the reader")
        fields = await _fields(request)
        if isinstance(fields, Refusal):
            return fields
        wanted = options.read(request.headers, fields if request.method == "POST" else {})
        if isinstance(wanted, Refusal):
            return wanted
        form = forms.accepted(request.headers.get("Accept", ""))
        if len(wanted.wishes.formats) > 1 and form is Form.TEXT:
            return refusals.bad_option(
                "respondWith",
                "Several formats at once need an answer in JSON or events: accept "
                "'application/json' or 'text/event-stream', and not 'text/plain'",
            )
        given = _named_target(request, fields)
        if isinstance(given, Refusal) or (not given and "html" not in fields):
            return given or _no_target(request)
        deadline_ms = wanted.timeout_ms or self._settings.reader_timeout_ms
        page = await self._page(given, fields.get("html"), wanted, deadline_ms)
        if isinstance(page, Refusal):
            return page
        spent_ms = int((time.monotonic() - started_s) * 1000)
        # A page that took its whole time to arrive still deserves to be taken apart.
        left_ms = max(deadline_ms - spent_ms, 1000)
        reading = await self._take_apart(page, given, wanted, left_ms)
        return reading if isinstance(reading, Refusal) else (reading, wanted)

    async def _page(
        self, given: str, html: object, wanted: Options, deadline_ms: int
    ) -> Fetched | Refusal:
        """The bytes: fetched, or as the client sent them."""
        named = target.parse(given, self._own_hosts) if given else None
        if isinstance(named, Refusal):
            return named
        if html is not None:
            if not isinstance(html, str) or not html.strip():
                return refusals.bad_option("html", "html must be a string that is not empty")
            page = html.encode("utf-8", "replace")
            here = named or target.Target("http", "localhost", 80, "/")
            return Fetched(here, 0, "", "text/html", "utf-8", page)
        assert named is not None
        ask = Ask(wanted.request_headers, deadline_ms, self._settings.reader_page_bytes)
        return await self._fetcher.fetch(named, ask)

    async def _take_apart(
        self, page: Fetched, given: str, wanted: Options, left_ms: int
    ) -> Reading | Refusal:
        first = target.parse(given, self._own_hosts) if given else page.target
        assert isinstance(first, target.Target)
        shown = first.url if given else ""
        base = page.target.url if wanted.final_base else first.url
        if not page.body.strip():
            return refusals.no_content(f"No content available for URL {shown}")
        job = Job(base, page.content_type, page.charset, wanted.wishes)
        parts = await self._pool.extract(job, page.body, left_ms)
        if isinstance(parts, Failure):
            return _failed(parts, shown)
        empty = not any((parts.content, parts.text, parts.html))
        if empty:
            selectors = ", ".join(wanted.wishes.target_selectors)
            suffix = f" with target selector {selectors}" if selectors else ""
            return refusals.no_content(f"No content available for URL {shown}{suffix}")
        if wanted.budget_tokens is not None and parts.tokens > wanted.budget_tokens:
            return refusals.over_budget(wanted.budget_tokens, parts.tokens)
        warnings = parts.warnings
        if page.status >= 400:
            warnings = (
                f"Target URL returned error {page.status}: {page.reason}".rstrip(": "),
                *warnings,
            )
        return Reading(shown, page.status, page.reason, parts, warnings)

    def _index(self, form: Form) -> web.Response:
        fields = forms.index(self._settings.domain)
        if form is Form.JSON:
            body = orjson.dumps({"code": 200, "status": 20000, "data": fields})
            return _written(200, body, Form.JSON, wire.void_headers())
        body = forms.index_text(fields).encode()
        return _written(200, body, Form.TEXT, wire.void_headers())


def build(settings: Settings) -> web.Application:
    """The reader as an application."""
    reader = Reader(settings)
    app = serving.build_app(settings, reader.handle, _envelope, settings.reader_body_bytes)
    app.cleanup_ctx.append(reader.run)
    return app


async def _fields(request: web.Request) -> Fields | Refusal:
    """The fields of the body on POST; on GET the query of the bare address."""
    if request.method != "POST":
        return dict(request.query) if request.path == "/" else {}
    body = await request.read()
    content_type = request.headers.get("Content-Type", "")
    if len(body) < LARGE_BODY_BYTES:
        return inputs.fields(content_type, body)
    return await asyncio.to_thread(inputs.fields, content_type, body)


def _named_target(request: web.Request, fields: Fields) -> str | Refusal:
    """The URL of the path, else of the body or query; empty if there is none."""
    path = request.raw_path
    if not path.startswith(("/?", "/#")) and path != "/":
        return target.from_path(path)
    url = fields.get("url", "")
    if url is None:
        return ""
    return url if isinstance(url, str) else refusals.bad_option("url", "url must be a string")


def _no_target(request: web.Request) -> Refusal | None:
    if request.method == "POST":
        return refusals.bad_option("url", "No URL provided")
    return None


def _failed(failure: Failure, url: str) -> Refusal:
    """What the client is told when a page could not be taken apart."""
    if failure.kind == "selector":
        return refusals.bad_option("selector", f"Not a valid CSS selector: {failure.detail[:80]!r}")
    if failure.kind == "media":
        return refusals.not_available("url", f"Reading a target of type {failure.detail!r}")
    return refusals.no_content(f"Failed to read {url}: {failure.detail}")


def _answer(form: Form, reading: Reading, wanted: Options) -> web.Response:
    headers = {wire.USAGE_TOKENS: str(reading.parts.tokens)}
    if form is Form.JSON:
        return _written(200, forms.json(reading, wanted), form, headers)
    if form is Form.EVENTS:
        return _written(200, forms.event(reading, wanted), form, headers)
    return _written(200, forms.text(reading, wanted).encode("utf-8", "replace"), form, headers)


def _refuse(refusal: Refusal) -> web.Response:
    return _written(refusal.status, forms.refusal_json(refusal), Form.JSON, wire.void_headers())


def _envelope(_request: web.Request, status: int, message: str) -> web.Response:
    return _refuse(refusals.by_status(status, message))


def _written(status: int, body: bytes, form: Form, headers: Mapping[str, str]) -> web.Response:
    charset = None if form is Form.JSON else "utf-8"
    return web.Response(
        status=status, body=body, content_type=form.value, charset=charset, headers=headers
    )


def _own_hosts(settings: Settings) -> frozenset[str]:
    """Authorities whose prefix a client may have left before the target."""
    names = [settings.domain, *(f"{label}.{settings.domain}" for label in OWN_LABELS)]
    ports = {origin.port for origin in settings.gateway_origins}
    hosts = [*names, *(origin.host for origin in settings.gateway_origins)]
    return frozenset([*names, *(f"{host}:{port}" for host in hosts for port in ports)])
