"""Balances read from PostgreSQL for admissions: few queries for many requests, none of them old.

1. A read that is asked for waits for the next query; of one key, all that wait share its row.
2. A query takes what waits when it begins, and nobody who comes later: its row knows of every
   revocation, suspension and charge that was committed before the request came.
3. At most MOST_AT_ONCE queries run; meanwhile the others wait, each within its deadline.

Refuses to remember a row.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Final

from gateway.admission.roll import Roll
from gateway.errors import Fault, PostgresUnavailable
from gateway.ledger.rows import BalanceRow

MOST_AT_ONCE: Final = 2
MOST_KEYS: Final = 200
Load = Callable[[Sequence[int]], Awaitable[Sequence[BalanceRow]]]
_Row = asyncio.Future[BalanceRow | None]


class BalanceReads:
    """Reads by `load`, which answers the newest rows of several keys; `roll` learns of faults."""

    def __init__(self, load: Load, roll: Roll, deadline_ms: int) -> None:
        self._load = load
        self._roll = roll
        self._deadline_s = deadline_ms / 1_000
        self._waiting: dict[int, _Row] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def read(self, key_id: int) -> BalanceRow | None:
        """The newest row, as of now or later; None: no such key. Raises PostgresUnavailable."""
        row = self._waiting.get(key_id)
        if row is None:
            row = self._waiting[key_id] = asyncio.get_running_loop().create_future()
            self._begin()
        try:
            async with asyncio.timeout(self._deadline_s):
                # Others may wait for the same row: whoever leaves leaves alone.
                return await asyncio.shield(row)
        except TimeoutError:
            raise PostgresUnavailable("no balance within the deadline") from None

    async def close(self) -> None:
        """Nobody waits any more."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running))

    def _begin(self) -> None:
        if len(self._running) >= MOST_AT_ONCE or not self._waiting:
            return
        task = asyncio.create_task(self._query())
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            self._begin()

    async def _query(self) -> None:
        # In the next round of the loop: whoever came in this one is in it.
        asked = dict(islice(self._waiting.items(), MOST_KEYS))
        for key_id in asked:
            del self._waiting[key_id]
        if not asked:
            return
        fault: Fault = PostgresUnavailable("closed")
        rows: dict[int, BalanceRow] | None = None
        try:
            rows = {row.key_id: row for row in await self._load(list(asked))}
            self._roll.seen()
        except Fault as caught:
            self._roll.missed()
            fault = caught
        finally:
            for key_id, waiter in asked.items():
                if rows is not None:
                    waiter.set_result(rows.get(key_id))
                else:
                    waiter.set_exception(fault)
                    # Seen: whoever asked may have gone.
                    waiter.exception()
