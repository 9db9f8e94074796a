"""Changes of a key that no shipper made, or could tell, brought to Redis until it has them.

Where Redis came back as another process, the revocations of the last days are told again: who had
read a balance before its key was revoked may have written it down after Redis forgot.

Refuses to order anything: rows carry versions, so copying one twice or late is harmless.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from gateway.admission.gate import Gate
from gateway.errors import RedisUnavailable
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow

# As long as a copy lives.
REVOKED_DAYS: Final = 7
_PAGE: Final = 1_000
# Keys of a shard that is away stay in front; so many are looked behind.
_AT_ONCE: Final = 200
_MOST_AT_ONCE: Final = 3_200


class Outbox:
    """Copies what is in the ledger's outbox into Redis.

    `restarts` counts how often Redis came back as another process.
    """

    def __init__(self, book: Book, gate: Gate, restarts: Callable[[], int]) -> None:
        self._book = book
        self._gate = gate
        self._restarts = restarts
        self._told_restarts = -1
        self._at_once = _AT_ONCE

    async def run_once(self) -> int:
        """Copy one bounded batch; answers how many keys were copied."""
        restarts, fault = self._restarts(), None
        if restarts != self._told_restarts:
            try:
                await self._tell_revocations()
                self._told_restarts = restarts
            except RedisUnavailable as caught:
                # Told again; what is new goes to the shards that are there.
                fault = caught
        memory = self._gate.memory
        rows = await self._book.take_outbox(self._at_once)
        try:
            await self._tell(rows, memory)
        except RedisUnavailable:
            await self._tell_who_are_there(rows, memory)
            raise
        self._at_once = _AT_ONCE
        if fault is not None:
            raise fault
        return len(rows)

    async def _tell(self, rows: Sequence[BalanceRow], memory: int) -> None:
        if rows:
            await self._gate.settle((), rows, memory)
            await self._book.clear_outbox(rows)

    async def _tell_who_are_there(self, rows: Sequence[BalanceRow], memory: int) -> None:
        """One shard is away: its keys stay, and hold back nobody's word behind them."""
        told = await asyncio.gather(
            *(self._gate.settle((), (row,), memory) for row in rows), return_exceptions=True
        )
        there = [row for row, fault in zip(rows, told, strict=True) if fault is None]
        if there or len(rows) == self._at_once:
            self._at_once = min(2 * self._at_once, _MOST_AT_ONCE)
        if there:
            await self._book.clear_outbox(there)

    async def _tell_revocations(self) -> None:
        last, memory = 0, self._gate.memory
        while rows := await self._book.recently_revoked(REVOKED_DAYS, last, _PAGE):
            await self._gate.settle((), rows, memory)
            last = rows[-1].key_id
