"""The spool of an instance that died: posted to its end, its undelivered charges given back.

Refuses to touch a spool whose owner lives (the lock says so), and keeps a damaged one for a person.

Who did not get his last byte is told by what is missing: a delivery mark. Marks ride with the
group after the one they belong to, so what was delivered in the last moments before the crash is
given back too: at most what one process delivers within one shipping interval.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Final

from gateway.admission.gate import Gate
from gateway.ledger.book import Book
from gateway.metering import event as fields
from gateway.metering.event import CHARGE
from gateway.metering.posting import post_outcomes, settle_or_log
from gateway.metering.shipper import batch_of
from gateway.metering.spool_files import (
    NOWHERE,
    Frame,
    SpoolDamaged,
    lock,
    read_cursor,
    read_frames,
)
from gateway.telemetry import Telemetry

_LOG = logging.getLogger("sluice.adopt")
_FRAMES_PER_STEP: Final = 50


@dataclass(slots=True)
class _Undelivered:
    """Which charges have no delivery mark behind them."""

    requests: dict[int, str] = field(default_factory=dict)

    def see(self, frame: Frame) -> None:
        self.requests.update(frame.outstanding)
        for event in frame.events:
            if event[fields.KIND] == CHARGE and event[fields.COST_TOKENS]:
                self.requests[event[fields.ADMISSION_NO]] = event[fields.REQUEST_ID]
        for number in frame.delivered:
            self.requests.pop(number, None)


class Adopter:
    """Finds spools without an owner below `root` and brings them to their end."""

    def __init__(self, root: Path, book: Book, gate: Gate, telemetry: Telemetry) -> None:
        self._root = root
        self._book = book
        self._gate = gate
        self._telemetry = telemetry

    async def run_once(self) -> int:
        """Adopt every orphaned spool; answers how many were finished."""
        finished = 0
        for directory in await asyncio.to_thread(_spools, self._root):
            descriptor = lock(directory)
            if descriptor is None:
                continue
            try:
                await self._adopt(directory)
                finished += 1
            except SpoolDamaged:
                _LOG.exception("spool %s is damaged and kept; see the runbook", directory.name)
                self._telemetry.orphans.labels("damaged_spool").inc()
            finally:
                os.close(descriptor)
        return finished

    async def _adopt(self, directory: Path) -> None:
        undelivered = _Undelivered()
        instance = directory.name
        frames = await asyncio.to_thread(_all_frames, directory)
        cursor = read_cursor(directory)
        for frame in frames:
            undelivered.see(frame)
        waiting = [frame for frame in frames if frame.end > cursor]
        for at in range(0, len(waiting), _FRAMES_PER_STEP):
            await self._post(directory, waiting[at : at + _FRAMES_PER_STEP])
        ids = list(undelivered.requests.values())
        if ids:
            rows = await self._book.refund_undelivered(ids)
            await settle_or_log(self._gate, (), rows)
            self._telemetry.orphans.labels("undelivered").inc(len(ids))
        await self._book.beat_instance(instance, 1, (), stopped=True, drained=True)
        await asyncio.to_thread(rmtree, directory)
        _LOG.warning("adopted the spool of %s: %d given back", instance, len(ids))

    async def _post(self, directory: Path, frames: Sequence[Frame]) -> None:
        batch = batch_of(frames)
        if batch.events:
            rows = await post_outcomes(self._book, batch.events, directory)
            await settle_or_log(self._gate, batch.settlements, rows)
            self._telemetry.orphans.labels("spooled").inc(len(batch.events))


def _spools(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if (p / "lock").exists()) if root.is_dir() else []


def _all_frames(directory: Path) -> list[Frame]:
    # From the beginning: the marks of what was posted long ago stand in the same segments.
    return list(read_frames(directory, NOWHERE))
