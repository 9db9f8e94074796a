"""The page as a tree: selectors, absolute addresses, links and images, and changes to it.

Owner of selectolax, with `facts`. It runs in a worker process. It refuses selectors that are not
valid CSS.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2s
from typing import Final
from urllib.parse import urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from services.reader import facts
from services.reader.facts import flat
from services.reader.remodel import inner, put

LAZY_SOURCES: Final = (
    "data-src",
    "data-original",
    "data-lazy-src",
    "data-url",
    "data-srcset",
    "data-lazy-srcset",
    "srcset",
)
# Stands for data in an address while the page is taken apart; the name can never be resolved.
STAND_IN: Final = "http://data-url.invalid/"
NOT_LINKS: Final = ("javascript:", "file:", "vbscript:")


class BadSelectorError(ValueError):
    """A selector that is not CSS."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of the page with its absolute address."""

    url: str
    alt: str


class Dom:
    """A parsed page whose addresses are absolute, unless `url` is empty.

    Of a `part` of one they are already, and it says nothing about the page.
    """

    def __init__(
        self, html: str, url: str, *, keep_data_urls: bool = True, part: bool = False
    ) -> None:
        self.tree = LexborHTMLParser(html)
        self._keep_data_urls = keep_data_urls
        base = self.tree.css_first("base[href]")
        self._base = _join(url, base.attrs.sget("href")) or url if base else url
        self.metadata: dict[str, str] = {}
        self.published_time: str | None = None
        self.title = ""
        if part:
            return
        self.metadata = facts.metadata(self.tree)
        self.published_time = facts.published_time(self.tree, self.metadata)
        self.title = facts.title(self.tree, self.metadata)
        self._make_absolute()

    @property
    def html(self) -> str:
        return self.tree.html or ""

    @property
    def body_html(self) -> str:
        """What stands inside the body."""
        body = self.tree.body
        return "".join(node.html or "" for node in body.iter(include_text=True)) if body else ""

    @property
    def description(self) -> str:
        return facts.description(self.metadata)

    @property
    def external(self) -> dict[str, dict[str, dict[str, str]]]:
        return facts.external(self.tree)

    def has(self, selector: str) -> bool:
        """Whether anything matches `selector`, one of our own."""
        return self.tree.css_first(selector) is not None

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

    def links(self) -> Iterator[tuple[str, str]]:
        """Text and address of every link, in order."""
        for node in self.tree.css("a[href]"):
            href = node.attrs.sget("href")
            if href:
                yield flat(node.text()) or flat(node.attrs.sget("title")), href

    def pictures(self) -> Iterator[Picture]:
        """Every image that has an address, in order."""
        for node in self.tree.css("img[src]"):
            source = node.attrs.sget("src")
            if source:
                yield Picture(source, flat(node.attrs.sget("alt")))

    def show(
        self, name_picture: Callable[[str, str], str], retain_images: str, retain_links: str
    ) -> None:
        """Writes the names of images into the page, and drops what the client did not want."""
        for node in self.tree.css("img[src]"):
            alt = flat(node.attrs.sget("alt"))
            if retain_images == "none" or (retain_images in ("alt", "alt_p") and not alt):
                node.decompose()
                continue
            name = name_picture(node.attrs.sget("src"), alt)
            if retain_images in ("alt", "alt_p"):
                node.replace_with(f"({name})")
            else:
                node.attrs["alt"] = name
        if retain_links == "none":
            self.remove(("a[href]",))
        elif retain_links == "text":
            self.unwrap("a")

    def give_alts(self, alts: Mapping[str, str]) -> None:
        """Gives images without a text the one that was found for their address."""
        for node in self.tree.css("img[src]"):
            if not node.attrs.sget("alt").strip() and (alt := alts.get(node.attrs.sget("src"))):
                node.attrs["alt"] = alt

    def hide_data_urls(self) -> dict[str, str]:
        """Puts short addresses in place of images' data, which the extractor would not keep.

        Answers what the addresses stand for: the data, or the name that a browser would give it.
        """
        hidden = {}
        parts = urlsplit(self._base)
        origin = f"{parts.scheme}://{parts.netloc}" if parts.netloc else "null"
        for number, node in enumerate(self.tree.css('img[src^="data:"]')):
            stand_in, source = f"{STAND_IN}{number}.png", node.attrs.sget("src")
            digest = blake2s(source.encode("utf-8", "replace"), digest_size=16).hexdigest()
            hidden[stand_in] = source if self._keep_data_urls else f"blob:{origin}/{digest}"
            node.attrs["src"] = stand_in
        return hidden

    def unwrap(self, *tags: str) -> None:
        """Takes the tags away and leaves what stands between them."""
        self.tree.unwrap_tags(list(tags))

    def replace(self, selector: str, write: Callable[[str], str]) -> None:
        """Puts the HTML that `write` makes of an element's own in its place; innermost first."""
        for node in reversed(self.tree.css(selector)):
            put(node, write(node.html or ""))

    def rewrite_links(self, write: Callable[[str, str], tuple[str, str] | str | None]) -> None:
        """Puts in place of a link what `write` says of its text and address.

        A text; or two texts, between which the content stays; None leaves the content alone.
        """
        for node in self.tree.css("a[href]"):
            written = write(flat(node.text()), node.attrs.sget("href"))
            if isinstance(written, str):
                node.replace_with(written)
                continue
            if written is not None:
                # A heading in a link is a heading of its own line, and the link stays inside it.
                heading = node.css_first("h1, h2, h3, h4, h5, h6")
                if heading is not None:
                    heading.inner_html = written[0] + inner(heading) + written[1]
                else:
                    node.insert_before(written[0])
                    node.insert_after(written[1])
            node.unwrap(delete_empty=True)

    def frames(self) -> list[str]:
        """The absolute addresses of the page's iframes, each once, in order."""
        found = [_join(self._base, node.attrs.sget("src")) for node in self.tree.css("iframe[src]")]
        return list(dict.fromkeys(url for url in found if url.startswith(("http:", "https:"))))

    def fill_frames(self, documents: Mapping[str, str], *, quoted: bool) -> None:
        """Puts the documents, as HTML by address, in the place of their iframes."""
        tag = "blockquote" if quoted else "div"
        for node in self.tree.css("iframe"):
            own = node.attrs.get("srcdoc")
            url = _join(self._base, node.attrs.sget("src"))
            html = documents.get(url) if own is None else body_of(own, self._base)
            if html:
                put(node, f"<{tag}>{html}</{tag}>")

    def _select(self, selector: str) -> list[LexborNode]:
        try:
            return self.tree.css(selector)
        except (SelectolaxError, ValueError, RuntimeError) as fault:
            raise BadSelectorError(selector) from fault

    def _make_absolute(self) -> None:
        for name in ("a", "area", "link"):
            for node in self.tree.css(f"{name}[href]"):
                href = node.attrs.sget("href").strip()
                if href.lower().startswith(NOT_LINKS):
                    del node.attrs["href"]  # a script is no address, and no reader should run it
                else:
                    node.attrs["href"] = _join(self._base, href)
        for node in self.tree.css("img"):
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
            source = lazy.strip().split(" ")[0].rstrip(",") if lazy else source
        if source.startswith("data:"):
            # Data without a text is a spacer or a decoration.
            wanted = self._keep_data_urls or node.attrs.sget("alt").strip()
            return source if wanted else ""
        return _join(self._base, source) if source else ""


def body_of(html: str, url: str) -> str:
    """What stands inside the body of a document, with absolute addresses."""
    return Dom(html, url, keep_data_urls=False).body_html


def _join(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference.strip())
    except ValueError:
        return reference.strip()
