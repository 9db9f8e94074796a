"""What operators do to the index: add, remove, look. Reached by a signature with our own subject.

The gateway signs for keys and addresses only, so no client can come here. Nothing here is charged.
It refuses bodies that are not what the routes say.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote
from uuid import uuid4

import orjson
from aiohttp import web

from services import wire
from services.reader import inputs
from services.reader.refusals import Refusal, bad_option, by_status
from services.search.hits import Page
from services.search.index.documents import Document
from services.search.index.library import Library
from services.search.reading import Caller, ReaderClient
from services.search.replies import refused

SUBJECT: Final = "o:index"
DOCUMENTS_MOST: Final = 1000
AT_ONCE: Final = 8
# One page, from the outside; a whole batch has as long as the caller waits.
PAGE_S: Final = 45.0
UPLOADS: Final = ("html", "pdf", "file")


class Operating:
    """The routes of `sluice index`."""

    def __init__(self, library: Library, reader: ReaderClient) -> None:
        self._library = library
        self._reader = reader

    async def handle(self, request: web.Request) -> web.Response:
        """POST /documents, POST /remove, POST /stored, GET /stats."""
        outcome = await self._done(request)
        if isinstance(outcome, Refusal):
            return refused(outcome)
        return web.Response(
            body=orjson.dumps(outcome), content_type=wire.JSON_TYPE, headers=wire.void_headers()
        )

    async def _done(self, request: web.Request) -> Mapping[str, Any] | Refusal:
        route = (request.method, request.path)
        if route == ("GET", "/stats"):
            return await self._stats()
        if route not in (("POST", "/documents"), ("POST", "/remove"), ("POST", "/stored")):
            return by_status(404, f"{request.method} {request.path} is no route of the index")
        body = await request.read()
        fields = await asyncio.to_thread(inputs.fields, wire.JSON_TYPE, body)
        if isinstance(fields, Refusal):
            return fields
        if request.path == "/stored":
            return await self._stored(fields)
        return await (self._add(fields) if request.path == "/documents" else self._remove(fields))

    async def _stored(self, fields: Mapping[str, Any]) -> Mapping[str, Any] | Refusal:
        """The index's own copy of one document, for a service whose reader cannot fetch it."""
        url = fields.get("url")
        if not isinstance(url, str):
            return bad_option("url", "url must be a string")
        found = await self._library.stored(url)
        if found is None:
            return by_status(404, "The index has no document of this URL")
        names = ("url", "title", "content", "date")
        return {name: getattr(found, name) for name in names}

    async def _stats(self) -> Mapping[str, Any]:
        found = await self._library.stats()
        names = ("origin", "documents", "tokens", "newest_ms")
        return {
            "documents": found.documents,
            "indexed": found.indexed,
            "pending": found.pending,
            "segments": found.segments,
            "bytes": found.bytes,
            "origins": [dict(zip(names, row, strict=True)) for row in found.origins],
        }

    async def _remove(self, fields: Mapping[str, Any]) -> Mapping[str, Any] | Refusal:
        urls, prefixes = fields.get("urls", []), fields.get("prefixes", [])
        for name, values in (("urls", urls), ("prefixes", prefixes)):
            if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
                return bad_option(name, f"{name} must be a list of strings")
        return {"removed": await self._library.remove(urls, prefixes)}

    async def _add(self, fields: Mapping[str, Any]) -> Mapping[str, Any] | Refusal:
        rows = fields.get("documents")
        if not isinstance(rows, list) or len(rows) > DOCUMENTS_MOST:
            return bad_option("documents", f"documents must be a list of up to {DOCUMENTS_MOST}")
        for row in rows:
            wrong = _why_not(row)
            if wrong is not None:
                return bad_option("documents", wrong)
        turn = asyncio.Semaphore(AT_ONCE)
        found = await asyncio.gather(*(self._document(row, turn) for row in rows))
        useful = [d for d in found if d is not None and d.content.strip()]
        added = await self._library.add(useful)
        kept = {document.url for document in useful}
        failed = [row["url"] for row in rows if row["url"] not in kept]
        return {"added": added, "failed": list(dict.fromkeys(failed))}

    async def _document(self, row: Mapping[str, Any], turn: asyncio.Semaphore) -> Document | None:
        content = row.get("content")
        page = Page()
        if content is None:
            async with turn:
                page = await self._read(row)
            content = page.content
            if not content:
                return None
        return Document(
            url=row["url"],
            title=row.get("title") or _text(page, "title") or _name(row["url"]),
            content=content,
            description=row.get("description") or _text(page, "description"),
            date=row.get("date") or _text(page, "publishedTime"),
            origin="folder" if _is_given(row) else "page",
            fetch=not _is_given(row),
        )

    async def _read(self, row: Mapping[str, Any]) -> Page:
        fields = {name: row[name] for name in UPLOADS if name in row}
        if not fields or row["url"].startswith(("http://", "https://")):
            fields["url"] = row["url"]
        caller = Caller(SUBJECT, str(uuid4()))
        return await self._reader.read(fields, {}, caller, time.monotonic() + PAGE_S)


def _is_given(row: Mapping[str, Any]) -> bool:
    """Whether the caller brought the content, so that there may be nothing to fetch."""
    return any(row.get(name) is not None for name in ("content", *UPLOADS))


def _name(url: str) -> str:
    """The last part of the path, for a document that does not say what it is called."""
    parts = [part for part in url.split("/") if part]
    return unquote(parts[-1]) if parts else url


def _text(page: Page, name: str) -> str:
    value = page.fields.get(name)
    return value if isinstance(value, str) else ""


def _why_not(row: object) -> str | None:
    if not isinstance(row, dict) or not isinstance(row.get("url"), str) or not row["url"]:
        return "every document must be an object with a url"
    for name in ("title", "content", "description", "date", *UPLOADS):
        if row.get(name) is not None and not isinstance(row[name], str):
            return f"{name} of {row['url'][:200]!r} must be a string"
    return None
