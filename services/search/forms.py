"""The answer in the form that the client accepts: text, JSON, or a growing array of events. Pure.

Large answers come in parts, so that no single one holds the event loop. It refuses nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from services.reader.forms import NO_IMAGES, NO_LINKS
from services.search.hits import Hit, Page

# Of the reader's fields these are said by the hit itself.
OWN: Final = frozenset({"title", "url", "description", "content", "usage"})


@dataclass(frozen=True, slots=True)
class Item:
    """One hit as it is answered. `tokens` is what it says of its usage."""

    hit: Hit
    page: Page
    tokens: int
    favicon: str = ""


def document(item: Item) -> dict[str, Any]:
    """The element of the JSON form; `content` is there even where there is none."""
    hit = item.hit
    fields: dict[str, Any] = {"title": hit.title, "url": hit.url, "description": hit.description}
    if hit.date:
        fields["date"] = hit.date
    if hit.source:
        fields["source"] = hit.source
    if hit.image is not None:
        fields["imageUrl"] = hit.image.url
        fields["imageWidth"] = hit.image.width
        fields["imageHeight"] = hit.image.height
    fields["content"] = item.page.content
    fields.update((n, v) for n, v in item.page.fields.items() if n not in OWN)
    if item.favicon:
        fields["favicon"] = item.favicon
    fields["usage"] = {"tokens": item.tokens}
    return fields


def json(items: Sequence[Item], tokens: int) -> Iterator[bytes]:
    """The parts of the whole answer of `Accept: application/json`."""
    yield b'{"code":200,"status":20000,"data":'
    yield from _array(items)
    yield b',"meta":' + orjson.dumps({"usage": {"tokens": tokens}}) + b"}"


def event(items: Sequence[Item]) -> Iterator[bytes]:
    """The parts of one frame: the array as it is now."""
    yield b"event: data\ndata: "
    yield from _array(items)
    yield b"\n\n"


def usage_event(tokens: int) -> bytes:
    """The last frame, by which the charge is known; no client that waits for data hears it."""
    return b"event: usage\ndata: " + orjson.dumps({"meta": {"usage": {"tokens": tokens}}}) + b"\n\n"


def text(items: Sequence[Item]) -> Iterator[bytes]:
    """The parts of the answer as plain text, hits separated by a blank line."""
    for number, item in enumerate(items, 1):
        head = "\n".join(f"[{number}] {name}: {value}" for name, value in _head(item))
        content = _content(item.page).strip("\n")
        block = f"{head}\n\n{content}" if content else head
        yield ("\n\n" if number > 1 else "").encode() + block.encode("utf-8", "replace")
    yield b"\n"


def _array(items: Sequence[Item]) -> Iterator[bytes]:
    yield b"["
    for number, item in enumerate(items):
        if number:
            yield b","
        yield orjson.dumps(document(item))
    yield b"]"


def _head(item: Item) -> Iterator[tuple[str, str]]:
    hit = item.hit
    yield "Title", hit.title
    yield "URL Source", hit.url
    rest = (
        ("Description", hit.description),
        ("Published Time", item.page.fields.get("publishedTime")),
        ("Source", hit.source),
        ("Image URL", hit.image.url if hit.image else ""),
        ("Date", hit.date),
        ("Favicon", item.favicon),
    )
    yield from ((name, value) for name, value in rest if isinstance(value, str) and value)


def _content(page: Page) -> str:
    """Markdown, else what there is; then the summaries, as the reader writes them."""
    names = ("content", "text", "html", "screenshotUrl", "pageshotUrl")
    found = (page.fields.get(name) for name in names)
    parts = [next((value for value in found if isinstance(value, str) and value), "")]
    images, links = page.fields.get("images"), page.fields.get("links")
    if isinstance(images, Mapping):
        rows = [f"- ![{label}]({url})" for label, url in images.items()]
        parts.append("\n".join(["Images:", *(rows or [NO_IMAGES])]))
    if isinstance(links, Mapping | list):
        pairs = links.items() if isinstance(links, Mapping) else links
        rows = [f"- [{pair[0]}]({pair[1]})" for pair in pairs if len(pair) == 2]
        parts.append("\n".join(["Links/Buttons:", *(rows or [NO_LINKS])]))
    return "\n\n".join(part.strip("\n") for part in parts if part)
