"""What the extractor would lose, carried through it as single characters of its text.

1. pack: links, pictures, emphasis and the layout of code become characters of planes 15 and 16,
   which pages lose first, so that the extractor decides on nothing but the words of the page
2. unpack: in what it found, the characters become HTML again; halves without each other vanish

Asked to keep links, images and emphasis itself, the extractor loses text around them. It refuses
nothing. It runs in a worker process.
"""

import html
import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from services.reader.remodel import put

# The private planes: one character opens the pair of its number, the other closes it.
OPEN: Final = 0xF0000
CLOSE: Final = 0x100000
PAIRS: Final = 0xFFF0
CARRIERS: Final = re.compile("[\U000f0000-\U0010ffff]")
# Within code a line break, a blank and a tab mean what they are.
LINE, BLANK, TAB = "\U000ffff0", "\U000ffff1", "\U000ffff2"
LAYOUT: Final = {LINE: "\n", BLANK: " ", TAB: "\t"}
TO_LAYOUT: Final = str.maketrans({"\n": LINE, " ": BLANK, "\t": TAB})
# Single blanks within a line stay what they are: words are told by them.
SPACED: Final = re.compile(r"\n[ \t]*|^[ \t]+|[ \t]{2,}|\t")
# Begins a block of code, which the extractor may take for a quote.
CODE: Final = "\ufde8"
# Emphasis and its kin, by the tag that is written for it.
INLINE: Final = {
    "strong": "strong",
    "b": "strong",
    "em": "em",
    "i": "em",
    "code": "code",
    "tt": "code",
    "kbd": "code",
    "samp": "code",
    "del": "del",
    "s": "del",
    "strike": "del",
    "sub": "sub",
    "sup": "sup",
}
# A figure with one of these is more than a picture; the extractor would leave it out.
TOLD: Final = "pre, table, blockquote, p + p, ul, ol"


class Carrier:
    """One page's passengers, by number."""

    def __init__(self) -> None:
        self._tags: list[tuple[str, str]] = []

    def pack(self, tree: LexborHTMLParser) -> None:
        """Replaces in the tree what is to be carried."""
        for node in tree.css("a:not([href])"):
            node.unwrap(delete_empty=True)  # a place in the page, often left open
        for node in tree.css("figure"):
            if node.css_first(TOLD) is not None:
                node.unwrap()
        for node in tree.css("pre"):
            self._pack_code(node)
        for node in tree.css("a[href]"):
            if node.css_first("img") is not None and not node.text().strip():
                # Not as a link: one without words is an ornament to the extractor.
                node.replace_with("".join(self._pair(node.html or "", "")))
        for node in tree.css("img"):
            node.replace_with("".join(self._pair(node.html or "", "")))
        for tag, written in INLINE.items():
            for node in tree.css(tag):
                if node.parent is None or node.parent.tag != "pre":
                    self._surround(node, f"<{written}>", f"</{written}>")
        for node in tree.css("a[href]"):
            href = html.escape(node.attrs.sget("href"))
            self._fill(node, f'<a href="{href}">', "</a>")

    def unpack(self, found: str) -> str:
        """`found`, HTML that the extractor wrote, with everything where it belongs."""
        opened: set[int] = set()
        whole: set[int] = set()
        for match in CARRIERS.finditer(found):
            code = ord(match[0])
            if code < CLOSE:
                opened.add(code - OPEN)
            elif code - CLOSE in opened:
                whole.add(code - CLOSE)
        bare = found.replace(CODE, "")
        return CARRIERS.sub(lambda match: self._written(match[0], whole), bare)

    def _written(self, sign: str, whole: set[int]) -> str:
        if sign in LAYOUT:
            return LAYOUT[sign]
        code = ord(sign)
        number, place = (code - CLOSE, 1) if code >= CLOSE else (code - OPEN, 0)
        return self._tags[number][place] if number in whole else ""

    def _pair(self, before: str, after: str) -> tuple[str, str]:
        """The characters that stand for the two; empty where there are none left."""
        number = len(self._tags)
        if number >= PAIRS:
            return "", ""
        self._tags.append((before, after))
        return chr(OPEN + number), chr(CLOSE + number)

    def _surround(self, node: LexborNode, before: str, after: str) -> None:
        if node.first_child is not None:
            opening, closing = self._pair(before, after)
            node.insert_before(opening)
            node.insert_after(closing)
        node.unwrap(delete_empty=True)

    def _fill(self, node: LexborNode, before: str, after: str) -> None:
        first, last = node.first_child, node.last_child
        if first is not None and last is not None:
            opening, closing = self._pair(before, after)
            last.insert_after(closing)
            first.insert_before(opening)

    def _pack_code(self, node: LexborNode) -> None:
        code = node.css_first("code")
        named = node.css_first("[class*=language-], [class*=lang-]")
        name = html.escape((named or node).attrs.sget("class")) if named or node.attrs else ""
        for line in node.css("br"):
            line.replace_with("\n")
        text = node.text().strip("\r\n").replace("\r\n", "\n")
        opening, closing = self._pair(f'<pre><code class="{name}">', "</code></pre>")
        kept = SPACED.sub(lambda found: found[0].translate(TO_LAYOUT), text)
        packed = html.escape(CODE + opening + kept + closing, quote=False)
        put(node, f"<pre><code>{packed}</code></pre>" if code else f"<pre>{packed}</pre>")
