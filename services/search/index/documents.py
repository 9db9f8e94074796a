"""The documents themselves: one SQLite file, the truth from which the index can be built again.

An addition or removal and the note that the index does not know it yet are one transaction, so a
kill at any moment loses neither. It refuses to go on with a damaged file: that is set aside under
another name, and said.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VERSION: Final = 1
# Checked as a whole at every start, in a tenth of a second; damage in a larger file shows when the
# damaged part is read.
CHECKED_BYTES: Final = 64 * 1024 * 1024
SCHEMA: Final = """
CREATE TABLE document (
  number INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
  content TEXT NOT NULL, description TEXT NOT NULL, date TEXT NOT NULL, origin TEXT NOT NULL,
  fetch INTEGER NOT NULL, tokens INTEGER NOT NULL, added_ms INTEGER NOT NULL
);
CREATE TABLE pending (url TEXT PRIMARY KEY);
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
COLUMNS: Final = "url, title, content, description, date, origin, fetch, tokens, added_ms"


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `origin`: starter, folder or page; `fetch`: its URL can be read on the web."""

    url: str
    title: str
    content: str
    description: str = ""
    date: str = ""
    origin: str = "page"
    fetch: bool = True
    tokens: int = 0
    added_ms: int = 0


class Documents:
    """The file at `path`. All but `open` and `close` for one thread at a time; reads for any."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: sqlite3.Connection | None = None

    def open(self) -> str | None:
        """Opens or makes the file; answers where a damaged one was set aside, or None."""
        aside = None
        try:
            self._writer = self._connect()
        except sqlite3.DatabaseError as fault:
            if isinstance(fault, sqlite3.OperationalError) and "locked" in str(fault):
                raise
            aside = self._set_aside()
            self._writer = self._connect()
        return aside

    def close(self) -> None:
        """Ends the writing connection."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def put(self, documents: Sequence[Document]) -> None:
        """Adds documents, each in place of an older one of its URL."""
        with self._changing() as writer:
            writer.executemany(
                f"INSERT OR REPLACE INTO document ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)",  # noqa: S608
                [_row(document) for document in documents],
            )
            _note(writer, [document.url for document in documents])

    def remove(self, urls: Sequence[str]) -> int:
        """Takes documents out; answers how many there were."""
        with self._changing() as writer:
            removed = 0
            for url in urls:
                removed += writer.execute("DELETE FROM document WHERE url = ?", (url,)).rowcount
            _note(writer, urls)
        return removed

    def below(self, prefix: str) -> list[str]:
        """The URLs that are `prefix` or lie below it: behind a further slash, `?` or `#`."""
        with self.reading() as reader:
            found = reader.execute(
                "SELECT url FROM document WHERE substr(url, 1, ?) = ?", (len(prefix), prefix)
            )
            ends = ("", "/", "?", "#")
            return [u for (u,) in found if prefix.endswith("/") or u[len(prefix) :][:1] in ends]

    def pending(self, most: int) -> list[str]:
        """URLs that the index does not know as they are."""
        with self.reading() as reader:
            found = reader.execute("SELECT url FROM pending LIMIT ?", (most,))
            return [url for (url,) in found]

    def forget(self, urls: Sequence[str]) -> None:
        """The index knows these now."""
        with self._changing() as writer:
            writer.executemany("DELETE FROM pending WHERE url = ?", [(url,) for url in urls])

    def mark_all(self) -> None:
        """Notes every document as unknown to the index."""
        with self._changing() as writer:
            writer.execute("DELETE FROM pending")
            writer.execute("INSERT INTO pending SELECT url FROM document")

    def get(self, urls: Sequence[str]) -> dict[str, Document]:
        """The documents of these URLs, as far as there are any."""
        marks = ",".join("?" * len(urls))
        with self.reading() as reader:
            found = reader.execute(
                f"SELECT {COLUMNS} FROM document WHERE url IN ({marks})",  # noqa: S608 - only marks
                tuple(urls),
            )
            rows = [_document(row) for row in found]
        return {document.url: document for document in rows}

    def urls(self, origin: str) -> list[str]:
        """The URLs of one origin."""
        with self.reading() as reader:
            found = reader.execute("SELECT url FROM document WHERE origin = ?", (origin,))
            return [url for (url,) in found]

    def count(self) -> int:
        """How many documents there are."""
        with self.reading() as reader:
            return int(reader.execute("SELECT count(*) FROM document").fetchone()[0])

    def origins(self) -> list[tuple[str, int, int, int]]:
        """Per origin: its word, documents, tokens, and when the newest was added (unix ms)."""
        with self.reading() as reader:
            return reader.execute(
                "SELECT origin, count(*), sum(tokens), max(added_ms) FROM document "
                "GROUP BY origin ORDER BY origin"
            ).fetchall()

    def fact(self, name: str) -> str:
        """A fact that was kept, or empty."""
        with self.reading() as reader:
            row = reader.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
            return str(row[0]) if row else ""

    def keep_fact(self, name: str, value: str) -> None:
        """Keeps a fact."""
        with self._changing() as writer:
            writer.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, so that any thread may read while one writes."""
        reader = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            yield reader
        finally:
            reader.close()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        assert self._writer is not None
        with self._writer as writer:
            yield writer

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The thread that opens is not the one that writes; only one writes at a time.
        made = sqlite3.connect(self._path, timeout=5, check_same_thread=False)
        try:
            made.execute("PRAGMA journal_mode=WAL")
            # NORMAL may lose the last seconds of a power cut, never the file; FULL costs an fsync.
            made.execute("PRAGMA synchronous=NORMAL")
            small = self._path.stat().st_size <= CHECKED_BYTES
            if small and made.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("quick_check failed")
            version = made.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                made.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
            elif version != VERSION:
                raise sqlite3.DatabaseError(f"version {version} is not {VERSION}")
        except BaseException:
            made.close()
            raise
        return made

    def _set_aside(self) -> str:
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        self._path.rename(aside)
        for ending in ("-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        return str(aside)


def _document(row: tuple[Any, ...]) -> Document:
    url, title, content, description, date, origin, fetch, tokens, added_ms = row
    return Document(url, title, content, description, date, origin, bool(fetch), tokens, added_ms)


def _row(document: Document) -> tuple[str | int, ...]:
    d = document
    texts = (d.url, d.title, d.content, d.description, d.date, d.origin)
    return (*texts, int(d.fetch), d.tokens, d.added_ms)


def _note(writer: sqlite3.Connection, urls: Sequence[str]) -> None:
    writer.executemany("INSERT OR IGNORE INTO pending VALUES (?)", [(url,) for url in urls])
