"""One page, from bytes to the parts that were asked for. Runs in a worker process.

1. text of the bytes, by label and content  2. the tree, with absolute addresses
3. elements removed, elements targeted      4. main content, or all of it, as Markdown
5. summaries of links and images            6. tokens

It refuses media types that are not text, and selectors that are not CSS, as a Failure.
"""

from typing import Final

from services.reader import article, markdown
from services.reader.charsets import decode
from services.reader.dom import BadSelectorError, Dom
from services.reader.jobs import Extracted, Failure, Job, Wishes
from services.reader.pictures import Album
from services.tokenizer import Tokenizer

HTML_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})
TEXT_TYPES: Final = frozenset(
    {
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
        "message/rfc822",
    }
)
TEXT_SUFFIXES: Final = ("+json", "+xml", "+yaml")
SNIFFED_CHARACTERS: Final = 1024
# Below this much text, unless it is a fair share of all there is, the extractor has found a teaser
# or a notice, not the page.
ARTICLE_CHARACTERS: Final = 200
ARTICLE_SHARE: Final = 5
# The published reader never charges more for one page.
CHARGE_TOKENS: Final = 2_000_000


class Extractor:
    """Takes pages apart. Holds the vocabulary for counting."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def extract(self, job: Job, body: bytes) -> Extracted | Failure:
        kind = media_kind(job.content_type, body)
        if kind is None:
            return Failure("media", job.content_type)
        text = decode(body, job.charset)
        if kind == "text":
            return self._plain(job.wishes, text)
        try:
            return self._page(job, text)
        except BadSelectorError as fault:
            return Failure("selector", str(fault))

    def _plain(self, wishes: Wishes, text: str) -> Extracted:
        """A document that is not HTML: every format of it is its text."""
        text = text.replace("\r\n", "\n").strip("\ufeff\n")
        parts = dict.fromkeys(("content", "text", "html"), text)
        return self._finish(wishes, parts, None, (), ([], []))

    def _page(self, job: Job, source: str) -> Extracted:
        wishes = job.wishes
        page = Dom(source, job.url, keep_data_urls=wishes.keep_data_urls)
        warnings = []
        if wishes.wait_selectors and not page.matches(wishes.wait_selectors):
            warnings.append("Nothing in the page as served matches X-Wait-For-Selector")
        page.remove(wishes.remove_selectors)
        scope = page.target(wishes.target_selectors)
        if wishes.target_selectors and scope is None:
            return _nothing(page)
        chosen = Dom(scope, job.url, keep_data_urls=True) if scope is not None else page
        parts = {"html": chosen.html if "html" in wishes.formats else ""}
        if "text" in wishes.formats:
            parts["text"] = markdown.to_text(chosen.html)
        links = list(page.links()) if wishes.links_summary else []
        pictures = list(page.pictures()) if wishes.images_summary else []
        album = Album()
        if "content" in wishes.formats or "markdown" in wishes.formats:
            whole = "content" not in wishes.formats or scope is not None
            parts["content"] = _content(chosen, job, album, whole=whole)
        summaries = (links, album.summary(pictures))
        return self._finish(wishes, parts, page, tuple(warnings), summaries)

    def _finish(
        self,
        wishes: Wishes,
        parts: dict[str, str],
        page: Dom | None,
        warnings: tuple[str, ...],
        summaries: tuple[list[tuple[str, str]], list[tuple[str, str]]],
    ) -> Extracted:
        wanted = {"content" if form == "markdown" else form for form in wishes.formats}
        kept = {form: self._trim(wishes, parts.get(form, "")) for form in wanted}
        tokens = sum(self._tokenizer.count(text) for text in kept.values())
        return Extracted(
            title=page.title if page else "",
            description=page.description if page else "",
            published_time=page.published_time if page else None,
            content=kept.get("content"),
            text=kept.get("text"),
            html=kept.get("html"),
            links=summaries[0] if wishes.links_summary else None,
            images=summaries[1] if wishes.images_summary else None,
            metadata=page.metadata if page else {},
            external=page.external if page else {},
            warnings=warnings,
            tokens=min(tokens, CHARGE_TOKENS),
        )

    def _trim(self, wishes: Wishes, text: str) -> str:
        """At most `max_tokens` tokens of `text`, ending with a whole character."""
        if wishes.max_tokens is None or len(text) <= wishes.max_tokens:
            return text
        tokens = self._tokenizer.encode(text)[: wishes.max_tokens]
        if len(tokens) < wishes.max_tokens:
            return text
        while tokens:
            piece = self._tokenizer.decode(tokens)
            if piece is not None:
                return piece
            tokens.pop()
        return ""


def media_kind(content_type: str, body: bytes) -> str | None:
    """`html`, `text`, or None for what is neither."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in HTML_TYPES:
        return "html"
    head = body[:SNIFFED_CHARACTERS].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if kind in ("", "application/octet-stream", "text/plain", "application/xml", "text/xml"):
        if head.startswith((b"<!doctype html", b"<html")) and kind != "text/plain":
            return "html"
        if not kind or kind == "application/octet-stream":
            return None if _is_binary(body) else ("html" if head.startswith(b"<") else "text")
    if kind.startswith("text/") or kind in TEXT_TYPES or kind.endswith(TEXT_SUFFIXES):
        return "text"
    return None


def _is_binary(body: bytes) -> bool:
    head = body[:SNIFFED_CHARACTERS]
    return b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff"))


def _content(page: Dom, job: Job, album: Album, *, whole: bool) -> str:
    """The main content as Markdown; the whole page where there is no article in it."""
    wishes = job.wishes
    hidden = page.hide_data_urls() if wishes.keep_data_urls else {}
    html = page.html
    if not whole:
        found = article.find(html)
        if found is not None and _is_the_page(found.text_characters, html):
            page = Dom(found.html, job.url, keep_data_urls=True)
    page.show(album.label, wishes.retain_images, wishes.retain_links)
    content = markdown.to_markdown(page.html)
    for stand_in, source in hidden.items():
        content = content.replace(stand_in, source)
    album.rename(hidden)
    return content


def _is_the_page(characters: int, html: str) -> bool:
    if characters >= ARTICLE_CHARACTERS:
        return True
    return characters > 0 and characters * ARTICLE_SHARE >= len(markdown.to_text(html))


def _nothing(page: Dom) -> Extracted:
    """A page in which the targeted elements are missing: known, and without content."""
    return Extracted(
        page.title, page.description, page.published_time, "", "", "", None, None, {}, {}, (), 0
    )
