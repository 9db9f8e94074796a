"""The reader's HTTP side: one request in, one page out. Read this first.

It refuses with the reader's envelope and never charges for a refusal.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import web

from services import serving, wire
from services.reader import engines, forms, inputs, options, refusals, target, trust
from services.reader.cache import Cache
from services.reader.fetch import Fetcher
from services.reader.forms import Form, Reading
from services.reader.guard import OWN_LABELS, Guard, SystemLookup
from services.reader.options import Options
from services.reader.pool import Pool
from services.reader.reading import Readings
from services.reader.refusals import Refusal
from services.reader.shots import PREFIX, Shots
from services.reader.verdicts import is_failed
from services.reader.wanted import Wanted
from services.settings import Settings

# Larger bodies are parsed in a thread, so that the loop is not held.
LARGE_BODY_BYTES: Final = 256 * 1024
METHODS: Final = frozenset({"GET", "HEAD", "POST"})
CACHE_FOLDER: Final = "reader-cache"
STREAM_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
}
Fields = Mapping[str, Any]
# Hears of a page that is on its way, and of the options it is read with.
Hear = Callable[[Reading, Options], None]


class Reader:
    """Reads pages for the gateway. `run` brackets its worker processes and its browser."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lookup = SystemLookup()
        guard = Guard(
            self._lookup,
            domain=settings.domain,
            allowed=settings.reader_allow,
            own_origins=settings.gateway_origins,
        )
        fetcher = Fetcher(guard, trust.context(), settings.reader_user_agent)
        self._pool = Pool(
            settings.reader_workers,
            page_ms=settings.reader_extract_ms,
            worker_bytes=settings.reader_worker_bytes,
        )
        self._kept = Cache(settings.data_dir / CACHE_FOLDER, settings.reader_cache_bytes)
        self._browser = engines.browser(settings, guard)
        self._readings = Readings(
            fetcher,
            self._pool,
            self._kept,
            settings.reader_page_bytes,
            self._browser,
            engines.describer(settings, fetcher),
        )
        self._shots = Shots()
        self._own_hosts = _own_hosts(settings)

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        self._pool.start()
        await asyncio.to_thread(self._kept.open)
        if self._browser is not None:
            await self._browser.start()
        yield
        if self._browser is not None:
            await self._browser.stop()
        await self._pool.stop()
        self._lookup.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        picture = self._shots.find(request.path) if request.path.startswith(PREFIX) else None
        if picture is not None:
            return _picture(picture, wire.void_headers())
        accept = request.headers.get("Accept", "")
        if forms.accepted(accept) is Form.EVENTS:
            return await self._stream(request, accept)
        outcome = await self._read(request, forms.accepted(accept))
        return self._whole(accept, outcome)

    def _whole(
        self, accept: str, outcome: tuple[Reading, Options] | Refusal | None
    ) -> web.Response:
        if isinstance(outcome, Refusal):
            return _refuse(accept, outcome)
        if outcome is None:
            return self._index(forms.accepted(accept))
        return self._answer(forms.accepted(accept), *outcome)

    async def _stream(self, request: web.Request, accept: str) -> web.StreamResponse:
        """Frames, each more complete than the one before; a whole answer if there is but one."""
        frames: asyncio.Queue[bytes | None] = asyncio.Queue()

        def progress(reading: Reading, chosen: Options) -> None:
            frames.put_nowait(forms.event(reading, chosen, {}, last=False))

        reading = asyncio.create_task(self._read(request, Form.EVENTS, progress))
        reading.add_done_callback(lambda _: frames.put_nowait(None))
        response: web.StreamResponse | None = None
        try:
            while (frame := await frames.get()) is not None:
                if response is None:
                    response = web.StreamResponse(headers=STREAM_HEADERS)
                    await response.prepare(request)
                await response.write(frame)
        finally:
            reading.cancel()
        outcome = await reading
        if response is None:
            return self._whole(accept, outcome)
        if isinstance(outcome, Refusal):
            await response.write(forms.refusal_event(outcome))
        elif outcome is not None:
            last = self._answer(Form.EVENTS, *outcome).body
            assert isinstance(last, bytes)
            await response.write(last)
        return response

    async def _read(
        self, request: web.Request, form: Form, progress: Hear | None = None
    ) -> tuple[Reading, Options] | Refusal | None:
        """The page with its options, a refusal, or None where the index page is asked for."""
        if request.method not in METHODS:
            return refusals.by_status(405, f"{request.method} is not a method of the reader")
        fields = await _fields(request)
        if isinstance(fields, Refusal):
            return fields
        chosen = options.read(request.headers, fields if request.method == "POST" else {})
        if isinstance(chosen, Refusal):
            return chosen
        if len(chosen.wishes.formats) > 1 and form is Form.TEXT:
            return refusals.bad_option(
                "respondWith",
                "Several formats at once need an answer in JSON or events: accept "
                "'application/json' or 'text/event-stream', and not 'text/plain'",
            )
        given = _named_target(request, fields)
        if isinstance(given, Refusal):
            return given
        upload = await _document(request, fields)
        if isinstance(upload, Refusal) or (not given and upload is None):
            return upload or _no_target(request)
        named = target.parse(given, self._own_hosts) if given else None
        if isinstance(named, Refusal):
            return named
        deadline_ms = chosen.timeout_ms or self._settings.reader_timeout_ms
        heard = None if progress is None else partial(_tell, progress, chosen)
        wanted = Wanted(named, upload, chosen, deadline_ms)
        reading = await self._readings.read(wanted, heard)
        return reading if isinstance(reading, Refusal) else (reading, chosen)

    def _answer(self, form: Form, reading: Reading, chosen: Options) -> web.Response:
        failed = is_failed(reading.status)
        headers = wire.void_headers() if failed else {wire.USAGE_TOKENS: str(reading.tokens)}
        if form is Form.TEXT:
            picture = reading.pageshot or reading.screenshot
            if picture is not None:
                return _picture(picture, headers)
            body = forms.text(reading, chosen).encode("utf-8", "replace")
            return _written(200, body, form, headers)
        addresses = {
            name: self._address(picture)
            for name, picture in (
                ("screenshotUrl", reading.screenshot),
                ("pageshotUrl", reading.pageshot),
            )
            if picture is not None
        }
        if form is Form.JSON:
            return _written(200, forms.json(reading, chosen, addresses), form, headers)
        return _written(200, forms.event(reading, chosen, addresses, last=True), form, headers)

    def _address(self, picture: bytes) -> str:
        """Where the picture can be had for a while, through the reader's own door."""
        path = self._shots.keep(picture)
        domain = self._settings.domain
        if domain != "localhost":
            return f"https://r.{domain}{path}"
        port = next(iter(self._settings.gateway_origins)).port
        return f"http://r.{domain}:{port}{path}"

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


def _tell(progress: Hear, chosen: Options, reading: Reading) -> None:
    progress(reading, chosen)


async def _fields(request: web.Request) -> Fields | Refusal:
    """The fields of the body on POST; on GET the query of the bare address."""
    if request.method != "POST":
        return dict(request.query) if request.path == "/" else {}
    body = await request.read()
    content_type = request.headers.get("Content-Type", "")
    if len(body) < LARGE_BODY_BYTES:
        return inputs.fields(content_type, body)
    return await asyncio.to_thread(inputs.fields, content_type, body)


async def _document(request: web.Request, fields: Fields) -> inputs.Upload | Refusal | None:
    """The document that came along. In a thread only if it is large: threads answer in bunches."""
    if (request.content_length or LARGE_BODY_BYTES) < LARGE_BODY_BYTES or not fields:
        return inputs.document(fields)
    return await asyncio.to_thread(inputs.document, fields)


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


def _picture(picture: bytes, headers: Mapping[str, str]) -> web.Response:
    return web.Response(body=picture, content_type="image/png", headers=headers)


def _refuse(accept: str, refusal: Refusal) -> web.Response:
    form, body = forms.refused(accept, refusal)
    return _written(refusal.status, body, form, wire.void_headers())


def _envelope(request: web.Request, status: int, message: str) -> web.Response:
    return _refuse(request.headers.get("Accept", ""), refusals.by_status(status, message))


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
