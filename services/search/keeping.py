"""Adds pages that were read for a search to the local index, where the operator wants that.

It refuses pages that were read in any other way than everybody reads them: with selectors, cookies,
languages or limits of one client, or which that client does not want kept.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from services.reader.jobs import Wishes
from services.search.ask import Ask
from services.search.hits import Hit, Page
from services.search.index.documents import Document
from services.search.index.library import Library

LOGGER: Final = "sluice.search"
# Searches whose pages wait to be added; what comes while so many wait is not kept.
WAITING_MOST: Final = 32
# What changes how a page is fetched, but not what it says.
HARMLESS: Final = frozenset({"x-no-cache", "x-cache-tolerance", "x-engine", "accept-language"})
HARMLESS_FIELDS: Final = frozenset({"noCache", "cacheTolerance", "engine"})


class Keeper:
    """Adds in the background; `close` waits for what was begun."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._adding: set[asyncio.Task[None]] = set()

    def keep(self, ask: Ask, hits: Sequence[Hit], pages: Sequence[Page]) -> None:
        """Begins to add the pages that are worth it."""
        documents = [
            _document(hit, page)
            for hit, page in zip(hits, pages, strict=True)
            if hit.fetch and page.content and page.fields.get("httpStatus") == 200
        ]
        if documents and _is_plain(ask) and len(self._adding) < WAITING_MOST:
            task = asyncio.create_task(self._add(documents))
            self._adding.add(task)
            task.add_done_callback(self._adding.discard)

    async def close(self) -> None:
        """Everything begun is on disk."""
        await asyncio.gather(*self._adding)

    async def _add(self, documents: Sequence[Document]) -> None:
        try:
            await self._library.add(documents)
        except OSError as fault:
            logging.getLogger(LOGGER).error("pages could not be kept: %s", fault)


def _is_plain(ask: Ask) -> bool:
    named = {name for name in ask.reader_headers if name not in HARMLESS}
    own = {name for name in ask.reader_fields if name not in HARMLESS_FIELDS}
    return not named and not own and ask.wanted.wishes == Wishes()


def _document(hit: Hit, page: Page) -> Document:
    def said(name: str) -> str:
        value = page.fields.get(name)
        return value if isinstance(value, str) else ""

    return Document(
        url=hit.url,
        title=said("title") or hit.title,
        content=page.content,
        description=hit.description,
        date=said("publishedTime") or hit.date,
    )
