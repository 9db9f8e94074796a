"""What a page says about itself: title, description, time, language, and what its head links to.

It refuses nothing: what is not said is empty. It runs in a worker process.
"""

import json
from typing import Any, Final

from selectolax.lexbor import LexborHTMLParser

EXTERNAL_RELS: Final = frozenset({"alternate", "canonical", "icon", "next", "prev", "amphtml"})
TITLE_META: Final = ("og:title", "twitter:title", "dc.title")
DESCRIPTION_META: Final = ("description", "og:description", "twitter:description")
TIME_META: Final = (
    "article:published_time",
    "og:published_time",
    "datepublished",
    "date",
    "dc.date",
    "dc.date.issued",
    "dcterms.created",
    "dcterms.date",
    "citation_publication_date",
    "pubdate",
    "parsely-pub-date",
    "publish_date",
    "publish-date",
    "sailthru.date",
)


def metadata(tree: LexborHTMLParser) -> dict[str, str]:
    """Language and every named `meta`, the first of each name."""
    found = {}
    root = tree.root
    language = root.attrs.get("lang") if root is not None else None
    if language:
        found["lang"] = language
    for node in tree.css("meta[content]"):
        name = node.attrs.sget("property") or node.attrs.sget("name")
        key = (name or node.attrs.sget("itemprop")).strip().lower()
        if key:
            found.setdefault(key, node.attrs.sget("content").strip())
    return found


def title(tree: LexborHTMLParser, known: dict[str, str]) -> str:
    """The page's title, else what its metadata or its first heading call it."""
    for node in tree.css("title"):
        parent = node.parent
        if (parent is None or parent.tag != "svg") and node.text().strip():
            return flat(node.text())
    named = next((known[name] for name in TITLE_META if known.get(name)), "")
    heading = tree.css_first("h1")
    return flat(named or (heading.text() if heading else ""))


def description(known: dict[str, str]) -> str:
    """What the page's metadata say it is about."""
    return next((known[key] for key in DESCRIPTION_META if known.get(key)), "")


def external(tree: LexborHTMLParser) -> dict[str, dict[str, dict[str, str]]]:
    """What the page links to in its head, by relation."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for node in tree.css("link[rel][href]"):
        attributes = node.attrs
        href = attributes.sget("href")
        for relation in attributes.sget("rel").lower().split():
            if relation in EXTERNAL_RELS and href:
                said = {
                    key: value
                    for key in ("type", "title", "hreflang")
                    if (value := attributes.get(key))
                }
                found.setdefault(relation, {})[href] = said
    return found


def published_time(tree: LexborHTMLParser, known: dict[str, str]) -> str | None:
    """When the page says it was published, in its own words."""
    for name in TIME_META:
        if known.get(name):
            return known[name]
    for node in tree.css('script[type="application/ld+json"]'):
        found = _date_published(node.text())
        if found:
            return found
    stamp = tree.css_first("time[pubdate][datetime], [itemprop=datePublished][datetime]")
    return stamp.attrs.get("datetime") if stamp is not None else None


def flat(text: str) -> str:
    """`text` on one line."""
    return " ".join(text.split())


def _date_published(text: str) -> str | None:
    try:
        waiting: list[Any] = [json.loads(text)]
    except (ValueError, RecursionError):
        return None
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            published = value.get("datePublished")
            if isinstance(published, str) and published:
                return published
            waiting.extend(child for child in value.values() if isinstance(child, list | dict))
    return None
