"""The answer in the form that the client accepts: text, JSON or server-sent event. Pure.

Text is the default; JSON and events only for clients that do not accept text. It refuses nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import orjson

from services.reader.jobs import Extracted
from services.reader.options import Options
from services.reader.refusals import Refusal, body

BETWEEN_CHUNKS: Final = "\n\n\u001d"
LABELS: Final = {
    "usage1": "Usage 1",
    "usage2": "Usage 2",
    "homepage": "Homepage",
    "note": "Note",
}
NO_IMAGES: Final = "This page does not seem to contain any images."
NO_LINKS: Final = "This page does not seem to contain any buttons/links."


class Form(Enum):
    """The content types of an answer."""

    TEXT = "text/plain"
    JSON = "application/json"
    EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Reading:
    """A page that was read, and what the answer says beside its content."""

    url: str
    status: int
    reason: str
    parts: Extracted
    warnings: tuple[str, ...]
    tokens: int
    screenshot: bytes | None = None
    pageshot: bytes | None = None


def accepted(accept: str) -> Form:
    """The form for an `Accept` header; text unless it is excluded and another is named."""
    taken = _taken(accept)
    if taken & {"text/plain", "text/markdown", "text/*", "*/*"}:
        return Form.TEXT
    if "text/event-stream" in taken:
        return Form.EVENTS
    if taken & {"application/json", "application/*"}:
        return Form.JSON
    return Form.TEXT


def refused(accept: str, refusal: Refusal) -> tuple[Form, bytes]:
    """A refusal in its form, not that of an answer: JSON to whoever does not exclude it."""
    taken = _taken(accept)
    if not taken or taken & {"application/json", "application/*", "*/*"}:
        return Form.JSON, refusal_json(refusal)
    if taken & {"text/plain", "text/markdown", "text/*"}:
        return Form.TEXT, f"{refusal.name}: {refusal.message}\n".encode("utf-8", "replace")
    if "text/event-stream" in taken:
        return Form.EVENTS, refusal_event(refusal)
    return Form.JSON, refusal_json(refusal)


def text(reading: Reading, options: Options) -> str:
    """The page as plain text: bare for html, text and chunks, with a head for Markdown."""
    parts = reading.parts
    if parts.content is None:
        return parts.html if parts.html is not None else parts.text or ""
    if parts.chunks:
        return BETWEEN_CHUNKS.join(parts.chunks)
    head = [f"Title: {parts.title}", f"URL Source: {reading.url}"]
    if parts.published_time:
        head.append(f"Published Time: {parts.published_time}")
    if reading.warnings:
        head.append("\n".join(f"Warning: {warning}" for warning in reading.warnings))
    if parts.pages:
        head.append(f"Number of Pages: {parts.pages}")
    written = "\n\n".join(head) + f"\n\nMarkdown Content:\n{parts.content}"
    tail = []
    if parts.images is not None:
        rows = [f"- ![{label}]({url})" for label, url in parts.images]
        tail.append("\n".join(["Images:", *(rows or [NO_IMAGES])]))
    if parts.links is not None:
        rows = [f"- [{label}]({url})" for label, url in _links(reading, options)]
        tail.append("\n".join(["Links/Buttons:", *(rows or [NO_LINKS])]))
    return "\n\n".join([written, *tail]) + "\n"


def document(reading: Reading, options: Options, addresses: Mapping[str, str]) -> dict[str, Any]:
    """The `data` of the JSON form; `addresses` are those of the page's pictures, by field."""
    parts = reading.parts
    fields: dict[str, Any] = {
        "title": parts.title,
        "description": parts.description,
        "url": reading.url,
    }
    for name in ("content", "text", "html"):
        value = getattr(parts, name)
        if value is not None:
            fields[name] = value
    fields.update(addresses)
    if parts.chunks is not None:
        fields["chunks"] = parts.chunks
    if parts.pages:
        fields["numPages"] = parts.pages
    if parts.published_time:
        fields["publishedTime"] = parts.published_time
    fields["metadata"] = parts.metadata
    fields["external"] = parts.external
    if parts.images is not None:
        fields["images"] = dict(parts.images)
    if parts.links is not None:
        links = _links(reading, options)
        fields["links"] = [list(row) for row in links] if options.links_all else dict(links)
    if reading.warnings:
        fields["warning"] = "\n".join(reading.warnings)
    if reading.status:
        fields["httpStatus"] = reading.status
        fields["httpStatusText"] = reading.reason
    fields["usage"] = {"tokens": reading.tokens}
    return fields


def json(reading: Reading, options: Options, addresses: Mapping[str, str]) -> bytes:
    """The whole answer of `Accept: application/json`."""
    return orjson.dumps(
        {
            "code": 200,
            "status": 20000,
            "data": document(reading, options, addresses),
            "meta": {"usage": {"tokens": reading.tokens}},
        }
    )


def event(reading: Reading, options: Options, addresses: Mapping[str, str], *, last: bool) -> bytes:
    """One frame; only the last says what the page costs, since the others are given away."""
    fields = document(reading, options, addresses)
    if not last:
        del fields["usage"]
    return b"event: data\ndata: " + orjson.dumps(fields) + b"\n\n"


def refusal_json(refusal: Refusal) -> bytes:
    """A refusal in the reader's envelope."""
    return orjson.dumps(body(refusal))


def refusal_event(refusal: Refusal) -> bytes:
    """A refusal as the last event of a stream."""
    return b"event: error\ndata: " + refusal_json(refusal) + b"\n\n"


def index(domain: str) -> dict[str, str]:
    """The usage page, as fields."""
    return {
        "usage1": f"https://r.{domain}/YOUR_URL",
        "usage2": f"https://s.{domain}/YOUR_SEARCH_QUERY",
        "homepage": f"https://{domain}/",
    }


def index_text(fields: Mapping[str, str]) -> str:
    """The usage page as lines of text."""
    return "".join(f"[{LABELS[name]}] {value}\n" for name, value in fields.items())


def _taken(accept: str) -> set[str]:
    """The content types that an `Accept` header names and does not exclude."""
    kinds = {
        kind.strip().lower(): parameters.replace(" ", "")
        for kind, _, parameters in (item.partition(";") for item in accept.split(","))
    }
    return {kind for kind, said in kinds.items() if kind and said not in ("q=0", "q=0.0")}


def _links(reading: Reading, options: Options) -> list[tuple[str, str]]:
    """Every link with `all`; else each address once, under a label of its own."""
    rows = reading.parts.links or []
    if options.links_all:
        return rows
    labels: dict[str, str] = {}
    for label, url in rows:
        if url not in labels or not labels[url]:
            labels[url] = label
    used: dict[str, str] = {}
    for url, label in labels.items():
        name, number = label or url, 1
        while name in used:
            number += 1
            name = f"{label or url} ({number})"
        used[name] = url
    return list(used.items())
