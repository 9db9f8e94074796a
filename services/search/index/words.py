"""Texts as words that can be compared: folded, and bigrams where a script has no blanks. Pure.

It refuses nothing: whatever is no letter or digit of any script separates words.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final
from unicodedata import normalize

# Han, Kana, Hangul; Thai, Lao, Khmer and Burmese, which also write without blanks.
_DENSE: Final = (
    "\u1100-\u11ff\u3005-\u3007\u3031-\u3035\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af"
    "\u0e01-\u0e4e\u0e81-\u0ece\u1780-\u17d3\u1000-\u104f"
)
# Vowel signs of Indic scripts belong to the word; regular expressions do not count them as letters.
_SIGNS: Final = "\u0900-\u0963\u0966-\u0dff"
WORD: Final = re.compile(
    f"[{_DENSE}]+|[^\\W_{_DENSE}][^\\W_{_DENSE}{_SIGNS}]*[{_SIGNS}]*"
    f"(?:[^\\W_{_DENSE}]|[{_SIGNS}])*|[{_SIGNS}]+"
)
DENSE: Final = re.compile(f"[{_DENSE}]")
# Accents of Latin, Greek and Cyrillic; points of Hebrew; vowel marks of Arabic.
MARKS: Final = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670]"
)
# Of a text folded or scanned at once; short enough not to hold the interpreter's lock for long.
SLICE_CHARACTERS: Final = 8192
# Longer runs are no words that anybody searches for.
WORD_CHARACTERS: Final = 60
# Of the pairs of a dense run, so many are a word.
WORDS_OF_A_PAIR: Final = 0.6


def fold(text: str) -> str:
    """`text` without case, width and accents."""
    if text.isascii():
        return text.lower()
    folded = normalize("NFKC", text).casefold()
    return normalize("NFC", MARKS.sub("", normalize("NFD", folded)))


def words(text: str) -> list[str]:
    """The words of `text`, folded, in order; a run of a dense script is one word."""
    return [word[:WORD_CHARACTERS] for word in WORD.findall(fold(text))]


def is_dense(word: str) -> bool:
    """Whether `word` is of a script without blanks."""
    return DENSE.match(word) is not None


def terms_of(word: str) -> list[str]:
    """What the index knows a word by: itself, or the bigrams of a dense one."""
    if not is_dense(word) or len(word) < 3:
        return [word]
    return [word[at : at + 2] for at in range(len(word) - 1)]


def size(asked: Sequence[str]) -> float:
    """How many words a query has, where a run without blanks may be several."""
    pairs = (len(terms_of(word)) for word in asked)
    return sum(max(1.0, WORDS_OF_A_PAIR * count) if count > 1 else 1.0 for count in pairs)


def terms(text: str) -> Iterator[str]:
    """All terms of a document, in order; long texts go through in slices."""
    for part in slices(text):
        for word in words(part):
            yield from terms_of(word)


def slices(text: str, mark: str = " ", size: int = SLICE_CHARACTERS) -> Iterator[str]:
    """`text` in pieces of about `size`, cut before a `mark` where there is any."""
    start = 0
    while len(text) - start > size:
        end = max(text.rfind(mark, start + size // 2, start + size), start)
        end = end if end > start else start + size
        yield text[start:end]
        start = end
    yield text[start:]
