"""From the spool to the ledger, and then to Redis: in groups, in order, each group safe to repeat.

1. Take what is durable (from memory; from the files when memory overflowed).
2. `post_outcomes`: one transaction. It fails: nothing is forgotten, the same group comes again.
3. `settle`: holds released, windows corrected, newest balances copied. It fails: logged and left
   to the next settle of the key, a newer version, and the reaper.
4. Remember the position, give back what was decided but never delivered.

Refuses to run beside itself: one shipper per spool.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.admission.ask import Settlement
from gateway.admission.gate import Gate
from gateway.ledger.book import Book
from gateway.ledger.rows import OutcomesRefused
from gateway.metering import event as fields
from gateway.metering.event import decode
from gateway.metering.meter import Meter
from gateway.metering.posting import post_outcomes, settle_or_log
from gateway.metering.spool import Group, Spool
from gateway.metering.spool_files import Frame, Position, read_frames
from gateway.metering.subjects import settlement_of
from gateway.telemetry import Telemetry

_LOG = logging.getLogger("sluice.shipper")
# Some hundreds per transaction: past that a larger group no longer makes a row cheaper.
MAX_BATCH: Final = 400
_BEAT_EVERY_S: Final = 1.0


@dataclass(slots=True)
class _Batch:
    events: list[bytes]
    settlements: list[Settlement]
    numbers: list[int]
    end: Position
    oldest_durable_s: float | None


class Shipper:
    """Posts the outcomes of one spool."""

    def __init__(
        self, spool: Spool, book: Book, gate: Gate, meter: Meter, telemetry: Telemetry
    ) -> None:
        self._spool = spool
        self._book = book
        self._gate = gate
        self._meter = meter
        self._telemetry = telemetry
        self._next_beat_s = 0.0

    async def run_once(self) -> int:
        """Post one batch; answers how many outcomes were posted."""
        self._spool.flush_marks()
        batch = self._from_memory() if self._spool.ready else await self._from_files()
        if batch is not None:
            await self._post(batch)
        refunds = self._meter.take_refunds()
        if refunds:
            await self._refund(refunds)
        await self._beat()
        self._telemetry.spool_depth.set(self._spool.depth)
        return 0 if batch is None else len(batch.events)

    async def drain(self, deadline_s: float) -> bool:
        """Post everything that is durable; False when PostgreSQL did not take it in time."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + deadline_s
        while loop.time() < end_s:
            if not await self.run_once() and not self._spool.depth:
                return True
            await asyncio.sleep(0.005)
        return False

    def _from_memory(self) -> _Batch | None:
        """Groups stay in `ready` until they are posted, so that a failure loses none."""
        groups: list[Group] = []
        size = 0
        for group in self._spool.ready:
            if groups and size + len(group.tickets) > MAX_BATCH:
                break
            groups.append(group)
            size += len(group.tickets)
        tickets = [ticket for group in groups for ticket in group.tickets]
        return _Batch(
            [ticket.event for ticket in tickets],
            [ticket.settlement for ticket in tickets],
            [ticket.admission_no for ticket in tickets],
            groups[-1].end,
            groups[0].durable_s,
        )

    async def _from_files(self) -> _Batch | None:
        spool = self._spool
        if not spool.spilled:
            return None
        end = spool.durable_end
        frames = await asyncio.to_thread(_some_frames, spool, end)
        if not frames:
            # Everything durable is posted, and nothing new came while we looked.
            if spool.durable_end == spool.shipped_end:
                spool.spilled = False
            return None
        batch = batch_of(frames)
        return _Batch(batch.events, batch.settlements, batch.numbers, frames[-1].end, None)

    async def _post(self, batch: _Batch) -> None:
        if batch.events:
            rows = await post_outcomes(self._book, batch.events, self._spool.directory)
            for number in batch.numbers:
                self._meter.numbers.posted(number)
            self._telemetry.shipped.inc(len(batch.events))
            if batch.oldest_durable_s is not None:
                lag_s = asyncio.get_running_loop().time() - batch.oldest_durable_s
                self._telemetry.ship_lag.observe(lag_s)
            await settle_or_log(self._gate, batch.settlements, rows)
        self._spool.posted(batch.end)

    async def _refund(self, request_ids: Sequence[str]) -> None:
        try:
            rows = await self._book.refund_undelivered(request_ids)
        except OutcomesRefused:
            _LOG.exception("refund refused for %d requests", len(request_ids))
            return
        self._telemetry.orphans.labels("undelivered").inc(len(request_ids))
        await settle_or_log(self._gate, (), rows)

    async def _beat(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._next_beat_s:
            return
        self._next_beat_s = now_s + _BEAT_EVERY_S
        state = self._meter.numbers.completeness()
        await self._book.beat_instance(
            self._meter.instance, state.complete_below, state.unused, stopped=False, drained=False
        )

    async def say_goodbye(self) -> None:
        """The instance stopped and everything is posted: reconciliation may close its numbers."""
        state = self._meter.numbers.completeness()
        await self._book.beat_instance(
            self._meter.instance, state.complete_below, state.unused, stopped=True, drained=True
        )


def _some_frames(spool: Spool, end: Position) -> list[Frame]:
    frames: list[Frame] = []
    size = 0
    for frame in read_frames(spool.directory, spool.shipped_end):
        if frame.end > end or (frames and size + len(frame.events) > MAX_BATCH):
            break
        frames.append(frame)
        size += len(frame.events)
    return frames


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Outcomes read back from files."""

    events: list[bytes]
    settlements: list[Settlement]
    numbers: list[int]


def batch_of(frames: Sequence[Frame]) -> FileBatch:
    """The outcomes of some frames; a settlement for each whose subject can be told."""
    arrays = [array for frame in frames for array in frame.events]
    events = [decode(array) for array in arrays]
    settlements = [s for s in map(settlement_of, events) if s is not None]
    return FileBatch(
        [orjson.dumps(array) for array in arrays],
        settlements,
        [array[fields.ADMISSION_NO] for array in arrays],
    )
