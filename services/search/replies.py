"""Turns hits into the answer: reads their pages, counts what they cost, writes it whole or growing.

It refuses, in the reader's own words, where the reader takes the options for no page at all.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services import wire
from services.reader import forms as reader_forms
from services.reader.forms import Form
from services.reader.refusals import Refusal
from services.search import charge, forms
from services.search.ask import Ask
from services.search.favicons import Favicons
from services.search.forms import Item
from services.search.hits import NO_PAGE, Kind, Page
from services.search.keeping import Keeper
from services.search.providers.chain import Found
from services.search.reading import Bodies, Caller

PIECE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Search:
    """A search that has hits, on its way to an answer."""

    ask: Ask
    found: Found
    caller: Caller
    deadline_s: float

    @property
    def scaler(self) -> int:
        """What multiplies the flat price."""
        if self.ask.question.kind is not Kind.WEB:
            return charge.MEDIA_SCALER
        return charge.BING_SCALER if self.found.is_bing else 1


class Replies:
    """Answers searches that have hits."""

    def __init__(self, bodies: Bodies, favicons: Favicons, keeper: Keeper | None) -> None:
        self._bodies = bodies
        self._favicons = favicons
        self._keeper = keeper

    async def whole(self, request: web.Request, search: Search, accept: str) -> web.StreamResponse:
        """Text or JSON, when everything is there or the deadline has come."""
        icons = asyncio.create_task(self._icons(search))
        try:
            pages: Sequence[Page] = [NO_PAGE] * len(search.found.hits)
            async with contextlib.aclosing(self._pages(search)) as arriving:
                async for newest in arriving:
                    pages = newest
            favicons = await self._named(search, pages, await icons)
        finally:
            icons.cancel()
        refusal = _refused(pages)
        if refusal is not None:
            return refused(refusal, accept)
        self._keep(search, pages)
        tokens, items = _items(search, pages, favicons)
        json = search.ask.form is Form.JSON
        parts = await _gathered(forms.json(items, tokens) if json else forms.text(items))
        response = web.StreamResponse(headers={wire.USAGE_TOKENS: str(tokens)})
        response.content_type = search.ask.form.value
        response.charset = None if json else "utf-8"
        response.content_length = sum(map(len, parts))
        await response.prepare(request)
        await _write(response, parts)
        return response

    async def stream(self, request: web.Request, search: Search) -> web.StreamResponse:
        """The array as it grows; the hits at once, and the usage in an event of its own."""
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
            }
        )
        await response.prepare(request)
        icons = asyncio.create_task(self._icons(search))
        pages: Sequence[Page] = [NO_PAGE] * len(search.found.hits)
        try:
            tokens, items = _items(search, pages, [""] * len(pages))
            if search.ask.with_bodies:
                await _write(response, forms.event(items))
            async with contextlib.aclosing(self._pages(search)) as arriving:
                async for pages in arriving:
                    tokens, items = _items(search, pages, [""] * len(pages))
                    await _write(response, forms.event(items))
            favicons = await self._named(search, pages, await icons)
            tokens, items = _items(search, pages, favicons)
        finally:
            icons.cancel()
        refusal = _refused(pages)
        if refusal is not None:
            await response.write(reader_forms.refusal_event(refusal))
            return response
        self._keep(search, pages)
        if not search.ask.with_bodies or search.ask.with_favicons:
            await _write(response, forms.event(items))
        await response.write(forms.usage_event(tokens))
        return response

    async def _pages(self, search: Search) -> AsyncGenerator[list[Page], None]:
        if not search.ask.with_bodies:
            return
        hits = search.found.hits
        arriving = self._bodies.pages(search.ask, hits, search.caller, search.deadline_s)
        async with contextlib.aclosing(arriving) as lists:
            async for pages in lists:
                yield pages

    async def _icons(self, search: Search) -> list[str]:
        hits = search.found.hits
        if not search.ask.with_favicons:
            return [""] * len(hits)
        return await self._favicons.of(hits, search.deadline_s)

    async def _named(
        self, search: Search, pages: Sequence[Page], usual: Sequence[str]
    ) -> Sequence[str]:
        if not search.ask.with_favicons:
            return usual
        hits = search.found.hits
        return await self._favicons.named(hits, pages, usual, search.deadline_s)

    def _keep(self, search: Search, pages: Sequence[Page]) -> None:
        if self._keeper is not None:
            self._keeper.keep(search.ask, search.found.hits, pages)


def _items(search: Search, pages: Sequence[Page], icons: Sequence[str]) -> tuple[int, list[Item]]:
    """The charge, and the hits with their pages."""
    cost = charge.charge([page.tokens for page in pages], search.scaler)
    rows = zip(search.found.hits, pages, cost.per_hit, icons, strict=True)
    return cost.tokens, [Item(*row) for row in rows]


def _refused(pages: Iterable[Page]) -> Refusal | None:
    """The reader's words, where it takes the options for no page at all."""
    found = [page.refusal for page in pages]
    return found[0] if all(found) else None


async def _gathered(parts: Iterable[bytes]) -> list[bytes]:
    found = []
    for part in parts:
        found.append(part)
        await asyncio.sleep(0)
    return found


async def _write(response: web.StreamResponse, parts: Iterable[bytes]) -> None:
    """Large parts in pieces: the socket takes each at once, or the client is waited for."""
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(part), PIECE_BYTES):
            await response.write(view[start : start + PIECE_BYTES])


def refused(refusal: Refusal, accept: str = "") -> web.Response:
    """A refusal in the envelope, which is never charged."""
    form, body = reader_forms.refused(accept, refusal)
    return web.Response(
        status=refusal.status,
        body=body,
        content_type=form.value,
        charset=None if form is Form.JSON else "utf-8",
        headers=wire.void_headers(),
    )
