"""RSS and Atom feeds as Markdown lists. It runs in a worker process.

It refuses nothing: None says that the document is no feed after all. Entities are not resolved and
nothing is fetched.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin

from lxml import etree  # type: ignore[import-untyped]

ENTRIES: Final = 1000
SUMMARIES: Final = ("description", "summary", "encoded", "content")
TIMES: Final = ("pubDate", "published", "updated", "date")


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a feed; `summary` is HTML."""

    title: str
    url: str
    time: str
    summary: str


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed and its items, in its own order."""

    title: str
    description: str
    time: str
    entries: tuple[Entry, ...]


def read(body: bytes, url: str) -> Feed | None:
    """The feed in `body`, links made absolute by `url`; None if it is not one."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, recover=True, huge_tree=False, load_dtd=False
    )
    try:
        root = etree.fromstring(body.lstrip(), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    if root is None or _name(root) not in ("rss", "feed", "RDF"):
        return None
    channel = next((child for child in root if _name(child) == "channel"), root)
    items = [node for node in root.iter() if _name(node) in ("item", "entry")][:ENTRIES]
    return Feed(
        title=_text(channel, "title"),
        description=_text(channel, "description", "subtitle"),
        time=_text(channel, "lastBuildDate", *TIMES),
        entries=tuple(_entry(item, url) for item in items),
    )


def _entry(item: Any, url: str) -> Entry:
    link = next((address for address in _links(item) if address), "")
    return Entry(
        title=_text(item, "title") or link,
        url=urljoin(url, link) if link else "",
        time=_text(item, *TIMES),
        summary=_text(item, *SUMMARIES),
    )


def _links(item: Any) -> Iterator[str]:
    for child in item:
        if _name(child) == "link" and child.get("rel", "alternate") == "alternate":
            yield (child.get("href") or child.text or "").strip()
    yield from (
        (child.text or "").strip()
        for child in item
        if _name(child) in ("guid", "id") and (child.text or "").strip().startswith("http")
    )


def _text(node: Any, *names: str) -> str:
    """The text of the first child that has one of `names` and says something."""
    for name in names:
        for child in node:
            if _name(child) == name:
                said = "".join(child.itertext()).strip()
                if said:
                    return str(said)
    return ""


def _name(node: Any) -> str:
    return etree.QName(node).localname if isinstance(node.tag, str) else ""
