"""Counts and lists the tokens of one model's tokenizer; the only place that knows the library.

The count of a text is what the tokenizer gives for it as one sequence, its specials included: for
MiniLM the content plus 2, however many windows the text is cut into afterwards.
It refuses to hold the interpreter's lock: long texts go through in slices that end where every
tokenizer begins a new word, with the lock released.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from services.models.faults import ModelUnavailable

Ids = NDArray[np.int64]

# Below this the lock is held for at most 1 ms, and passing it on would cost more.
SHORT_CHARACTERS: Final = 2_048
# About 5 ms of work, and 4,000 tokens of English.
SLICE_CHARACTERS: Final = 16_384
# How far back from the end of a slice a boundary is looked for.
LOOK_BACK_CHARACTERS: Final = 4_096
BLANKS: Final = (" ", "\n", "\t", "\u3000")


class Tokens:
    """One tokenizer. `before` and `after` are the specials around every sequence."""

    def __init__(self, model: str, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as fault:  # the library raises nothing narrower
            raise ModelUnavailable(model, f"{path.name} cannot be loaded: {fault}") from fault
        # The file of MiniLM asks for 128 tokens, cut and padded.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        bare = self._tokenizer.encode("a", add_special_tokens=False).ids
        whole = self._tokenizer.encode("a").ids
        begin = whole.index(bare[0])
        self.before: tuple[int, ...] = tuple(whole[:begin])
        self.after: tuple[int, ...] = tuple(whole[begin + len(bare) :])

    @property
    def specials(self) -> int:
        """Tokens that every sequence has besides its content."""
        return len(self.before) + len(self.after)

    def ids(self, text: str, enough: int) -> Ids:
        """Ids of the content. Stops counting once there are more than `enough`."""
        if len(text) <= SHORT_CHARACTERS:
            return np.array(
                self._tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64
            )
        found: list[Ids] = []
        count = start = 0
        while start < len(text) and count <= enough:
            end = _boundary(text, start)
            piece = self._slice(text[start:end])
            found.append(piece)
            count += len(piece)
            start = end
        return np.concatenate(found)

    def _slice(self, text: str) -> Ids:
        [encoding] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        return np.array(encoding.ids, dtype=np.int64)


def _boundary(text: str, start: int) -> int:
    """The end of the slice that begins at `start`: before a blank, else between ideographs.

    Where there is neither (thousands of letters without a blank) it is cut hard, and the sum of
    the slices may exceed the count of the whole by a token.
    """
    limit = start + SLICE_CHARACTERS
    if limit >= len(text):
        return len(text)
    least = limit - LOOK_BACK_CHARACTERS
    blank = max(text.rfind(blank, least, limit) for blank in BLANKS)
    if blank > 0:
        return blank
    if not text[least:limit].isascii():
        for index in range(limit, least, -1):
            if _is_ideograph(text[index]) and _is_ideograph(text[index - 1]):
                return index
    return limit


def _is_ideograph(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"
