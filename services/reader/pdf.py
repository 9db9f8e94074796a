"""The text of a PDF, page by page. Owner of pypdfium2; it runs in a worker process.

It refuses what is no PDF, is locked, or has no such page, by raising PdfError.
"""

import re
from dataclasses import dataclass
from typing import Final

import pypdfium2  # type: ignore[import-untyped]

# Beyond so many pages a document is a book; it is read up to there, and the count is told.
PAGES: Final = 2000
ENDINGS: Final = (".", "!", "?", ":", ";", "。", "！", "？", "…")
BULLET: Final = re.compile(r"(?:[-*•‣◦–]|\(?[0-9a-zA-Z]{1,3}[.)])\s")
HYPHEN: Final = re.compile(r"(\w)[-\u00ad\ufffe\u0002]$")
# A line shorter than this share of the longest on its page ends its paragraph.
FULL_SHARE: Final = 0.75


class PdfError(ValueError):
    """A PDF that cannot be read."""


@dataclass(frozen=True, slots=True)
class Pdf:
    """What a PDF says. `pages` counts all of its pages, `text` is of those that were wanted."""

    title: str
    created: str | None
    text: str
    pages: int


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
        texts = [paragraphs(_page(document, number)) for number in numbers]
        said = document.get_metadata_dict()
        title = " ".join(said.get("Title", "").split())
        return Pdf(title, _date(said.get("CreationDate", "")), _joined(texts), count)
    finally:
        document.close()


def paragraphs(text: str) -> str:
    """The lines of a page as paragraphs: joined where one only broke at the margin."""
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
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
    return "\n\n".join(part for part in [*done, current] if part)


def _page(document: pypdfium2.PdfDocument, number: int) -> str:
    try:
        page = document[number]
        sheet = page.get_textpage()
        text: str = sheet.get_text_bounded()
    except pypdfium2.PdfiumError:
        return ""  # one broken page is no reason to lose the others
    sheet.close()
    page.close()
    return text


def _joined(texts: list[str]) -> str:
    return "\n\n".join(text for text in texts if text)


def _date(text: str) -> str | None:
    """`D:20240501101500+02'00'` as a time that others can read."""
    found = re.match(r"(?:D:)?(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?", text)
    if not found:
        return None
    year, month, day, *time = (part or "00" for part in found.groups())
    return f"{year}-{month}-{day}T{':'.join(time)}Z"


def _reason(fault: Exception) -> str:
    return "it is locked with a password" if "password" in str(fault).lower() else "it is damaged"
