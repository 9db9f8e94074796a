"""The page as a tree: selectors, absolute addresses, links, images and the facts of its head.

Owner of selectolax. It runs in a worker process. It refuses selectors that are not valid CSS.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

LAZY_SOURCES: Final = ("data-src", "data-original", "data-lazy-src", "data-url", "srcset")
# Stands for data in an address while the page is taken apart; the name can never be resolved.
STAND_IN: Final = "http://data-url.invalid/"
EXTERNAL_RELS: Final = frozenset({"alternate", "canonical", "icon", "next", "prev", "amphtml"})
TITLE_META: Final = ("og:title", "twitter:title")
DESCRIPTION_META: Final = ("description", "og:description", "twitter:description")
TIME_META: Final = (
    "article:published_time",
    "og:published_time",
    "datepublished",
    "date",
    "dc.date",
    "dcterms.created",
    "pubdate",
    "parsely-pub-date",
    "publish_date",
)


class BadSelectorError(ValueError):
    """A selector that is not CSS."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of the page with its absolute address."""

    url: str
    alt: str


class Dom:
    """A parsed page whose addresses are absolute."""

    def __init__(self, html: str, url: str, *, keep_data_urls: bool) -> None:
        self._tree = LexborHTMLParser(html)
        self._keep_data_urls = keep_data_urls
        base = self._tree.css_first("base[href]")
        self._base = _join(url, base.attrs.sget("href")) or url if base else url
        self.metadata = dict(self._metadata())
        self.published_time = self._published_time()
        self._make_absolute()

    def remove(self, selectors: tuple[str, ...]) -> None:
        """Takes every element that matches out of the page."""
        for selector in selectors:
            for node in self._select(selector):
                node.decompose()

    def target(self, selectors: tuple[str, ...]) -> str | None:
        """The outer HTML of every match in the order of the selectors; None if nothing matches."""
        found = [node.html or "" for selector in selectors for node in self._select(selector)]
        return "\n".join(found) if found else None

    def matches(self, selectors: tuple[str, ...]) -> bool:
        return any(self._select(selector) for selector in selectors)

    @property
    def html(self) -> str:
        return self._tree.html or ""

    @property
    def title(self) -> str:
        for node in self._tree.css("title"):
            parent = node.parent
            if parent is None or parent.tag != "svg":
                return _flat(node.text())
        named = next((self.metadata[name] for name in TITLE_META if name in self.metadata), "")
        heading = self._tree.css_first("h1")
        return _flat(named or (heading.text() if heading else ""))

    @property
    def description(self) -> str:
        return next((self.metadata[key] for key in DESCRIPTION_META if key in self.metadata), "")

    @property
    def external(self) -> dict[str, dict[str, dict[str, str]]]:
        """What the page links to in its head, by relation."""
        found: dict[str, dict[str, dict[str, str]]] = {}
        for node in self._tree.css("link[rel][href]"):
            attributes = node.attrs
            href = attributes.sget("href")
            for relation in attributes.sget("rel").lower().split():
                if relation in EXTERNAL_RELS and href:
                    facts = {
                        key: value
                        for key in ("type", "title", "hreflang")
                        if (value := attributes.get(key))
                    }
                    found.setdefault(relation, {})[href] = facts
        return found

    def links(self) -> Iterator[tuple[str, str]]:
        """Text and address of every link, in order."""
        for node in self._tree.css("a[href]"):
            href = node.attrs.sget("href")
            if href:
                yield _flat(node.text()) or _flat(node.attrs.sget("title")), href

    def pictures(self) -> Iterator[Picture]:
        """Every image that has an address, in order."""
        for node in self._tree.css("img[src]"):
            source = node.attrs.sget("src")
            if source:
                yield Picture(source, _flat(node.attrs.sget("alt")))

    def show(
        self, name_picture: Callable[[str, str], str], retain_images: str, retain_links: str
    ) -> None:
        """Writes the names of images into the page, and drops what the client did not want."""
        for node in self._tree.css("img[src]"):
            if retain_images == "none":
                node.decompose()
                continue
            name = name_picture(node.attrs.sget("src"), _flat(node.attrs.sget("alt")))
            if retain_images == "alt":
                node.replace_with(f"({name})")
            else:
                node.attrs["alt"] = name
        if retain_links == "none":
            self.remove(("a[href]",))
        elif retain_links == "text":
            self._tree.unwrap_tags(["a"])

    def hide_data_urls(self) -> dict[str, str]:
        """Puts short addresses in place of images' data, which the extractor would not keep."""
        hidden = {}
        for number, node in enumerate(self._tree.css('img[src^="data:"]')):
            stand_in = f"{STAND_IN}{number}.png"
            hidden[stand_in] = node.attrs.sget("src")
            node.attrs["src"] = stand_in
        return hidden

    def _select(self, selector: str) -> list[LexborNode]:
        try:
            return self._tree.css(selector)
        except (SelectolaxError, ValueError, RuntimeError) as fault:
            raise BadSelectorError(selector) from fault

    def _make_absolute(self) -> None:
        for name in ("a", "area", "link"):
            for node in self._tree.css(f"{name}[href]"):
                href = node.attrs.sget("href").strip()
                if href.lower().startswith("javascript:"):
                    del node.attrs["href"]  # a script is no address, and no reader should run it
                else:
                    node.attrs["href"] = _join(self._base, href)
        for node in self._tree.css("img"):
            source = self._source(node)
            if not source:
                node.decompose()
                continue
            node.attrs["src"] = source
            for key in LAZY_SOURCES:
                if key in node.attrs:
                    del node.attrs[key]  # relative, and the extractor would prefer it

    def _source(self, node: LexborNode) -> str:
        source = node.attrs.sget("src").strip()
        if not source or source.startswith("data:"):
            lazy = next((value for key in LAZY_SOURCES if (value := node.attrs.get(key))), "")
            source = lazy.split(",")[0].split(" ")[0] if lazy else source
        if source.startswith("data:"):
            return source if self._keep_data_urls else ""
        return _join(self._base, source) if source else ""

    def _metadata(self) -> Iterator[tuple[str, str]]:
        root = self._tree.root
        language = root.attrs.get("lang") if root is not None else None
        if language:
            yield "lang", language
        seen = set()
        for node in self._tree.css("meta[content]"):
            name = node.attrs.sget("property") or node.attrs.sget("name")
            key = (name or node.attrs.sget("itemprop")).strip().lower()
            if key and key not in seen:
                seen.add(key)
                yield key, node.attrs.sget("content").strip()

    def _published_time(self) -> str | None:
        for name in TIME_META:
            if self.metadata.get(name):
                return self.metadata[name]
        for node in self._tree.css('script[type="application/ld+json"]'):
            found = _date_published(node.text())
            if found:
                return found
        stamp = self._tree.css_first("time[pubdate][datetime], [itemprop=datePublished][datetime]")
        return stamp.attrs.get("datetime") if stamp is not None else None


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


def _join(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference.strip())
    except ValueError:
        return reference.strip()


def _flat(text: str) -> str:
    return " ".join(text.split())
