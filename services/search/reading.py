"""The pages behind the hits: all at once, through the reader, under one deadline for all.

What has not arrived by then, or cannot be read, is a page without content. It refuses pages beyond
the cap, and asks on behalf of the client's own subject; nobody is charged for these inner calls.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from services import trace_context, wire
from services.reader.refusals import bad_option
from services.search.ask import Ask
from services.search.hits import NO_PAGE, Hit, Page
from services.search.index.library import Library
from services.signing import sign

LOGGER: Final = "sluice.search"
# Of one page as JSON: 3 ms of the loop when it is parsed.
PAGE_BYTES: Final = 2 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024
# Pages that arrive within this time of each other are one news to a client that streams.
TOGETHER_S: Final = 0.1
TOKENS_MOST: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf, and for which request, the reader is asked."""

    subject: str
    request_id: str


class ReaderClient:
    """The reader at `url`, `unix:/path` or http; empty means that there is none."""

    def __init__(self, url: str, secret: bytes) -> None:
        self._socket = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._base = "http://reader" if self._socket else url
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def read(
        self, fields: dict[str, Any], headers: dict[str, str], caller: Caller, deadline_s: float
    ) -> Page:
        """The page that `fields` name, or one without content."""
        left_s = deadline_s - time.monotonic()
        if not self._base or left_s <= 0:
            return NO_PAGE
        try:
            async with asyncio.timeout(left_s):
                status, body = await self._ask(fields, headers, caller, left_s)
                return _refused(body) if status == 400 else _page(body)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as fault:
            logging.getLogger(LOGGER).info("the reader: %s: %s", type(fault).__name__, fault)
            return NO_PAGE

    async def _ask(
        self, fields: dict[str, Any], headers: dict[str, str], caller: Caller, left_s: float
    ) -> tuple[int, bytes]:
        """Status and body of an answer; no body where it is of no use."""
        body = orjson.dumps(fields)
        head = {
            **headers,
            "Accept": wire.JSON_TYPE,
            "Content-Type": wire.JSON_TYPE,
            "X-Timeout": str(max(1, math.ceil(left_s))),
            **self._signed(body, caller),
        }
        async with self._connected().post(
            f"{self._base}/",
            data=body,
            headers=head,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            if answer.status not in (200, 400):
                return answer.status, b""
            parts = []
            size = 0
            async for part in answer.content.iter_chunked(CHUNK_BYTES):
                size += len(part)
                if size > PAGE_BYTES:
                    return answer.status, b""
                parts.append(part)
            return answer.status, b"".join(parts)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            # As many pages as there are hits, of as many searches as there are.
            connector: aiohttp.BaseConnector = (
                aiohttp.UnixConnector(self._socket, limit=0)
                if self._socket
                else aiohttp.TCPConnector(limit=0)
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _signed(self, body: bytes, caller: Caller) -> dict[str, str]:
        stamp = str(time.time_ns() // 1_000_000)
        digest = hashlib.sha256(body).hexdigest()
        signature = sign(
            self._secret,
            method="POST",
            path_with_query="/",
            body_digest=digest,
            request_id=caller.request_id,
            time_ms=stamp,
            subject=caller.subject,
        )
        return {
            wire.REQUEST_ID: caller.request_id,
            wire.SIGNED_TIME: stamp,
            wire.SUBJECT: caller.subject,
            wire.BODY_DIGEST: digest,
            wire.SIGNATURE: signature,
            **trace_context.passed_on(),
        }


class Bodies:
    """Reads the pages of hits; the index's own copy stands in for what is not on the web."""

    def __init__(self, reader: ReaderClient, library: Library) -> None:
        self._reader = reader
        self._library = library

    async def pages(
        self, ask: Ask, hits: Sequence[Hit], caller: Caller, deadline_s: float
    ) -> AsyncGenerator[list[Page], None]:
        """Ever more pages, one place per hit; the last list is what there is at the deadline."""
        found = [NO_PAGE] * len(hits)
        places = {
            asyncio.create_task(self._page(ask, hit, caller, deadline_s)): place
            for place, hit in enumerate(hits)
        }
        pending = set(places)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if pending:
                    more, pending = await asyncio.wait(pending, timeout=TOGETHER_S)
                    done |= more
                for task in done:
                    found[places[task]] = task.result()
                yield list(found)
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _page(self, ask: Ask, hit: Hit, caller: Caller, deadline_s: float) -> Page:
        page = NO_PAGE
        if hit.fetch:
            fields = {**ask.reader_fields, "url": hit.url}
            page = await self._reader.read(fields, dict(ask.reader_headers), caller, deadline_s)
        if not page.fields and page.refusal is None and hit.stored:
            return await self._stored(ask, hit)
        return page

    async def _stored(self, ask: Ask, hit: Hit) -> Page:
        """The index's copy, which is Markdown whatever was asked for."""
        text, tokens = hit.stored, hit.stored_tokens
        most = ask.wanted.wishes.max_tokens
        if most is not None and tokens > most:
            text, tokens = await self._library.trimmed(text, most)
        name = "text" if ask.wanted.wishes.formats == ("text",) else "content"
        return Page({name: text}, tokens)


def _refused(body: bytes) -> Page:
    """A page that the reader did not try to read, and its words about the option."""
    answer = orjson.loads(body)
    message = answer.get("message") if isinstance(answer, dict) else None
    path = answer.get("path") if isinstance(answer, dict) else None
    if not isinstance(message, str) or path in (None, "url"):
        return NO_PAGE
    return Page(refusal=bad_option(str(path), message))


def _page(body: bytes) -> Page:
    if not body:
        return NO_PAGE
    answer = orjson.loads(body)
    found = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(found, dict):
        return NO_PAGE
    usage = found.get("usage")
    tokens = usage.get("tokens") if isinstance(usage, dict) else None
    right = isinstance(tokens, int) and not isinstance(tokens, bool)
    return Page(found, min(max(0, tokens), TOKENS_MOST) if right and tokens else 0)
