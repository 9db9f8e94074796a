"""Runs the proof on demand: every check of the books, then every balance copy in Redis.

Refuses to run twice at once: who comes second waits, and gets a proof of his own.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.admission.copies import Copies
from gateway.errors import RedisUnavailable
from gateway.ledger.reconcile import COPIES_CHECK, SAMPLE_ROWS, Reconciler
from gateway.ledger.rows import Check
from gateway.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Proven:
    """What the checks found. `copies_fault`: why the copies in Redis could not be looked at."""

    checks: list[Check]
    copies_fault: str | None

    @property
    def ok(self) -> bool:
        """Whether everything was looked at and nothing was found."""
        return self.copies_fault is None and not any(c.differences for c in self.checks)


class Proof:
    """The reconciler, and `copies`, which makes a fresh reader of the copies in Redis."""

    def __init__(
        self, reconciler: Reconciler, copies: Callable[[], Copies], telemetry: Telemetry
    ) -> None:
        self._reconciler = reconciler
        self._copies = copies
        self._telemetry = telemetry
        self._lock = asyncio.Lock()

    async def run(self) -> Proven:
        """All checks. Raises PostgresUnavailable."""
        async with self._lock:
            checks, fault = await self._reconciler.run(), None
            try:
                checks.append(await self._compare())
            except RedisUnavailable as away:
                fault = str(away) or "Redis does not answer"
            for check in checks:
                gauge = self._telemetry.reconcile_differences.labels(check.name)
                gauge.set(check.differences)
            self._telemetry.reconcile_time.set(int(time.time()))
            return Proven(checks, fault)

    async def _compare(self) -> Check:
        whole = Check(COPIES_CHECK, 0, ())
        async for rows in self._copies().pages():
            part = await self._reconciler.compare_copies(rows)
            sample = (*whole.sample, *part.sample)[:SAMPLE_ROWS]
            whole = Check(COPIES_CHECK, whole.differences + part.differences, sample)
        return whole
