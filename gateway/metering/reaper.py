"""Holds that nobody will decide any more: voided for the customer, and released.

Refuses to reap while the holder may still speak: its instance beats, or its spool is not drained
yet (unless the hold is an hour past its deadline: then the disk is taken for lost).
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.admission.ask import Hold, Settlement
from gateway.admission.gate import Gate
from gateway.admission.scripts import tag_of
from gateway.ledger.book import Book
from gateway.metering.event import VOID, Event
from gateway.metering.outcomes import Outcome
from gateway.metering.posting import post_outcomes, settle_or_log
from gateway.telemetry import Telemetry

_LOG = logging.getLogger("sluice.reaper")
_LOST_DISK_MS: Final = 3_600_000


class Reaper:
    """Voids orphaned holds."""

    def __init__(self, book: Book, gate: Gate, telemetry: Telemetry, directory: Path) -> None:
        self._book = book
        self._gate = gate
        self._telemetry = telemetry
        self._directory = directory

    async def run_once(self) -> int:
        """Void what is orphaned; answers how many holds were released."""
        orphans = await self._gate.orphans()
        if not orphans:
            return 0
        undrained = {row.instance for row in await self._book.list_instances()}
        now_ms = time.time_ns() // 1_000_000
        due = [
            hold
            for hold in orphans
            if hold.instance not in undrained or hold.deadline_ms < now_ms - _LOST_DISK_MS
        ]
        if due:
            await self._void(due, now_ms)
        return len(due)

    async def _void(self, holds: Sequence[Hold], now_ms: int) -> None:
        events = [_void_of(hold, now_ms).encode() for hold in holds]
        # A request whose outcome is posted already keeps it; only the hold goes.
        rows = await post_outcomes(self._book, events, self._directory)
        settlements = [
            Settlement(hold.subject, tag_of(hold.subject), hold.product, hold.request_id, 0)
            for hold in holds
        ]
        await settle_or_log(self._gate, settlements, rows)
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
