"""The text of a PDF, page by page. Owner of pypdfium2; it runs in a worker process.

It refuses what is no PDF, is locked, or has no such page, by raising PdfError.
"""

import ctypes
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

# Beyond so many pages a document is a book; it is read up to there, and the count is told.
PAGES: Final = 2000
ENDINGS: Final = (".", "!", "?", ":", ";", "。", "！", "？", "…")
BULLET: Final = re.compile(r"(?:[-*•‣◦–]|\(?[0-9a-zA-Z]{1,3}[.)])\s")
HYPHEN: Final = re.compile(r"(\w)[-\u00ad\ufffe\u0002]$")
# A line shorter than this share of the longest on its page ends its paragraph.
FULL_SHARE: Final = 0.75
# Where pdfium has joined a word that was broken at a line's end.
JOINED: Final = re.compile("[\ufffe\u0002]")
# Letters by so much larger than most of the document's are those of a heading; not of a banner.
HEADING_SHARE: Final = 1.15
HEADING_LINES: Final = 3
HEADING_CHARACTERS: Final = 200
LEVELS: Final = 3
# What leads the eye to a page number, in a table of contents.
LEADERS: Final = re.compile(r"\.(?: ?\.){3}")


class PdfError(ValueError):
    """A PDF that cannot be read."""


@dataclass(frozen=True, slots=True)
class Pdf:
    """What a PDF says. `pages` counts all of its pages, `text` is of those that were wanted.

    `text` is Markdown in so far as it has headings, which `bare` has as lines.
    """

    title: str
    created: str | None
    text: str
    bare: str
    pages: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page, and how large its first letter is, in points."""

    text: str
    size: float


def read(body: bytes, wanted: int | None) -> Pdf:
    """Every page's text in order, or that of page `wanted`, counted from 1. Raises PdfError."""
    try:
        document = pypdfium2.PdfDocument(body)
    except pypdfium2.PdfiumError as fault:
        raise PdfError(f"not a readable PDF ({_reason(fault)})") from fault
    try:
        count = len(document)
        if wanted is not None and not 1 <= wanted <= count:
            raise PdfError(f"there is no page {wanted} in its {count} pages")
        numbers = [wanted - 1] if wanted else range(min(count, PAGES))
        pages = [_page(document, number) for number in numbers]
        levels = _levels([line for page in pages for line in page])
        parts = [part for page in pages for part in _parts(page, levels)]
        said = document.get_metadata_dict()
        title = " ".join(said.get("Title", "").split())
        marked = "\n\n".join(f"{'#' * level} {text}" if level else text for level, text in parts)
        bare = "\n\n".join(text for _, text in parts)
        return Pdf(title, _date(said.get("CreationDate", "")), marked, bare, count)
    finally:
        document.close()


def paragraphs(text: str) -> str:
    """The lines of a page as paragraphs: joined where one only broke at the margin."""
    rows = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n\n".join(_paragraphs([row.strip() for row in rows]))


def _paragraphs(lines: Sequence[str]) -> list[str]:
    full = FULL_SHARE * max((len(line) for line in lines), default=0)
    done: list[str] = []
    current = ""
    for line in lines:
        if not line or BULLET.match(line):
            done.append(current)
            current = line
        elif broken := HYPHEN.search(current):
            joins = line[0].islower()
            current = current[: broken.end(1)] + ("" if joins else "-") + line
        else:
            current = f"{current} {line}" if current else line
        if len(line) < full and not HYPHEN.search(line):
            done.append(current)
            current = ""
    return [part for part in [*done, current] if part]


def _page(document: pypdfium2.PdfDocument, number: int) -> list[Line]:
    try:
        page = document[number]
        sheet = page.get_textpage()
        found = list(_lines(sheet, sheet.get_text_range()))
    except pypdfium2.PdfiumError:
        return []  # one broken page is no reason to lose the others
    sheet.close()
    page.close()
    return found


def _lines(sheet: pypdfium2.PdfTextPage, text: str) -> Iterator[Line]:
    start = 0
    for row in text.split("\n"):
        blank = len(row) - len(row.lstrip())
        size = _size(sheet, start + blank)
        *broken, last = JOINED.split(row)
        yield from (Line(part.strip() + "-", size) for part in broken)
        yield Line(last.strip(), size)
        start += len(row) + 1


def _size(sheet: pypdfium2.PdfTextPage, place: int) -> float:
    """How large the letter at that place is shown, to half a point."""
    matrix = pdfium.FS_MATRIX()
    if not pdfium.FPDFText_GetMatrix(sheet.raw, place, ctypes.byref(matrix)):
        return 0.0
    points: float = pdfium.FPDFText_GetFontSize(sheet.raw, place)
    points *= max(abs(matrix.d), abs(matrix.b))
    return round(points * 2) / 2


def _levels(lines: Sequence[Line]) -> dict[float, int]:
    """The level of heading of each size of letters that is larger than the usual one."""
    usual = Counter[float]()
    for line in lines:
        usual[line.size] += len(line.text)
    if not usual:
        return {}
    least = usual.most_common(1)[0][0] * HEADING_SHARE
    sizes = sorted((size for size in usual if size >= least > 0), reverse=True)
    return {size: min(level, LEVELS) for level, size in enumerate(sizes, 1)}


def _parts(page: Sequence[Line], levels: dict[float, int]) -> Iterator[tuple[int, str]]:
    """Headings, with their levels, and paragraphs, with 0, in order."""
    body: list[str] = []
    for level, rows in groupby(page, lambda line: levels.get(line.size, 0)):
        texts = [line.text for line in rows]
        told = [text for text in texts if text]
        heading = " ".join(told)
        short = len(told) <= HEADING_LINES and len(heading) <= HEADING_CHARACTERS
        named = any(map(str.isalpha, heading)) and not LEADERS.search(heading)
        if level and short and named:
            yield from ((0, part) for part in _paragraphs(body))
            body = []
            yield level, heading
        else:
            body += texts
    yield from ((0, part) for part in _paragraphs(body))


def _date(text: str) -> str | None:
    """`D:20240501101500+02'00'` as a time that others can read."""
    found = re.match(r"(?:D:)?(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?", text)
    if not found:
        return None
    year, month, day, *time = (part or "00" for part in found.groups())
    return f"{year}-{month}-{day}T{':'.join(time)}Z"


def _reason(fault: Exception) -> str:
    return "it is locked with a password" if "password" in str(fault).lower() else "it is damaged"
