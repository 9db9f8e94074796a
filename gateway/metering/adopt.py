"""The spool of an instance that died: posted to its end, its undelivered charges given back.

1. Take its lock: only a dead process lets go of it.
2. Read it all once: which charges have no mark of delivery behind them.
3. Post what the cursor says is not posted, settle it in Redis.
4. Give back what was not delivered, tell the ledger that the instance is drained.
5. Remove it once Redis has the balances that follow; whoever dies before that posts it again.

Refuses to touch a spool whose owner lives, and keeps a damaged one for a person.

A mark is written within `spool.MARK_WITHIN_S` of the last byte, so what was delivered in the last
moments before the crash is given back too: at most what one process delivers in that time.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

from gateway.admission.ask import Settlement
from gateway.admission.gate import Gate
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow
from gateway.metering import event as fields
from gateway.metering.event import CHARGE
from gateway.metering.posting import Poster
from gateway.metering.shipper import MAX_UNSETTLED, read_batch
from gateway.metering.spool_files import (
    NOWHERE,
    Position,
    SpoolDamaged,
    lock,
    read_cursor,
    read_frames,
)
from gateway.telemetry import Telemetry

_LOG = logging.getLogger("sluice.adopt")


@dataclass(slots=True)
class _Untold:
    """What was posted and Redis did not take, and the keys of which that is."""

    settlements: list[Settlement] = field(default_factory=list)
    keys: set[int] = field(default_factory=set)


class Adopter:
    """Finds spools without an owner below `root` and brings them to their end."""

    def __init__(self, root: Path, book: Book, gate: Gate, telemetry: Telemetry) -> None:
        self._root = root
        self._book = book
        self._gate = gate
        self._poster = Poster(book, gate, telemetry, root)
        self._telemetry = telemetry
        self._damaged: set[str] = set()
        self._untold: dict[str, _Untold] = {}

    async def run_once(self) -> int:
        """Adopt every orphaned spool; answers how many were finished."""
        finished = 0
        for directory in await asyncio.to_thread(_spools, self._root):
            descriptor = lock(directory, create=False)
            if descriptor is None:
                continue
            try:
                finished += await self._adopt(directory)
            except SpoolDamaged as damage:
                self._tell_damage(directory.name, damage)
            finally:
                os.close(descriptor)
        return finished

    async def _adopt(self, directory: Path) -> bool:
        """Whether it is done with: posted, told to Redis, removed."""
        untold = self._untold.get(directory.name)
        if untold is None:
            untold = await self._post(directory)
            self._untold[directory.name] = untold
        memory = self._poster.memory
        # As they are now: of newer ones nobody may tell a Redis that has begun anew.
        rows = await self._book.load_balances(sorted(untold.keys)) if untold.keys else ()
        if not await self._poster.settle(untold.settlements, rows, memory):
            # Nobody else knows of these charges: a balance that is older would be spent twice.
            return False
        del self._untold[directory.name]
        await asyncio.to_thread(rmtree, directory)
        return True

    async def _post(self, directory: Path) -> "_Untold":
        """Bring all of it into the ledger; what of that Redis did not take."""
        instance, untold = directory.name, _Untold()
        owed, end = await asyncio.to_thread(_undelivered, directory)
        position = read_cursor(directory)
        # Not what stands behind the end: from the cursor on, which a power cut may have kept and
        # not what was before it, there may be groups that nobody was told of.
        while batch := await asyncio.to_thread(read_batch, directory, position, end):
            position = batch.end
            if batch.events:
                memory = self._poster.memory
                rows = await self._poster.post(batch.events)
                await self._tell(batch.settlements, rows, untold, memory)
                self._telemetry.orphans.labels("spooled").inc(len(batch.events))
        if owed:
            memory = self._poster.memory
            rows = await self._book.refund_undelivered(owed)
            await self._tell((), rows, untold, memory)
            self._telemetry.orphans.labels("undelivered").inc(len(owed))
        await self._book.beat_instance(instance, 1, (), stopped=True, drained=True)
        self._gate.declare_dead(instance)
        _LOG.warning("adopted the spool of %s: %d given back", instance, len(owed))
        return untold

    async def _tell(
        self,
        settlements: Sequence[Settlement],
        rows: Sequence[BalanceRow],
        untold: "_Untold",
        memory: int,
    ) -> None:
        if await self._poster.settle(settlements, rows, memory):
            return
        room = max(0, MAX_UNSETTLED - len(untold.settlements))
        untold.settlements += settlements[:room]
        untold.keys |= {row.key_id for row in rows}

    def _tell_damage(self, instance: str, damage: SpoolDamaged) -> None:
        if instance not in self._damaged:
            self._damaged.add(instance)
            self._telemetry.orphans.labels("damaged_spool").inc()
            _LOG.error("spool %s is damaged and kept, see the runbook: %s", instance, damage)


def _spools(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if (p / "lock").exists()) if root.is_dir() else []


def _undelivered(directory: Path) -> tuple[list[str], Position]:
    """Request ids of the charges without a mark of delivery, of the whole spool, and its end.

    From its beginning: the marks of what was posted long ago stand in the same segments.
    """
    requests: dict[int, str] = {}
    end = NOWHERE
    for frame in read_frames(directory, NOWHERE):
        end = frame.end
        requests.update(frame.outstanding)
        for event in frame.events:
            if event[fields.KIND] == CHARGE and event[fields.COST_TOKENS]:
                requests[event[fields.ADMISSION_NO]] = event[fields.REQUEST_ID]
        for number in frame.delivered:
            requests.pop(number, None)
    return list(requests.values()), end
