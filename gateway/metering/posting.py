"""What the shipper, the adopter and the reaper share: post outcomes, tell Redis, set aside.

Refuses to let one impossible outcome hold up the others: it is found by halving, written to
`refused.jsonl` beside the spools, counted, and left to a person. Its admission number stays a hole
that the proof shows.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.admission.ask import Settlement
from gateway.admission.gate import Gate
from gateway.errors import RedisUnavailable
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow, OutcomesRefused
from gateway.telemetry import Telemetry

_LOG = logging.getLogger("sluice.posting")
# A batch in the ledger is worth more patience than a look-up.
_POST_DEADLINE_MS: Final = 10_000
REFUSED_FILE: Final = "refused.jsonl"


class Poster:
    """Posts batches; `root` is where the spools are."""

    def __init__(self, book: Book, gate: Gate, telemetry: Telemetry, root: Path) -> None:
        self._book = book
        self._gate = gate
        self._telemetry = telemetry
        self._root = root
        self._settles = True

    async def post(self, events: Sequence[bytes]) -> Sequence[BalanceRow]:
        """Post encoded events in one transaction; the newest row of every key they touch.

        Raises PostgresUnavailable: post the same ones again.
        """
        try:
            text = b"[" + b",".join(events) + b"]"
            return await self._book.post_outcomes(text, deadline_ms=_POST_DEADLINE_MS)
        except OutcomesRefused as refused:
            if len(events) == 1:
                await self._set_aside(events[0], refused)
                return ()
        half = len(events) // 2
        return (*await self.post(events[:half]), *await self.post(events[half:]))

    @property
    def memory(self) -> int:
        """Of Redis; to be asked before rows are read."""
        return self._gate.memory

    async def settle(
        self, settlements: Sequence[Settlement], rows: Sequence[BalanceRow], memory: int
    ) -> bool:
        """Redis learns what PostgreSQL knows; False when it cannot now."""
        try:
            await self._gate.settle(settlements, rows, memory)
        except RedisUnavailable as fault:
            # Once, and not fifty times a second for as long as it lasts.
            if self._settles:
                _LOG.warning("settle of %d outcomes failed: %s", len(settlements), fault)
            self._settles = False
            return False
        if not self._settles:
            _LOG.warning("outcomes are settled again")
        self._settles = True
        return True

    async def _set_aside(self, event: bytes, refused: OutcomesRefused) -> None:
        _LOG.error("an outcome was refused and set aside: %s: %r", refused, event)
        self._telemetry.set_aside.inc()
        await asyncio.to_thread(_append_line, self._root, event, str(refused))


def _append_line(root: Path, event: bytes, why: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with (root / REFUSED_FILE).open("ab") as file:
        file.write(event + b" // " + why.encode() + b"\n")
