"""Runs the proof: every check of the books, every balance copy in Redis, Stripe's own list.

Refuses to run twice at once: who comes second waits, and gets a proof of his own.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.admission.copies import Copies
from gateway.billing.stripe_books import StripeBooks
from gateway.errors import RedisUnavailable
from gateway.ledger.reconcile import COPIES_CHECK, SAMPLE_ROWS, Reconciler
from gateway.ledger.rows import Check
from gateway.telemetry import Telemetry
from gateway.units import MS_PER_S

# What a proof looked at, as its metrics are labelled.
FULL: Final = "everything"
RECENT: Final = "today"
# For one check of everything.
FULL_MS: Final = 600_000


@dataclass(frozen=True, slots=True)
class Proven:
    """What the checks found. `copies_fault`: why the copies in Redis could not be looked at."""

    checks: list[Check]
    copies_fault: str | None

    @property
    def ok(self) -> bool:
        """Whether everything was looked at and nothing was found."""
        return self.copies_fault is None and all(check.holds for check in self.checks)


class Proof:
    """The reconciler, and `copies`, which makes a fresh reader of the copies in Redis."""

    def __init__(
        self,
        reconciler: Reconciler,
        copies: Callable[[], Copies],
        telemetry: Telemetry,
        stripe: StripeBooks | None = None,
    ) -> None:
        self._reconciler = reconciler
        self._copies = copies
        self._telemetry = telemetry
        self._stripe = stripe
        self._lock = asyncio.Lock()

    async def run(self, *, since_ms: int | None = None, deadline_ms: int = FULL_MS) -> Proven:
        """All checks, of everything or of what was posted since. Raises PostgresUnavailable."""
        async with self._lock:
            checks = await self._reconciler.run(since_ms=since_ms, deadline_ms=deadline_ms)
            fault = None
            try:
                checks.append(await self._compare())
            except RedisUnavailable as away:
                fault = str(away) or "Redis does not answer"
            if self._stripe is not None:
                since_s = None if since_ms is None else since_ms // MS_PER_S
                checks.append(await self._stripe.check(since_s))
            proven = Proven(checks, fault)
            self._show(proven, FULL if since_ms is None else RECENT)
            return proven

    def _show(self, proven: Proven, scope: str) -> None:
        telemetry, now_s = self._telemetry, time.time()
        for check in proven.checks:
            shown = telemetry.reconcile_differences.labels(check.name, scope)
            if not check.fault:
                shown.set(check.differences, now_s)
        unfinished = sum(bool(check.fault) for check in proven.checks)
        unfinished += proven.copies_fault is not None
        telemetry.reconcile_unfinished.labels(scope).set(unfinished, now_s)
        telemetry.reconcile_time.labels(scope).set(int(now_s), now_s)

    async def _compare(self) -> Check:
        whole = Check(COPIES_CHECK, 0, ())
        async for rows in self._copies().pages():
            part = await self._reconciler.compare_copies(rows)
            sample = (*whole.sample, *part.sample)[:SAMPLE_ROWS]
            whole = Check(COPIES_CHECK, whole.differences + part.differences, sample)
        return whole
