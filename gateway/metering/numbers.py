"""Admission numbers of one instance: no gap, each ended exactly once.

Refuses to forget a number: one that was given back (the request was refused) is used again, and a
beat tells which are unused at its moment; so every other hole below the mark is a lost record.
"""

from dataclasses import dataclass
from heapq import heappop, heappush


@dataclass(frozen=True, slots=True)
class Completeness:
    """Every number below `complete_below` is posted, except the `unused`."""

    complete_below: int
    unused: tuple[int, ...]


class AdmissionNumbers:
    """Numbers from 1 upwards; `take`, then either `give_back` or, once posted, `posted`."""

    def __init__(self) -> None:
        self._next = 1
        self._free: list[int] = []
        self._open: set[int] = set()

    def take(self) -> int:
        """The smallest number that is free."""
        if self._free:
            number = heappop(self._free)
        else:
            number = self._next
            self._next += 1
        self._open.add(number)
        return number

    def give_back(self, number: int) -> None:
        """The request was refused: no outcome will carry this number."""
        self._open.remove(number)
        heappush(self._free, number)

    def posted(self, number: int) -> None:
        """The ledger holds the outcome of this number."""
        self._open.discard(number)

    def is_posted(self, number: int) -> bool:
        """Whether the outcome of a number that was taken is in the ledger."""
        return number not in self._open

    def completeness(self) -> Completeness:
        """What reconciliation may rely on at this moment; the next one replaces it."""
        below = min(self._open, default=self._next)
        return Completeness(below, tuple(sorted(n for n in self._free if n < below)))
