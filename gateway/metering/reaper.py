"""Holds that nobody will decide any more: voided for the customer, and released.

1. Ask the gate for holds past their deadline and for those of instances that are silent.
2. Its outcome is posted: Redis missed the settling, so release, and show it the newest balance.
   What its window counts stays: a charge is no void.
3. Its instance is drained (all that it decided is in the ledger): void and release.
4. It is no request's but a reserve, whose transfer nobody told of: release at its deadline.

Refuses to reap while the holder may still speak: its spool is not drained, or was never heard of
(unless the hold is an hour past its deadline: then the disk is taken for lost).
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.admission import reserves
from gateway.admission.ask import Hold, Settlement
from gateway.admission.gate import Gate
from gateway.admission.scripts import tag_of
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow
from gateway.metering.event import VOID, Event
from gateway.metering.outcomes import Outcome
from gateway.metering.posting import Poster
from gateway.telemetry import Telemetry

_LOG = logging.getLogger("sluice.reaper")
_LOST_DISK_MS: Final = 3_600_000


class Reaper:
    """Voids orphaned holds; `root` is where the spools are."""

    def __init__(self, book: Book, gate: Gate, telemetry: Telemetry, root: Path) -> None:
        self._book = book
        self._gate = gate
        self._poster = Poster(book, gate, telemetry, root)
        self._telemetry = telemetry

    async def run_once(self) -> int:
        """Void what is orphaned; answers how many holds were released."""
        orphans = await self._gate.orphans()
        if not orphans:
            return 0
        now_ms = time.time_ns() // 1_000_000
        drained = await self._book.drained_instances({hold.instance for hold in orphans})
        requests = [each.request_id for each in orphans if each.product != reserves.PRODUCT]
        posted = await self._book.posted_requests(requests)
        dead: list[Hold] = []
        late: list[Hold] = []
        for hold in orphans:
            if hold.product == reserves.PRODUCT:
                if hold.deadline_ms < now_ms:
                    late.append(hold)
            elif hold.request_id in posted:
                late.append(hold)
            elif hold.deadline_ms < now_ms - _LOST_DISK_MS or hold.instance in drained:
                dead.append(hold)
        if dead:
            await self._void(dead, now_ms)
        if late:
            memory = self._poster.memory
            await self._release(late, await self._rows(late), None, memory)
        return len(dead) + len(late)

    async def _rows(self, holds: Sequence[Hold]) -> Sequence[BalanceRow]:
        """The newest balances: whoever missed the settling has not seen the charge either."""
        keys = {int(hold.subject[2:]) for hold in holds if hold.subject.startswith("k:")}
        return await self._book.load_balances(sorted(keys))

    async def _void(self, holds: Sequence[Hold], now_ms: int) -> None:
        memory = self._poster.memory
        rows = await self._poster.post([_void_of(hold, now_ms).encode() for hold in holds])
        await self._release(holds, rows, 0, memory)

    async def _release(
        self,
        holds: Sequence[Hold],
        rows: Sequence[BalanceRow],
        actual_tpm: int | None,
        memory: int,
    ) -> None:
        settlements = [
            Settlement(
                hold.subject, tag_of(hold.subject), hold.product, hold.request_id, actual_tpm
            )
            for hold in holds
        ]
        if await self._poster.settle(settlements, rows, memory):
            self._telemetry.orphans.labels("hold").inc(len(holds))
            _LOG.warning("released %d holds that nobody would decide", len(holds))


def _void_of(hold: Hold, now_ms: int) -> Event:
    kind, _, name = hold.subject.partition(":")
    return Event(
        hold.request_id,
        VOID,
        int(name) if kind == "k" else None,
        hold.product,
        0,
        None,
        hold.hold_tokens,
        Outcome.GATEWAY_DIED.value,
        "none",
        500,
        hold.admission_no,
        _admitted_ms(hold.request_id),
        now_ms,
        hold.instance,
    )


def _admitted_ms(request_id: str) -> int:
    """The Unix milliseconds in a UUIDv7."""
    return int(request_id.replace("-", "")[:12], 16)
