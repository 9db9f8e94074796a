"""The local index as the service uses it: documents and engine together, off the event loop.

One writer in one thread; searches in two more. It refuses a folder that another process holds, and
documents that have nothing to be found by. A damaged engine is built again from the documents; a
damaged file of documents is set aside, and said.
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from services.search.index import starter
from services.search.index.documents import Document, Documents
from services.search.index.engine import DamagedError, Engine
from services.search.index.passages import best_passage
from services.search.index.query import Parsed, parse, shown_words
from services.search.operators import Operators
from services.tokenizer import DEFAULT, Tokenizer, sound

LOGGER: Final = "sluice.search"
# Documents indexed in one commit: some tenths of a second of work, lost and redone after a kill.
BATCH: Final = 200
CONTENT_CHARACTERS: Final = 1_000_000
TITLE_CHARACTERS: Final = 1000
SEARCH_THREADS: Final = 2
T = TypeVar("T")


class HeldError(Exception):
    """Another process has the index."""


@dataclass(frozen=True, slots=True)
class Match:
    """A document that was found, and the passage that shows why."""

    document: Document
    passage: str


@dataclass(frozen=True, slots=True)
class Stats:
    """What the index holds; `origins` as rows of word, documents, tokens, newest (unix ms)."""

    documents: int
    indexed: int
    pending: int
    segments: int
    bytes: int
    origins: tuple[tuple[str, int, int, int], ...]


class Library:
    """The index below `folder`. `open` and `close` bracket everything else."""

    def __init__(self, folder: Path, domain: str) -> None:
        self._folder = folder
        self._domain = domain
        self._documents = Documents(folder / "documents.sqlite")
        self._engine = Engine(folder / "tantivy")
        self._tokenizer: Tokenizer | None = None
        self._writing = ThreadPoolExecutor(1, "index-writer")
        self._searching = ThreadPoolExecutor(SEARCH_THREADS, "index-search")
        self._lock: int | None = None

    async def open(self) -> None:
        """Takes the folder and brings the index up to date. Raises HeldError."""
        await self._write(self._open)

    async def close(self) -> None:
        """Lets go of the folder when the last change is on disk."""
        await self._write(self._close)
        self._writing.shutdown()
        self._searching.shutdown()

    async def search(
        self, query: str, operators: Operators, offset: int, count: int
    ) -> list[Match]:
        """The best documents from `offset` on, each with its passage."""
        parsed = parse(query, operators)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._searching, self._search, parsed, offset, count)
        except DamagedError as fault:
            logging.getLogger(LOGGER).error("a search found the index damaged: %s", fault)
            await self._write(self._mend)
            return await loop.run_in_executor(self._searching, self._search, parsed, offset, count)

    async def add(self, documents: Sequence[Document]) -> int:
        """Adds documents; they can be found when this returns. Answers how many were of use."""
        return await self._write(lambda: self._add(documents))

    async def remove(self, urls: Sequence[str], prefixes: Sequence[str]) -> int:
        """Removes documents by URL, and all below a prefix; answers how many there were."""
        return await self._write(lambda: self._remove(urls, prefixes))

    async def stats(self) -> Stats:
        """What there is."""
        return await self._write(self._stats)

    async def stored(self, url: str) -> Document | None:
        """The document of this URL, if there is one."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._searching, self._documents.get, [url])
        return found.get(url)

    async def tokens_of(self, text: str) -> int:
        """Counted as the reader counts content."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._searching, self._counted, text)

    async def trimmed(self, text: str, most_tokens: int) -> tuple[str, int]:
        """The beginning of `text` with at most so many tokens, and their number."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._searching, self._trimmed, text, most_tokens)

    async def _write(self, work: Callable[[], T]) -> T:
        # Shielded: a client that goes away must not leave half a change behind.
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._writing, work))

    def _open(self) -> None:
        self._take()
        self._tokenizer = Tokenizer(DEFAULT)
        aside = self._documents.open()
        if aside is not None:
            logging.getLogger(LOGGER).error(
                "the documents of the index were damaged; they are set aside as %s and the index "
                "begins anew: restore a copy, or add them again",
                aside,
            )
        try:
            self._engine.open()
            self._apply()
            if self._engine.count() != self._documents.count():
                raise DamagedError("not as many documents as there should be")
        except DamagedError as fault:
            logging.getLogger(LOGGER).warning("the index is built again: %s", fault)
            self._rebuild()
        self._refresh_starter()

    def _close(self) -> None:
        self._engine.close()
        self._documents.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self) -> None:
        """The kernel lets go of the lock when this process ends, however it ends."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise HeldError(f"another process has the index in {self._folder}") from None
        self._lock = fd

    def _search(self, parsed: Parsed, offset: int, count: int) -> list[Match]:
        ranked = self._engine.search(parsed, offset, count)
        known = self._documents.get([hit.url for hit in ranked])
        shown = list(shown_words(parsed))
        found = [known[hit.url] for hit in ranked if hit.url in known]
        return [Match(d, best_passage(d.content, shown) if shown else d.description) for d in found]

    def _add(self, documents: Sequence[Document]) -> int:
        now_ms = time.time_ns() // 1_000_000
        useful = [self._ready(d, now_ms) for d in documents if d.url and d.content.strip()]
        if useful:
            self._documents.put(useful)
            self._settle()
        return len({document.url for document in useful})

    def _ready(self, document: Document, now_ms: int) -> Document:
        content = sound(document.content[:CONTENT_CHARACTERS])
        return replace(
            document,
            content=content,
            title=sound(document.title[:TITLE_CHARACTERS]),
            description=sound(document.description[:TITLE_CHARACTERS]),
            tokens=self._counted(content),
            added_ms=now_ms,
        )

    def _remove(self, urls: Sequence[str], prefixes: Sequence[str]) -> int:
        listed = dict.fromkeys(urls)
        for prefix in prefixes:
            listed.update(dict.fromkeys(self._documents.below(prefix)))
        ours = [url for url in self._documents.urls("starter") if url in listed]
        if ours:
            gone = {*self._documents.fact("removed").split(), *ours}
            self._documents.keep_fact("removed", " ".join(sorted(gone)))
        removed = self._documents.remove(list(listed))
        self._settle()
        return removed

    def _apply(self) -> None:
        """Makes the index know what is noted as unknown to it."""
        while urls := self._documents.pending(BATCH):
            self._engine.update(urls, self._documents.get(urls).values())
            self._documents.forget(urls)

    def _settle(self) -> None:
        try:
            self._apply()
        except DamagedError as fault:
            logging.getLogger(LOGGER).error("the index is damaged and built again: %s", fault)
            self._rebuild()

    def _mend(self) -> None:
        """Builds the index again, unless that was done while this call waited for its turn."""
        try:
            self._engine.probe()
            if self._engine.count() == self._documents.count():
                return
        except DamagedError:
            pass
        self._rebuild()

    def _rebuild(self) -> None:
        self._engine.discard()
        self._documents.mark_all()
        self._engine.open()
        self._apply()

    def _refresh_starter(self) -> None:
        """Only when the texts have changed; what an operator removed stays removed."""
        found = starter.texts()
        digest = starter.digest(found, self._domain)
        if self._documents.fact("starter") == digest:
            return
        gone = set(self._documents.fact("removed").split())
        wanted = [d for d in starter.documents(found, self._domain) if d.url not in gone]
        urls = {document.url for document in wanted}
        self._documents.remove([u for u in self._documents.urls("starter") if u not in urls])
        self._add(wanted)
        self._settle()
        self._documents.keep_fact("starter", digest)

    def _stats(self) -> Stats:
        held = sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())
        return Stats(
            documents=self._documents.count(),
            indexed=self._engine.count(),
            pending=len(self._documents.pending(1_000_000)),
            segments=self._engine.segments(),
            bytes=held,
            origins=tuple(self._documents.origins()),
        )

    def _counted(self, text: str) -> int:
        assert self._tokenizer is not None
        return self._tokenizer.count(text)

    def _trimmed(self, text: str, most_tokens: int) -> tuple[str, int]:
        assert self._tokenizer is not None
        tokens = self._tokenizer.encode(text)
        if len(tokens) <= most_tokens:
            return text, len(tokens)
        kept = self._tokenizer.to_bytes(tokens[:most_tokens]).decode("utf-8", "ignore")
        return kept, most_tokens
