"""Documents that are no HTML: text, feeds, PDFs and images, each as one text.

It refuses kinds that are not read as a Failure. It runs in a worker process.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from services.reader import feeds, markdown, pdf, raster
from services.reader.charsets import decode
from services.reader.jobs import Failure, Job
from services.reader.media import Media

# An XML document that was decoded is no longer in the encoding that it declares.
DECLARED: Final = re.compile(r"^(\s*<\?xml[^>]*?)\s+encoding\s*=\s*[\"'][^\"']*[\"']")
SUMMARY_CHARACTERS: Final = 1000


@dataclass(frozen=True, slots=True)
class Plain:
    """A document whose content, text and HTML are all the same text, but for marks of headings.

    `bare` is the text without them, empty where there are none.
    """

    text: str
    title: str = ""
    description: str = ""
    published_time: str | None = None
    pages: int | None = None
    images: list[tuple[str, str]] = field(default_factory=list)
    bare: str = ""


def read(kind: Media, job: Job, body: bytes) -> Plain | Failure:
    """The document as text, or why it is not read."""
    if kind is Media.PDF:
        return _pdf(job, body)
    if kind is Media.PICTURE:
        return _picture(job, body)
    if kind is Media.OTHER:
        return Failure("media", job.content_type or "unknown")
    text = decode(body, job.charset)
    if kind is Media.FEED:
        found = feeds.read(DECLARED.sub(r"\1", text, count=1).encode("utf-8", "replace"), job.url)
        if found is not None:
            return _feed(found)
    return Plain(text.replace("\r\n", "\n").strip("\ufeff\n"))


def _pdf(job: Job, body: bytes) -> Plain | Failure:
    try:
        found = pdf.read(body, job.page)
    except pdf.PdfError as fault:
        return Failure("document", str(fault))
    title = found.title or _name(job)
    return Plain(found.text, title, "", found.created, found.pages, bare=found.bare)


def _picture(job: Job, body: bytes) -> Plain | Failure:
    try:
        described = raster.describe(body)
    except raster.PictureError:
        return Failure("media", job.content_type or "unknown")
    name = _name(job)
    alt = job.alts.get(job.url) or name
    label = f"Image 1: {alt} ({described})" if alt else f"Image 1 ({described})"
    return Plain(f"![{label}]({job.url})", name, images=[(label, job.url)])


def _feed(found: feeds.Feed) -> Plain:
    rows = []
    for entry in found.entries:
        head = f"[{entry.title}]({entry.url})" if entry.url else entry.title
        row = f"- {head}" + (f" ({entry.time})" if entry.time else "")
        summary = " ".join(markdown.to_text(entry.summary).split()) if entry.summary else ""
        if summary:
            row += f"\n  {summary[:SUMMARY_CHARACTERS]}"
        rows.append(row)
    return Plain("\n".join(rows), found.title, found.description, found.time or None)


def _name(job: Job) -> str:
    """What the document is called, where it does not say so itself."""
    return job.name or unquote(urlsplit(job.url).path.rpartition("/")[2])
