"""Counts cl100k_base tokens, the unit in which every product is charged; sole importer of rs_bpe.

Refuses to run long: the library holds the interpreter lock while it counts (25-75 MB/s), so text is
cut into slices and whoever must not stop for long counts slice by slice.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from rs_bpe import bpe

# 32 Ki characters take 0.3 ms (English) to 5 ms (rare symbols), the longest to hold an event loop.
SLICE_CHARACTERS: Final = 32_768
# How far back from the end of a slice a good place to cut is looked for.
_SEAM_CHARACTERS: Final = 256


class _Vocabulary(Protocol):
    def count(self, text: str) -> int: ...


class Tokenizer:
    """The counter of one process; building it takes 15 ms, so build it once."""

    def __init__(self) -> None:
        self._vocabulary: _Vocabulary = bpe.openai.cl100k_base()

    def count(self, text: str) -> int:
        """Tokens of a text: exact up to one slice, above it off by a token or two per seam."""
        return sum(self.counts(text))

    def counts(self, text: str) -> Iterator[int]:
        """The same as one number per slice, each found in at most 5 ms: to pause in between."""
        for piece in slices(text):
            try:
                yield self._vocabulary.count(piece)
            except UnicodeEncodeError:
                # Lone surrogates, which JSON can spell and UTF-8 cannot.
                yield self._vocabulary.count(piece.encode("utf-8", "replace").decode())


def slices(text: str) -> Iterator[str]:
    """Pieces of bounded length that add up to the text, cut before white space where there is some.

    Most tokens of this vocabulary that hold a space begin with it, so such a cut rarely splits one.
    """
    start = 0
    while len(text) - start > SLICE_CHARACTERS:
        end = start + SLICE_CHARACTERS
        space = text.rfind(" ", end - _SEAM_CHARACTERS, end)
        # Not between two spaces: a run of them is one token.
        if space > start and text[space - 1] != " " and text[space + 1] != " ":
            end = space
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
