"""What this process has decided and the ledger does not have yet, by subject. Pure.

A balance that is read while an outcome is being posted may be of before it, though the outcome is
known to be posted when the balance is used. So whoever reads one says so (`watching`), and takes
the row that the posting answered where that is newer (`newest`).

Refuses to go below zero: what is told twice is told once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from gateway.admission.ask import Settlement
from gateway.ledger.rows import BalanceRow


class Unposted:
    """Costs of one process; `tokens` per subject."""

    def __init__(self) -> None:
        self._tokens: dict[str, int] = {}
        self._spent: dict[str, int] = {}
        self._readers = 0
        self._rows: dict[int, BalanceRow] = {}

    def tokens(self, subject: str) -> int:
        """What is decided and not in the ledger."""
        return self._tokens.get(subject, 0)

    def spent(self, subject: str) -> int:
        """What came into the ledger since `count_spent`."""
        return self._spent.get(subject, 0)

    def count_spent(self, subject: str) -> None:
        """From now on, if not already: the process decides alone about this subject."""
        self._spent.setdefault(subject, 0)

    def forget_spent(self) -> None:
        """It does not decide alone any more: whatever is held is known to all."""
        self._spent.clear()

    def decided(self, subject: str, cost_tokens: int) -> None:
        """A request ended and costs this."""
        if cost_tokens:
            self._tokens[subject] = self._tokens.get(subject, 0) + cost_tokens

    def voided(self, told: Settlement) -> None:
        """What was decided will never be charged."""
        self._less(told)

    def posted(self, settlements: Iterable[Settlement], rows: Sequence[BalanceRow]) -> None:
        """These are in the ledger; `rows` are the newest of the keys that they touched."""
        for told in settlements:
            self._less(told)
            if told.subject in self._spent:
                self._spent[told.subject] += told.cost_tokens
        if self._readers:
            for row in rows:
                self._rows[row.key_id] = newer(row, self._rows.get(row.key_id))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A balance is being read in here, and used at the end of it."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._rows.clear()

    def newest(self, row: BalanceRow) -> BalanceRow:
        """The row that was read, or one that was answered to a posting since."""
        return newer(row, self._rows.get(row.key_id))

    def _less(self, told: Settlement) -> None:
        if not told.cost_tokens:
            return
        left = self._tokens.get(told.subject, 0) - told.cost_tokens
        if left > 0:
            self._tokens[told.subject] = left
        else:
            self._tokens.pop(told.subject, None)


def newer(row: BalanceRow, other: BalanceRow | None) -> BalanceRow:
    """The one with the higher version."""
    return row if other is None or row.version >= other.version else other
