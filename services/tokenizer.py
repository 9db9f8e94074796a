"""Counts and lists tokens of the two vocabularies that are compiled in: cl100k_base, o200k_base.

It refuses to hold the interpreter's lock for long: rs_bpe keeps it while it works (25-75 MB/s), so
a long text goes through in slices that end where the vocabulary's own pattern would split anyway.
"""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Final, Protocol
from unicodedata import category

from rs_bpe import bpe

DEFAULT: Final = "cl100k_base"
AVAILABLE: Final = ("cl100k_base", "o200k_base")

# About 3 ms of the lock at the slowest speed seen.
SLICE_CHARACTERS: Final = 65_536
# How far back from the end of a slice a boundary is looked for.
LOOK_BACK_CHARACTERS: Final = 4096


Piece = tuple[str, list[int]]
# What stands for a character of which the end was cut off.
CUT_CHARACTER: Final = "\ufffd"


class _Bytes(Protocol):
    def decode_tokens(self, tokens: list[int]) -> bytes: ...


class _Vocabulary(Protocol):
    def bpe(self) -> _Bytes: ...

    def count(self, text: str) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: list[int]) -> str | None: ...


class Tokenizer:
    """One vocabulary. Ranks are loaded by the constructor: 0.05 s and 0.2 s."""

    def __init__(self, name: str) -> None:
        if name not in AVAILABLE:
            raise ValueError(f"no tokenizer {name!r}; available: {', '.join(AVAILABLE)}")
        self.name = name
        self._vocabulary: _Vocabulary = getattr(bpe.openai, name)()
        self._bytes: _Bytes = self._vocabulary.bpe()

    def count(self, text: str) -> int:
        """Tokens of `text`; a lone surrogate counts as the replacement character."""
        return sum(self._vocabulary.count(piece) for piece in slices(sound(text)))

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, whose surrogates must be paired."""
        return [token for piece in slices(text) for token in self._vocabulary.encode(piece)]

    def decode(self, tokens: list[int]) -> str | None:
        """The text of `tokens`, or None if they begin or end within a character."""
        return self._vocabulary.decode(tokens)

    def to_bytes(self, tokens: list[int]) -> bytes:
        """The bytes of `tokens`, which may begin and end within a character."""
        return self._bytes.decode_tokens(tokens)

    def pieces(self, tokens: list[int]) -> list[Piece]:
        """Text and ids, one entry per token; a character spread over several tokens is one entry.

        An incomplete character at either end stands as the replacement character.
        """
        decoder = getincrementaldecoder("utf-8")(errors="replace")
        to_bytes = self._bytes.decode_tokens
        found: list[Piece] = []
        text, ids = "", list[int]()
        for token in tokens:
            ids.append(token)
            text += decoder.decode(to_bytes([token]))
            if not decoder.getstate()[0]:
                found.append((text, ids))
                text, ids = "", []
        if ids:
            found.append((text + CUT_CHARACTER, ids))
        return found


def sound(text: str) -> str:
    """`text` with every lone surrogate replaced, so that it has a UTF-8 form."""
    return text.encode("utf-8", "replace").decode() if _has_surrogate(text) else text


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def slices(text: str, size: int = SLICE_CHARACTERS) -> Iterator[str]:
    """`text` in order, in pieces of at most `size` characters.

    A piece ends before a space or mark between two letters: both vocabularies begin a new word
    there whatever surrounds it, so the sum of the counts is the count. Where no such place is near
    (a megabyte of one letter), it is cut hard, and the sum may exceed the count by a token.
    """
    start = 0
    while len(text) - start > size:
        end = _boundary(text, start, start + size)
        yield text[start:end]
        start = end
    yield text[start:]


def _boundary(text: str, start: int, limit: int) -> int:
    for index in range(limit - 1, max(limit - LOOK_BACK_CHARACTERS, start), -1):
        if _begins_word(text, index):
            return index
    return limit


def _begins_word(text: str, index: int) -> bool:
    """Whether the mark at `index` stands alone between letters; an apostrophe joins them."""
    mark = text[index]
    if mark in "'\r\n" or category(mark)[0] not in "PSZ":
        return False
    return text[index - 1].isalpha() and text[index + 1].isalpha()
