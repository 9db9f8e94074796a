"""The main content of a page, without its navigation and advertisements, as clean HTML.

Owner of trafilatura and lxml. It finds what belongs to the article; how that is written down as
Markdown is the business of `markdown`, which does it better. It refuses nothing: None says that
no article was found. It runs in a worker process.
"""

from dataclasses import dataclass
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]
from lxml import html as lxml_html
from trafilatura import bare_extraction
from trafilatura.xpaths import BODY_XPATH

from services.reader import order
from services.reader.carry import CARRIERS, CODE

# The tags of the extractor's own tree, and the HTML they stand for.
PLAIN: Final = {
    "body": "body",
    "p": "p",
    "lb": "br",
    "item": "li",
    "table": "table",
    "row": "tr",
    "quote": "blockquote",
    "del": "del",
    "div": "div",
}
BLOCKS: Final = frozenset({"p", "li", "tr", "pre", "blockquote", "h1", "h2", "h3", "br"})
# The extractor's elements that hold text of the page as it stands there.
TEXTS: Final = ("p", "quote", "code", "cell")
# Headings and lists are no more than this beside the text between which they stand.
GROWTH: Final = 3
HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


@dataclass(frozen=True, slots=True)
class Article:
    """The main content: HTML for the converter, and how much text it has in how many blocks."""

    html: str
    text_characters: int
    blocks: int


def find(html: str) -> Article | None:
    """The main content of the page, or None if the extractor finds none."""
    body = _body(html)
    if body is None:
        return None
    body = _with_shape(html, body)
    text = CARRIERS.sub("", "".join(body.itertext()))
    for element in list(body.iter()):
        if isinstance(element.tag, str):
            _to_html(element)
    written = etree.tostring(body, encoding="unicode", method="html")
    blocks = sum(1 for element in body.iter() if element.tag in BLOCKS)
    return Article(written, len(text.strip()), blocks)


def _body(html: str) -> Any:
    document: Any = bare_extraction(
        html,
        include_comments=False,
        include_tables=True,
        with_metadata=False,
    )
    return None if document is None else document.body


def _with_shape(html: str, body: Any) -> Any:
    """The same with its headings and lists, where the extractor has left all of them out.

    Only of a page that names no article: in one that does, what is left out is beside it.
    """
    if next(body.iter("head", "list"), None) is not None or _names_article(html):
        return body
    stretch = order.stretch(html, ("".join(node.itertext()) for node in body.iter(*TEXTS)))
    again = None if stretch is None else _body(stretch)
    if again is None:
        return body
    before, after = (len("".join(found.itertext())) for found in (body, again))
    return again if before <= after <= before * GROWTH else body


def _names_article(html: str) -> bool:
    """Whether the extractor knows where in the page its text is."""
    tree = lxml_html.document_fromstring(html)
    return any(next(iter(xpath(tree)), None) is not None for xpath in BODY_XPATH)


def _to_html(element: Any) -> None:
    tag, rend = element.tag, element.attrib.pop("rend", "")
    begins = "".join(element.itertext()) if tag == "code" else element.text or ""
    if tag in ("code", "quote") and begins.startswith(CODE):
        element.tag = "div"  # its own tags are carried in it
        return
    if tag in PLAIN:
        element.tag = PLAIN[tag]
    elif tag == "head":
        element.tag = rend if rend in HEADINGS else "h3"
    elif tag == "list":
        element.tag = "ol" if rend == "ol" else "ul"
    elif tag == "cell":
        element.tag = "th" if element.attrib.pop("role", "") == "head" else "td"
    elif tag == "code":
        _code(element)


def _code(element: Any) -> None:
    """A block if it holds lines or another `code` (the extractor's form of `pre`), else inline."""
    parent = element.getparent()
    if parent is not None and parent.tag == "pre":
        return
    inner = element.find("code")
    if inner is None and "\n" not in (element.text or ""):
        return
    element.tag = "pre"
    if inner is None:
        inner = etree.Element("code")
        inner.text, element.text = element.text, None
        for child in list(element):
            inner.append(child)
        element.append(inner)
