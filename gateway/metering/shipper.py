"""From the spool to the ledger, and then to Redis: in groups, in order, each group safe to repeat.

1. Take what is durable (from memory; from the files where memory overflowed).
2. Post it: one transaction. It fails: nothing is forgotten, the same groups come again.
3. Settle: holds end, windows are corrected, newest balances copied. It fails: the ledger notes
   whose balances Redis has not got, so that whoever lives brings them as they are then. What ended
   is kept, and told with the next batch; beyond a bound left to the reaper.
4. Remember the position, give back what was decided but never delivered, and beat.

Refuses to run beside itself: one shipper per spool.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from gateway.admission.ask import Settlement
from gateway.admission.gate import Gate
from gateway.errors import PostgresUnavailable
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow, OutcomesRefused
from gateway.metering import event as fields
from gateway.metering.event import decode
from gateway.metering.meter import Meter
from gateway.metering.posting import Poster
from gateway.metering.spool import Group, Spool
from gateway.metering.spool_files import Frame, Position, read_frames
from gateway.metering.subjects import settlement_of
from gateway.metering.trouble import NO_TROUBLE
from gateway.telemetry import Telemetry

_LOG = logging.getLogger("sluice.shipper")
# Some hundreds per transaction: past that a larger group no longer makes a row cheaper.
MAX_BATCH: Final = 400
# Less than this in a batch, and the next one waits for its interval: each transaction, settle and
# cursor has its price, whatever it carries.
_WORTH_HASTE: Final = MAX_BATCH // 2
# Settlements that Redis did not take, some 10 MB; more are left to the reaper.
MAX_UNSETTLED: Final = 20_000
_SETTLE_AGAIN: Final = 2_000
# Not each time something is shipped: while one shard of a cluster is away, what is told again is
# told to the others as well, which have it already.
_SETTLE_PAUSE_S: Final = 0.5
_BEAT_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Outcomes that are posted together, up to `end`; `oldest_durable_s` None: from files."""

    events: list[bytes]
    settlements: list[Settlement]
    numbers: list[int]
    end: Position
    oldest_durable_s: float | None = None


class Shipper:
    """Posts the outcomes of one spool."""

    def __init__(
        self, spool: Spool, book: Book, gate: Gate, meter: Meter, telemetry: Telemetry
    ) -> None:
        self._spool = spool
        self._book = book
        self._poster = Poster(book, gate, telemetry, spool.directory.parent)
        self._meter = meter
        self._telemetry = telemetry
        self._next_beat_s = 0.0
        self.trouble = NO_TROUBLE
        self._unsettled: dict[str, Settlement] = {}
        # Keys that the ledger is to note, and what the spool may forget then.
        self._untold: set[int] = set()
        self._passed: tuple[Position, int] | None = None
        self._settle_again_s = 0.0

    async def run_once(self) -> int:
        """Post one batch; answers how many outcomes were posted."""
        begun_s = asyncio.get_running_loop().time()
        try:
            return await self._run()
        except PostgresUnavailable as fault:
            self.trouble = self.trouble.and_then(fault, begun_s)
            raise

    async def run_paced(self) -> int:
        """The same for who repeats it: not 0 only when what is left fills another batch."""
        posted = await self.run_once()
        return posted if posted >= _WORTH_HASTE else 0

    async def _run(self) -> int:
        await self._conclude()
        batch = await self._take()
        if batch is not None:
            await self._post(batch)
        await self._settle_again()
        await self._refund()
        await self._beat()
        return 0 if batch is None else len(batch.events)

    async def drain(self, deadline_s: float) -> bool:
        """Post everything, also of requests that were cut off a moment ago and are not decided yet.

        False when it was not done in time; raises PostgresUnavailable.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + deadline_s
        while loop.time() < end_s:
            if not await self.run_once() and not self._spool.depth and self._meter.is_idle:
                return True
            await asyncio.sleep(0.005)
        return False

    async def say_goodbye(self) -> None:
        """The instance stopped and everything is posted: reconciliation may close its numbers."""
        await self._tell(ended=True)

    async def note_untold(self) -> None:
        """Balances that Redis did not take are in the outbox. Raises PostgresUnavailable."""
        if self._untold:
            await self._book.note_balances(sorted(self._untold))

    async def _take(self) -> Batch | None:
        spool = self._spool
        end = spool.read_until
        if end is not None:
            return await asyncio.to_thread(read_batch, spool.directory, spool.shipped_end, end)
        return _batch_of_groups(spool.ready) if spool.ready else None

    async def _post(self, batch: Batch) -> None:
        if batch.events:
            memory = self._poster.memory
            rows = await self._poster.post(batch.events)
            self.trouble = NO_TROUBLE
            self._meter.posted(batch.numbers, batch.settlements, rows)
            self._telemetry.shipped.inc(len(batch.events))
            if batch.oldest_durable_s is not None:
                lag_s = asyncio.get_running_loop().time() - batch.oldest_durable_s
                self._telemetry.ship_lag.observe(lag_s)
            await self._settle(batch.settlements, rows, memory)
        self._passed = batch.end, len(batch.events)
        await self._conclude()

    async def _conclude(self) -> None:
        """Last: what is interrupted before this comes again, and is settled again."""
        await self.note_untold()
        self._untold.clear()
        if self._passed is not None:
            self._spool.posted(*self._passed)
            self._passed = None

    async def _settle(
        self, settlements: Sequence[Settlement], rows: Sequence[BalanceRow], memory: int
    ) -> None:
        if await self._poster.settle(settlements, rows, memory):
            return
        for each in settlements:
            self._unsettled[each.request_id] = each
        self._untold |= {row.key_id for row in rows}
        while len(self._unsettled) > MAX_UNSETTLED:
            del self._unsettled[next(iter(self._unsettled))]

    async def _settle_again(self) -> None:
        """Tell Redis what it did not take before."""
        now_s = asyncio.get_running_loop().time()
        if not self._unsettled or now_s < self._settle_again_s:
            return
        settlements = list(islice(self._unsettled.values(), _SETTLE_AGAIN))
        keys = {int(each.subject[2:]) for each in settlements if each.subject.startswith("k:")}
        memory = self._poster.memory
        # A hold ends together with its charge: as the ledger has it now, not as it was posted then.
        rows = await self._book.load_balances(sorted(keys)) if keys else ()
        if not await self._poster.settle(settlements, rows, memory):
            self._settle_again_s = now_s + _SETTLE_PAUSE_S
            return
        for each in settlements:
            del self._unsettled[each.request_id]

    async def _refund(self) -> None:
        due = self._meter.refunds_due()
        if not due:
            return
        memory = self._poster.memory
        try:
            rows = await self._book.refund_undelivered(list(due.values()))
        except OutcomesRefused:
            _LOG.exception("refund refused for %s", ", ".join(due.values()))
            rows = []
        self._meter.refunded(due)
        self._telemetry.orphans.labels("undelivered").inc(len(due))
        await self._settle((), rows, memory)

    async def _beat(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._next_beat_s:
            return
        self._next_beat_s = now_s + _BEAT_EVERY_S
        await self._tell(ended=False)

    async def _tell(self, *, ended: bool) -> None:
        state = self._meter.numbers.completeness()
        await self._book.beat_instance(
            self._meter.instance, state.complete_below, state.unused, stopped=ended, drained=ended
        )
        self.trouble = NO_TROUBLE


def _batch_of_groups(ready: Sequence[Group]) -> Batch:
    """Groups stay in `ready` until they are posted, so that a failure loses none."""
    groups: list[Group] = []
    size = 0
    for group in ready:
        if groups and size + len(group.tickets) > MAX_BATCH:
            break
        groups.append(group)
        size += len(group.tickets)
    tickets = [ticket for group in groups for ticket in group.tickets]
    return Batch(
        [ticket.event for ticket in tickets],
        [ticket.settlement for ticket in tickets],
        [ticket.admission_no for ticket in tickets],
        groups[-1].end,
        groups[0].durable_s,
    )


def read_batch(directory: Path, start: Position, end: Position | None = None) -> Batch | None:
    """The next outcomes in the files behind `start`, up to `end`; None when there is nothing.

    A settlement for each whose subject can be told. Raises SpoolDamaged.
    """
    frames: list[Frame] = []
    size = 0
    for frame in read_frames(directory, start):
        if end is not None and frame.end > end:
            break
        if frames and size + len(frame.events) > MAX_BATCH:
            break
        frames.append(frame)
        size += len(frame.events)
        if frame.end == end:
            # Behind it somebody may be writing just now.
            break
    return _batch_of_frames(frames) if frames else None


def _batch_of_frames(frames: Sequence[Frame]) -> Batch:
    arrays = [array for frame in frames for array in frame.events]
    settlements = [s for s in (settlement_of(decode(array)) for array in arrays) if s is not None]
    return Batch(
        [orjson.dumps(array) for array in arrays],
        settlements,
        [array[fields.ADMISSION_NO] for array in arrays],
        frames[-1].end,
    )
