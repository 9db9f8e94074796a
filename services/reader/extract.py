"""One page, from bytes to the parts that were asked for. Runs in a worker process.

1. its kind, by bytes and label             2. text of the bytes, and the tree of it
3. elements removed, elements targeted      4. main content, or all of it, as Markdown
5. summaries of links and images            6. chunks, tokens, warnings

It refuses kinds that are not read, and selectors that are not CSS, as a Failure.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from services.reader import article, chunks, documents, markdown, media, remodel
from services.reader.article import Article
from services.reader.carry import Carrier
from services.reader.charsets import decode
from services.reader.documents import Plain
from services.reader.dom import BadSelectorError, Dom, body_of
from services.reader.dress import MARKS, UNWRITTEN, Dress
from services.reader.jobs import Extracted, Failure, Job, Wishes
from services.reader.media import Media
from services.reader.pictures import Album
from services.tokenizer import Tokenizer

# Below this much text, unless it is a fair share of all there is, the extractor has found a teaser
# or a notice, not the page.
ARTICLE_CHARACTERS: Final = 200
ARTICLE_SHARE: Final = 5
# An article in one piece that is nearly all of the page is what the extractor takes for want of
# anything better: a list of links, run together.
FLAT_SHARE: Final = 1.5
# A page of so little text that has nothing around it, no menu and no footer, is all about itself.
PLAIN_CHARACTERS: Final = 3000
AROUND: Final = ", ".join(
    (
        *("nav", "header", "footer", "aside", "[role=navigation]", "article", "main", "form"),
        *(f'[{attribute}*="{word}" i]' for attribute in ("id", "class") for word in
          ("menu", "nav", "sidebar", "footer", "header", "cookie", "comment", "banner", "share")),
    )
)  # fmt: skip
# The published reader never charges more for one page.
CHARGE_TOKENS: Final = 2_000_000
# A page with more content than this is taken to be whole: no warnings about what is hidden.
WHOLE_TOKENS: Final = 200
# Less text than this beside scripts is a page that its scripts have yet to write.
SHELL_CHARACTERS: Final = 200
HIDDEN_IFRAME: Final = (
    "This page contains iframe that are currently hidden, consider enabling iframe processing."
)
HIDDEN_SHADOW: Final = (
    "This page contains shadow DOM that are currently hidden, "
    "consider enabling shadow DOM processing."
)
CAPTCHA: Final = (
    "This page maybe requiring CAPTCHA, please make sure you are authorized to access this page."
)


@dataclass(slots=True)
class _Parts:
    """What a page gave, before it is trimmed and counted."""

    texts: dict[str, str]
    title: str = ""
    description: str = ""
    published_time: str | None = None
    links: list[tuple[str, str]] = field(default_factory=list)
    images: list[tuple[str, str]] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    page: Dom | None = None
    pages: int | None = None
    shell: bool = False


class Extractor:
    """Takes pages apart. Holds the vocabulary for counting."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def extract(self, job: Job, body: bytes) -> Extracted | Failure:
        frames_bytes = sum(frame.size_bytes for frame in job.frames)
        main = body[: len(body) - frames_bytes]
        kind = media.kind(job.content_type, main)
        try:
            if kind is not Media.HTML:
                plain = documents.read(kind, job, main)
                if isinstance(plain, Failure):
                    return plain
                return self._finish(job.wishes, _of_plain(plain))
            source = MARKS.sub("", decode(main, job.charset))
            if job.survey:
                return _survey(Dom(source, job.url, keep_data_urls=False))
            return self._finish(job.wishes, _page(job, source, body[len(main) :]))
        except BadSelectorError as fault:
            return Failure("selector", str(fault))

    def _finish(self, wishes: Wishes, parts: _Parts) -> Extracted:
        wanted = {"content" if form == "markdown" else form for form in wishes.formats}
        kept = {
            form: self._trim(wishes, parts.texts.get(form, ""))
            for form in ("content", "text", "html")
            if form in wanted
        }
        tokens = sum(self._tokenizer.count(text) for text in kept.values())
        content = kept.get("content")
        warnings = [*parts.warnings, *(parts.hints if tokens < WHOLE_TOKENS else ())]
        cut = (
            chunks.cut(content, parts.title, wishes.chunking)
            if wishes.chunking and content is not None
            else None
        )
        return Extracted(
            title=parts.title,
            description=parts.description,
            published_time=parts.published_time,
            content=content,
            text=kept.get("text"),
            html=kept.get("html"),
            links=parts.links if wishes.links_summary else None,
            images=parts.images if wishes.images_summary else None,
            metadata=parts.page.metadata if parts.page else {},
            external=parts.page.external if parts.page else {},
            warnings=tuple(warnings),
            tokens=min(tokens, CHARGE_TOKENS),
            chunks=cut,
            pages=parts.pages,
            nameless=parts.nameless,
            shell=parts.shell,
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


def _of_plain(plain: Plain) -> _Parts:
    bare = plain.bare or plain.text
    return _Parts(
        {"content": plain.text, "text": bare, "html": bare},
        title=plain.title,
        description=plain.description,
        published_time=plain.published_time,
        images=plain.images,
        pages=plain.pages,
    )


def _page(job: Job, source: str, frames: bytes) -> _Parts:
    wishes = job.wishes
    page = Dom(source, job.url, keep_data_urls=wishes.keep_data_urls)
    parts = _Parts({}, page.title, page.description, page.published_time, page=page)
    parts.hints = _hints(page, source, wishes)
    if wishes.shadow_dom:
        remodel.open_shadows(page.tree)
    if wishes.iframes:
        page.fill_frames(_documents(job, frames), quoted=wishes.iframes == "quoted")
    if wishes.wait_selectors and not page.matches(wishes.wait_selectors):
        parts.warnings.append("Nothing in the page as served matches X-Wait-For-Selector")
    page.remove(wishes.remove_selectors)
    if not wishes.overlays:
        remodel.remove_overlays(page.tree)
    page.give_alts(job.alts)
    scope = page.target(wishes.target_selectors)
    if wishes.target_selectors and scope is None:
        return _Parts({}, page.title, page.description, page.published_time)
    chosen = Dom(scope, job.url, part=True) if scope is not None else page
    if "html" in wishes.formats:
        parts.texts["html"] = chosen.html
    if "text" in wishes.formats:
        parts.texts["text"] = markdown.to_text(chosen.html)
    parts.links = list(page.links()) if wishes.links_summary else []
    pictures = list(page.pictures()) if wishes.images_summary else []
    album = Album()
    if "content" in wishes.formats or "markdown" in wishes.formats:
        whole = "content" not in wishes.formats or scope is not None
        cited = _write_content(parts, chosen, job, album, whole=whole)
        if wishes.retain_links == "gpt-oss":
            parts.links = list(cited.items())
    parts.images = album.summary(pictures)
    parts.shell = _is_shell(parts, page)
    return parts


def _write_content(
    parts: _Parts, page: Dom, job: Job, album: Album, *, whole: bool
) -> dict[str, str]:
    """Puts the Markdown of the main content, or of the whole page, into `parts`.

    The whole page also where there is no article in it. Answers the citations, by number.
    """
    wishes = job.wishes
    page.remove(UNWRITTEN)
    remodel.drop_noscript(page.tree)
    hidden = page.hide_data_urls()
    if not whole:
        remodel.remove_consent(page.tree)
        remodel.fold_figures(page.tree)
        page = _article(page, job) or page
    parts.nameless = [
        picture.url for picture in page.pictures() if not picture.alt and picture.url not in hidden
    ]
    page.show(album.label, wishes.retain_images, wishes.retain_links)
    dress = Dress(wishes.style, wishes.retain_links, urlsplit(job.url).hostname or "")
    dress.put_on(page)
    content = dress.write(markdown.to_markdown(page.html, wishes.style))
    for stand_in, source in hidden.items():
        content = content.replace(stand_in, source)
    album.rename(hidden)
    parts.texts["content"] = content
    return dress.cited


def _article(page: Dom, job: Job) -> Dom | None:
    """The main content, if there is one."""
    html = page.html
    if not page.has(AROUND) and len(markdown.to_text(html)) <= PLAIN_CHARACTERS:
        return None
    packed = Dom(html, job.url, part=True)
    carrier = Carrier()
    carrier.pack(packed.tree)
    found = article.find(packed.html)
    if found is None or not _is_the_page(found, html):
        return None
    return Dom(carrier.unpack(found.html), job.url, part=True)


def _documents(job: Job, frames: bytes) -> dict[str, str]:
    """The iframes' documents as HTML, by address."""
    found = {}
    start = 0
    for frame in job.frames:
        body = frames[start : start + frame.size_bytes]
        start += frame.size_bytes
        if media.kind(frame.content_type, body) is Media.HTML:
            found[frame.url] = body_of(MARKS.sub("", decode(body, frame.charset)), frame.url)
    return found


def _hints(page: Dom, source: str, wishes: Wishes) -> list[str]:
    """What may be hidden, worth saying where there is little else."""
    found = []
    if not wishes.iframes and page.has("iframe[src], iframe[srcdoc]"):
        found.append(HIDDEN_IFRAME)
    if not wishes.shadow_dom and page.has("template[shadowrootmode]"):
        found.append(HIDDEN_SHADOW)
    if "captcha" in source or "cf-turnstile-response" in source:
        found.append(CAPTCHA)
    return found


def _is_shell(parts: _Parts, page: Dom) -> bool:
    text = max((len(text) for form, text in parts.texts.items() if form != "html"), default=0)
    if text >= SHELL_CHARACTERS or not page.has("script"):
        return False
    return len(markdown.to_text(page.html)) < SHELL_CHARACTERS


def _is_the_page(found: Article, html: str) -> bool:
    """Whether the article is what the page is about, and still has the shape of it."""
    characters = found.text_characters
    if characters >= ARTICLE_CHARACTERS and found.blocks > 1:
        return True
    text_characters = len(markdown.to_text(html))
    if found.blocks <= 1 and characters * FLAT_SHARE >= text_characters:
        return False  # all there is, in one piece: the page's own lines are better
    return characters >= ARTICLE_CHARACTERS or 0 < text_characters <= characters * ARTICLE_SHARE


def _survey(page: Dom) -> Extracted:
    """Only the addresses of the iframes."""
    frames = page.frames()
    return Extracted("", "", None, None, None, None, None, None, {}, {}, (), 0, frames=frames)
