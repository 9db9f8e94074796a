"""Files that came along as data URIs, turned into pages that the research reads like any other.

Text is decoded here, a PDF is read by the reader in its bounded workers, an image is described by
the model. It refuses (400) what is no data URI, of no kind that can be read, or too large, before
a byte of the answer is sent.
"""

import asyncio
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from services.deepsearch.messages import File
from services.deepsearch.refusals import bad
from services.deepsearch.tools import Page

# All attachments of one request together, decoded; the published limit.
TOTAL_BYTES: Final = 10 * 1024 * 1024
# What is decoded at once: under a millisecond.
SLICE_CHARACTERS: Final = 512 * 1024
PDF: Final = "application/pdf"
IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
TEXTS: Final = frozenset(
    {
        "application/json",
        "application/xml",
        "application/yaml",
        "application/x-yaml",
        "application/javascript",
        "application/x-ndjson",
        "application/markdown",
    }
)
# What a file of a kind begins with; a client's word for it is not enough.
MAGIC: Final = {
    PDF: (b"%PDF",),
    "image/png": (b"\x89PNG\r\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF8",),
    "image/webp": (b"RIFF",),
}
# A PDF may have some rubbish in front of its mark.
MAGIC_WITHIN: Final = 1_024


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that was looked into: `body` is what it holds, `kind` its media type."""

    name: str
    kind: str
    body: bytes

    @property
    def is_image(self) -> bool:
        return self.kind in IMAGES

    def data_uri(self) -> str:
        """As a model takes it."""
        return f"data:{self.kind};base64,{binascii.b2a_base64(self.body, newline=False).decode()}"


class Documents(Protocol):
    """Who reads a PDF."""

    async def document(self, name: str, pdf_base64: str) -> Page | str:
        """The page, or why there is none."""


async def opened(files: Sequence[File], *, sees: bool) -> list[Attachment]:
    """All files decoded. `sees`: there is a model for images. Raises AskError."""
    found: list[Attachment] = []
    left = TOTAL_BYTES
    for number, file in enumerate(files, 1):
        attachment = await _opened(file, number, left)
        left -= len(attachment.body)
        if attachment.is_image and not sees:
            raise bad(
                f"{attachment.name}: images need a model that sees, and this deployment has none; "
                "send text or a PDF"
            )
        found.append(attachment)
    return found


async def pages(attachments: Sequence[Attachment], documents: Documents) -> list[Page]:
    """What texts and PDFs say, images left out. Raises AskError for a PDF that cannot be read."""
    found = []
    for each in attachments:
        if each.kind == PDF:
            packed = await asyncio.to_thread(binascii.b2a_base64, each.body, newline=False)
            page = await documents.document(each.name, packed.decode("ascii"))
            if isinstance(page, str):
                raise bad(f"{each.name}: the PDF could not be read: {page}")
            found.append(Page(f"attachment:{each.name}", each.name, page.text, page.date, False))
        elif not each.is_image:
            text = _text(each)
            found.append(Page(f"attachment:{each.name}", each.name, text, None, False))
    return found


async def _opened(file: File, number: int, left: int) -> Attachment:
    head, comma, tail = file.uri[5:].partition(",")
    name = file.name or f"attachment {number}"
    if not comma:
        raise bad(f"{name}: not a data URI (data:<type>;base64,...)")
    marks = [mark.strip().lower() for mark in head.split(";")]
    kind = marks[0] or "text/plain"
    packed = "base64" in marks[1:]
    if len(tail) > (left * 4 // 3 + 1024 if packed else 3 * left):
        raise _too_large()
    body = await _unpacked(tail, name) if packed else unquote_to_bytes(tail)
    if len(body) > left:
        raise _too_large()
    if not body:
        raise bad(f"{name}: the attachment is empty")
    return Attachment(name, _kind(kind, body, name, image=file.image), body)


def _too_large() -> Exception:
    return bad(f"Attachments may have at most {TOTAL_BYTES // 1024**2} MB in total")


async def _unpacked(text: str, name: str) -> bytes:
    """Base64 of either alphabet, in slices that let other requests run in between."""
    if "%" in text[:4_096]:
        text = unquote_to_bytes(text).decode("ascii", "replace")
    bare = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    parts = []
    try:
        for at in range(0, len(bare), SLICE_CHARACTERS):
            part = bare[at : at + SLICE_CHARACTERS]
            parts.append(binascii.a2b_base64(part + "=" * (-len(part) % 4), strict_mode=True))
            await asyncio.sleep(0)
    except (binascii.Error, ValueError):
        raise bad(f"{name}: the attachment is not valid base64") from None
    return b"".join(parts)


def _kind(said: str, body: bytes, name: str, *, image: bool) -> str:
    """The media type, as far as the file itself agrees with it."""
    kind = {"image/jpg": "image/jpeg", "application/x-pdf": PDF}.get(said, said)
    start = body[:MAGIC_WITHIN]
    if kind in ("application/octet-stream", "") or (image and kind not in IMAGES):
        kind = next((k for k, marks in MAGIC.items() if start.startswith(marks)), kind)
    if kind in MAGIC:
        right = any(mark in start for mark in MAGIC[kind])
        if not right:
            raise bad(f"{name}: this is not the {kind} that it says it is")
        return kind
    if kind.startswith("text/") or kind in TEXTS or kind.endswith(("+json", "+xml")):
        return kind
    known = "text, application/pdf, image/png, image/jpeg, image/webp and image/gif"
    raise bad(f"{name}: attachments of type {said[:80]} cannot be read; known are {known}")


def _text(attachment: Attachment) -> str:
    """Text in UTF-8 or UTF-16 with a mark, else as Windows writes it. Raises AskError."""
    body = attachment.body
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = body.decode("utf-16", "replace")
    else:
        try:
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = body.decode("cp1252", "replace")
    if "\0" in text or not text.strip():
        raise bad(f"{attachment.name}: the attachment is no readable text")
    return text
