"""Admission numbers of one instance: no gap, each ended exactly once.

Refuses to forget a number: one that was given back (the request was refused) is used again, and a
beat tells which are unused at its moment; so every other hole below the mark is a lost record.
"""

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

# So many closed numbers are forgotten together.
_TRIM_AT: Final = 4_096


@dataclass(frozen=True, slots=True)
class Completeness:
    """Every number below `complete_below` is posted, except the `unused`."""

    complete_below: int
    unused: tuple[int, ...]


class AdmissionNumbers:
    """Numbers from 1 upwards; `take`, then either `give_back` or, once posted, `posted`.

    While the ledger is away every outcome's number stays open: a byte for each of them.
    """

    def __init__(self, *, trim_at: int = _TRIM_AT) -> None:
        self._trim_at = trim_at
        self._free: list[int] = []
        # One byte for each number from `_first` on, 1 where it is open.
        self._first = 1
        self._marks = bytearray()
        # Numbers before them that were given back and taken again: as many as requests run.
        self._early: set[int] = set()

    def take(self) -> int:
        """The smallest number that is free."""
        if not self._free:
            self._marks.append(1)
            return self._first + len(self._marks) - 1
        number = heappop(self._free)
        if number < self._first:
            self._early.add(number)
        else:
            self._marks[number - self._first] = 1
        return number

    def give_back(self, number: int) -> None:
        """The request was refused: no outcome will carry this number."""
        assert not self.is_posted(number), "only an open number can be given back"
        self.posted(number)
        heappush(self._free, number)

    def posted(self, number: int) -> None:
        """The ledger holds the outcome of this number; harmless when it is not open."""
        place = number - self._first
        if place < 0:
            self._early.discard(number)
        elif place < len(self._marks):
            self._marks[place] = 0

    def is_posted(self, number: int) -> bool:
        """Whether the outcome of a number that was taken is in the ledger."""
        place = number - self._first
        if place < 0:
            return number not in self._early
        return place >= len(self._marks) or not self._marks[place]

    def completeness(self) -> Completeness:
        """What reconciliation may rely on at this moment; the next one replaces it."""
        closed = self._marks.find(1)
        if closed < 0:
            closed = len(self._marks)
        if closed >= self._trim_at:
            del self._marks[:closed]
            self._first += closed
            closed = 0
        below = min(self._early, default=self._first + closed)
        return Completeness(below, tuple(sorted(n for n in self._free if n < below)))
