"""Cuts a text into chunks at its own seams, in one pass forward. Pure.

1. Whitespace at the very start is skipped; from there on every character belongs to one chunk, so
   the chunks joined are the text.
2. At each place the rules are tried in their order; those about blocks only at the start of a line.
3. A chunk takes the whitespace after it, and closing marks and commas that would begin the next.
4. A chunk longer than the maximum is cut, between words where there is a place for it.

Time is linear: a rule reads only what it may accept, and each place is the start of one chunk. It
refuses nothing; any text has chunks.
"""

import re
from collections.abc import Iterator
from typing import Final
from unicodedata import category

from services.segmenter import rules
from services.segmenter.ahead import Ahead

Span = tuple[int, int]

MAX_CHUNK_CHARACTERS: Final = 1000
BLANK: Final = re.compile(r"\s+")
# What no chunk should begin with; written so that the set can also stand in a pattern.
UNWELCOME: Final = ")]},;”’»）】》」』〉、，。；：！？"
TAIL: Final = re.compile(rf"[\s{re.escape(UNWELCOME)}]*")
CUT_AFTER: Final = frozenset("。！？；，、：）」』】")
# How far back from a hard limit a place between words is looked for, as a share of the limit.
LOOK_BACK_SHARE: Final = 2
CLUSTER_CHARACTERS: Final = 16
JOINER: Final = "\u200d"


def chunks(text: str, max_characters: int = MAX_CHUNK_CHARACTERS) -> list[Span]:
    """Start and end of every chunk, in characters of `text`."""
    return [span for whole in _seams(text) for span in _capped(text, whole, max_characters)]


def _seams(text: str) -> Iterator[Span]:
    """The chunks as the rules find them, whatever their length."""
    ahead = Ahead(text)
    leading = BLANK.match(text)
    start = leading.end() if leading else 0
    at_line_start = True
    end = (rules.front_matter(text, start) if start < len(text) else None) or start
    while start < len(text):
        if end == start:
            end = _chunk_end(text, start, ahead, at_line_start=at_line_start)
        tail = TAIL.match(text, end)
        assert tail is not None
        yield start, tail.end()
        at_line_start = text[end - 1] == "\n" or "\n" in tail[0]
        start = end = tail.end()


def _chunk_end(text: str, start: int, ahead: Ahead, *, at_line_start: bool) -> int:
    line_end = ahead.line_end(start)
    end = _block_end(text, start, line_end) if at_line_start else None
    if end is None:
        end = _inline_end(text, start, ahead)
    return max(end, start + 1)


def _block_end(text: str, start: int, line_end: int) -> int | None:
    """Rules 1 to 8, which speak of lines; 12 and 13 where they begin one."""
    first = text[start]
    end = rules.heading(text, start, line_end)
    if end is None and first == "[":
        end = rules.citation(text, start, line_end)
    if end is None:
        end = rules.list_item(text, start, line_end)
    if end is None and first in "<>`~":
        end = rules.block_quote(text, start, line_end) or rules.code(text, start)
    if end is None:
        end = rules.indented_code(text, start, line_end)
    if end is None:
        end = rules.table(text, start, line_end)
    if end is None and first in "-*_<":
        end = rules.rule_line(text, start)
    if end is None and first in "<$\\":
        end = rules.html_element(text, start) or rules.latex(text, start)
    return rules.standalone_line(text, start, line_end) if end is None else end


def _inline_end(text: str, start: int, ahead: Ahead) -> int:
    """Rules 9 to 14, which speak of running text."""
    paragraph_end = ahead.paragraph_end(start)
    end = rules.sentence(start, ahead.sentence_end(start), paragraph_end)
    if end is None:
        end = rules.quoted(text, start)
    if end is None:
        end = rules.paragraph(start, paragraph_end)
    if end is None and text[start] in "<$\\":
        end = rules.html_element(text, start) or rules.latex(text, start)
    return rules.fallback(start, ahead.line_end(start)) if end is None else end


def _capped(text: str, span: Span, most: int) -> Iterator[Span]:
    """`span` in pieces of at most `most` characters."""
    start, end = span
    while end - start > most:
        cut = _cut(text, start, start + most)
        yield start, cut
        start = cut
    yield start, end


def _cut(text: str, start: int, limit: int) -> int:
    """The last good place after the middle of [start, limit] to begin a chunk, else the limit."""
    least = start + max((limit - start) // LOOK_BACK_SHARE, 1)
    for place in range(limit, least, -1):
        before = text[place - 1]
        if before.isspace() or before in CUT_AFTER:
            after = text[place]
            if not after.isspace() and after not in UNWELCOME:
                return place
    return _between_characters(text, max(start + 1, limit - CLUSTER_CHARACTERS), limit)


def _between_characters(text: str, least: int, limit: int) -> int:
    """The last place not after `limit` that does not tear a mark from its letter."""
    for place in range(limit, least, -1):
        if JOINER in text[place - 1 : place + 1] or category(text[place]).startswith("M"):
            continue
        if text[place - 1 : place + 1] == "\r\n":
            continue
        return place
    return limit
