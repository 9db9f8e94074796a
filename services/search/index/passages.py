"""The passage of a document that shows best why it was found. Pure.

It refuses nothing: without any of the words the passage is the beginning.
"""

import re
from collections.abc import Sequence
from typing import Final

from services.search.index.words import fold, slices

PASSAGE_CHARACTERS: Final = 280
# Enough of a long document to find a good passage, and little enough to take no time.
SCANNED_CHARACTERS: Final = 100_000
PLACES: Final = 200
SPACES: Final = re.compile(r"\s+")
# What Markdown writes around words: links, images, emphasis, headings, tables, quotes.
IMAGE: Final = re.compile(r"!\[([^\]\n]{0,200})\]\([^)\s]{0,2000}\)")
LINK: Final = re.compile(r"\[([^\]\n]{0,300})\]\([^)\s]{0,2000}\)")
MARKS: Final = re.compile(r"(?m)^\s{0,3}(?:#{1,6}|>|[-*+]|\d{1,3}[.)])\s+|[*`|]{1,3}|^[-=:| ]{3,}$")


def best_passage(content: str, words: Sequence[str]) -> str:
    """About 280 characters in which most of the (folded) words stand, on one line."""
    text = plain(content[:SCANNED_CHARACTERS])
    if len(text) <= PASSAGE_CHARACTERS:
        return text
    found = _places(text, words)
    start = _densest(found) if found else 0
    return _cut(text, start)


def plain(content: str) -> str:
    """Markdown as a line of words. In slices: one pattern over all of it would hold everybody."""
    return " ".join(filter(None, map(_plain, slices(content, "\n"))))


def _plain(part: str) -> str:
    bare = LINK.sub(r"\1", IMAGE.sub(r"\1", part))
    return SPACES.sub(" ", MARKS.sub("", bare)).strip()


def _places(text: str, words: Sequence[str]) -> list[tuple[int, str]]:
    """Where the words stand; a folded text of another length would point elsewhere."""
    folded = "".join(map(fold, slices(text)))
    if len(folded) != len(text):
        folded = text.lower()
    found: list[tuple[int, str]] = []
    for word in dict.fromkeys(words):
        at = folded.find(word)
        while at >= 0 and len(found) < PLACES * len(words):
            # At the beginning of a word only; a dense script has no beginnings.
            if at == 0 or not folded[at - 1].isalnum() or not word.isascii():
                found.append((at, word))
            at = folded.find(word, at + len(word))
    return sorted(found)


def _densest(found: Sequence[tuple[int, str]]) -> int:
    """The place from which on most different words, then most words, are within a passage."""
    best, best_score = 0, (0, 0)
    counts: dict[str, int] = {}
    end = 0
    for begin, (at, word) in enumerate(found):
        while end < len(found) and found[end][0] < at + PASSAGE_CHARACTERS * 3 // 4:
            counts[found[end][1]] = counts.get(found[end][1], 0) + 1
            end += 1
        score = (len(counts), end - begin)
        if score > best_score:
            best, best_score = at, score
        counts[word] -= 1
        if not counts[word]:
            del counts[word]
    return best


def _cut(text: str, place: int) -> str:
    """The passage around `place`, from the beginning of its sentence if that is near."""
    earliest = max(0, place - PASSAGE_CHARACTERS // 3)
    stops = [text.rfind(mark, earliest, place) for mark in (". ", "! ", "? ", "。", "！", "？")]
    start = max(stops) + 1
    if not start and earliest:
        start = text.rfind(" ", earliest, place) + 1
    start = start if start > 0 and start >= earliest else earliest
    start = min(start, max(0, len(text) - PASSAGE_CHARACTERS))
    if start > 0 and text[start - 1].isalnum() and text[start].isascii():
        # Not within a word.
        start = max(start, text.find(" ", start, start + PASSAGE_CHARACTERS // 4) + 1)
    end = start + PASSAGE_CHARACTERS
    if end < len(text):
        blank = text.rfind(" ", start + PASSAGE_CHARACTERS // 2, end)
        end = blank if blank > 0 else end
    head = "… " if start > 0 else ""
    tail = " …" if end < len(text) else ""
    return f"{head}{text[start:end].strip()}{tail}"
