"""The outbox in memory: keys whose newest row Redis may not have, each since its first note."""

from collections.abc import Sequence
from typing import Any

from tests.simulation.ledger_rows import Key

Rows = list[dict[str, Any]]


class OutboxTwin:
    """The rows of keys, and of those that are noted the version and the order."""

    def __init__(self) -> None:
        self.keys: dict[int, Key] = {}
        self.outbox: dict[int, tuple[int, int]] = {}
        self._noted = 0

    def take_outbox(self, limit: int) -> Rows:
        oldest = sorted(self.outbox, key=lambda key_id: (self.outbox[key_id][1], key_id))
        return [self.keys[each].row() for each in oldest[:limit]]

    def note_balances(self, keys: Sequence[int]) -> Rows:
        self._noted += 1
        for key_id in set(keys) & self.keys.keys():
            known = self.outbox.get(key_id, (0, self._noted))
            self.outbox[key_id] = (max(known[0], self.keys[key_id].version), known[1])
        return [{"note_balances": None}]

    def clear_outbox(self, keys: Sequence[int], versions: Sequence[int]) -> Rows:
        cleared = 0
        for key_id, version in zip(keys, versions, strict=True):
            if key_id in self.outbox and self.outbox[key_id][0] <= version:
                del self.outbox[key_id]
                cleared += 1
        return [{"clear_outbox": cleared}]

    def _note(self, key: Key) -> None:
        self._noted += 1
        self.outbox[key.key_id] = (key.version, self._noted)
