"""The documents that a fresh machine can find: this project's own texts, from the checkout.

A heading of the second level begins a document of its own, so that a hit is the section and not the
book. It refuses nothing: without a checkout around the package there are none.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from services.search.index.documents import Document

ROOT: Final = Path(__file__).resolve().parents[3]
PATTERNS: Final = ("README.md", "ops/*.md", "ops/decisions/*.md", "docs/**/*.md")
TITLE: Final = re.compile(r"^# (.+)$", re.MULTILINE)
SECTION: Final = re.compile(r"^## (.+)$", re.MULTILINE)
SLUG: Final = re.compile(r"[^a-z0-9]+")
# Sections of a smaller file are found well enough with the whole.
WHOLE_CHARACTERS: Final = 4000
MOST: Final = 500


def texts(root: Path = ROOT) -> list[tuple[str, str]]:
    """Name without ending, and text, of every document file, in order."""
    paths = sorted({path for pattern in PATTERNS for path in root.glob(pattern)})
    found = []
    for path in paths[:MOST]:
        name = str(path.relative_to(root).with_suffix(""))
        found.append((name, path.read_text(encoding="utf-8", errors="replace")))
    return found


def digest(found: Sequence[tuple[str, str]], domain: str) -> str:
    """What changes when any of the documents does."""
    seen = hashlib.sha256(f"2\n{domain}\n".encode())
    for name, text in found:
        seen.update(f"{name}\0{text}\0".encode("utf-8", "replace"))
    return seen.hexdigest()


def documents(found: Sequence[tuple[str, str]], domain: str) -> Iterator[Document]:
    """The documents, at addresses of the deployment's own documentation."""
    for name, text in found:
        heading = TITLE.search(text)
        title = heading[1].strip() if heading else name
        url = f"https://docs.{domain}/{name.lower()}"
        marks = list(SECTION.finditer(text))
        if len(text) <= WHOLE_CHARACTERS or not marks:
            yield _document(url, title, text)
            continue
        yield _document(url, title, text[: marks[0].start()])
        ends = [*(mark.start() for mark in marks[1:]), len(text)]
        for mark, end in zip(marks, ends, strict=True):
            section = mark[1].strip()
            slug = SLUG.sub("-", section.lower()).strip("-")
            yield _document(f"{url}#{slug}", f"{title}: {section}", text[mark.start() : end])


def _document(url: str, title: str, text: str) -> Document:
    plain = title.replace("`", "").replace("**", "")
    return Document(url, plain, text.strip(), origin="starter", fetch=False)
