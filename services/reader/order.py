"""The stretch of a page in which its text stands, with the headings and lists between and around.

Where a page does not say which of its elements is the article, the extractor collects paragraphs
from everywhere and leaves out what is no paragraph. This finds where those stand, so that it can
be asked again. Owner of lxml, with `article`. It refuses nothing: None says that it is no use.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]
from lxml import html as lxml_html

SHAPED: Final = re.compile(r"<(?:h[1-6]|li|dt)\b", re.IGNORECASE)
TOLD: Final = ("p", "blockquote", "pre", "td", "div", "dd")
HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "hgroup", "hr"})
AFTER: Final = frozenset({"ul", "ol", "dl", "table", "pre", "blockquote", "figure"})
TABLES: Final = frozenset({"table", "thead", "tbody", "tr"})
# More of a list's text than this in links, and it is a menu.
LINK_SHARE: Final = 0.5


def stretch(page: str, kept: Iterable[str]) -> str | None:
    """The part of `page` from the first to the last of the `kept` texts, as an article."""
    if not SHAPED.search(page):
        return None
    wanted = {_squeezed(text) for text in kept} - {""}
    tree = lxml_html.document_fromstring(page)
    told = [node for node in tree.iter(*TOLD) if _is_told(node, wanted)]
    if not told:
        return None
    common, places = _common(told)
    if common is None or common.tag in TABLES:
        return None
    children = [child for child in common if isinstance(child.tag, str)]
    first = min(children.index(place) for place in places)
    last = max(children.index(place) for place in places)
    while first > 0 and children[first - 1].tag in HEADINGS:
        first -= 1
    while last + 1 < len(children) and _follows(children[last + 1]):
        last += 1
    written = "".join(
        etree.tostring(child, encoding="unicode", method="html")
        for child in children[first : last + 1]
    )
    if not SHAPED.search(written):
        return None
    return f"<html><body><article>{written}</article></body></html>"


def _is_told(node: Any, wanted: set[str]) -> bool:
    if node.tag in ("div", "td") and node.find(".//p") is not None:
        return False
    return _squeezed(node.text_content()) in wanted


def _common(told: Sequence[Any]) -> tuple[Any, list[Any]]:
    """The innermost element around all of them, and its children in which they stand."""
    chains = [[*reversed(list(node.iterancestors())), node] for node in told]
    depth = 0
    while all(len(chain) > depth + 1 for chain in chains):
        if any(chain[depth + 1] is not chains[0][depth + 1] for chain in chains):
            break
        depth += 1
    if any(len(chain) <= depth + 1 for chain in chains):
        depth -= 1  # one of them is around the others, or there is but one
    if depth < 0:
        return None, []
    return chains[0][depth], [chain[depth + 1] for chain in chains]


def _follows(node: Any) -> bool:
    if node.tag not in AFTER:
        return False
    linked = sum(len(link.text_content()) for link in node.iter("a"))
    return linked <= LINK_SHARE * len(node.text_content())


def _squeezed(text: str) -> str:
    return "".join(text.split())
