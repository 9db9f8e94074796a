"""What `sluice index add` is given, as documents: folders, files, URLs, lists of URLs.

Refuses files of unknown kinds, hidden ones and very large ones: a folder is what it says it is, and
may hold anything.
"""

import base64
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from gateway.errors import ConfigurationFault

_TEXTS: Final = frozenset({".md", ".markdown", ".txt", ".rst", ".adoc", ".text"})
_PAGES: Final = frozenset({".html", ".htm", ".xhtml"})
_PDFS: Final = frozenset({".pdf"})
_MOST_BYTES: Final = 20 * 1024 * 1024
_BATCH_DOCUMENTS: Final = 100
_BATCH_BYTES: Final = 4 * 1024 * 1024
_HEADING: Final = re.compile(r"^(?:#|=)\s+(.+?)\s*#*$", re.MULTILINE)
_URL: Final = re.compile(r"https?://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """One document to be: its URL, and its file unless it is on the web."""

    url: str
    path: Path | None = None

    @property
    def needs_reader(self) -> bool:
        """Whether text must be taken out of it first."""
        return self.path is None or self.path.suffix.lower() not in _TEXTS


def sources(words: Sequence[str], base: str) -> list[Source]:
    """Every document that the words name, in order. Raises ConfigurationFault for what is none."""
    if base and not _URL.fullmatch(base):
        raise ConfigurationFault([f"--base must be an http or https URL, not {base!r}"])
    found: list[Source] = []
    mistakes = []
    for word in words:
        path = Path(word)
        if _URL.fullmatch(word):
            found.append(Source(word))
        elif path.is_dir():
            found += _below(path, base)
        elif path.is_file():
            found += _listed(path) or [_file(path, path.resolve().parent, base)]
        else:
            mistakes.append(f"{word} is no folder, no file and no http(s) URL")
    if mistakes:
        raise ConfigurationFault(mistakes)
    return list(dict.fromkeys(found))


def batches(given: Iterable[Source]) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
    """Documents for one request at a time, and sentences about those that cannot be read."""
    documents: list[dict[str, Any]] = []
    unreadable: list[str] = []
    size = 0
    for source in given:
        try:
            document = _document(source)
        except (OSError, ValueError) as error:
            unreadable.append(f"{source.path}: {error}")
            continue
        length = sum(len(value) for value in document.values())
        if documents and (len(documents) >= _BATCH_DOCUMENTS or size + length > _BATCH_BYTES):
            yield documents, unreadable
            documents, unreadable, size = [], [], 0
        documents.append(document)
        size += length
    yield documents, unreadable


def _below(folder: Path, base: str) -> Iterator[Source]:
    root = folder.resolve()
    for place, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = Path(place) / name
            if not name.startswith(".") and path.suffix.lower() in _TEXTS | _PAGES | _PDFS:
                yield _file(path, root, base)


def _file(path: Path, root: Path, base: str) -> Source:
    """Under `base`, else under the folder's own name, which `site:` then names."""
    inner = quote(str(path.resolve().relative_to(root)))
    if base:
        return Source(f"{base.rstrip('/')}/{inner}", path)
    name = quote(root.name.lower().replace(" ", "-")) or "files"
    return Source(f"file://{name}/{inner}", path)


def _listed(path: Path) -> list[Source]:
    """The URLs of a list: a text file in which every line is one, but for comments; else none."""
    if path.suffix.lower() in _PAGES | _PDFS or path.stat().st_size > _MOST_BYTES:
        return []
    lines = [line.strip() for line in path.read_text("utf-8", "replace").splitlines()]
    urls = [line for line in lines if line and not line.startswith("#")]
    return [Source(url) for url in urls] if urls and all(map(_URL.fullmatch, urls)) else []


def _document(source: Source) -> dict[str, Any]:
    if source.path is None:
        return {"url": source.url}
    if source.path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"larger than {_MOST_BYTES // 1_048_576} MiB")
    raw = source.path.read_bytes()
    kind = source.path.suffix.lower()
    if kind in _PDFS:
        return {"url": source.url, "pdf": base64.b64encode(raw).decode()}
    text = raw.decode("utf-8", "replace")
    if kind in _PAGES:
        return {"url": source.url, "html": text}
    heading = _HEADING.search(text)
    title = heading[1] if heading else source.path.stem
    return {"url": source.url, "title": title, "content": text}
