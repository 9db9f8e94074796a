"""When the worker proves the books: what was posted today every hour, everything once a night.

Refuses to begin while the machine is still starting, and to make up for a night that was missed:
what everything's proof would find, an operator can ask for at any time.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.control.proof import Proof, Proven
from gateway.units import MS_PER_S

_LOG = logging.getLogger("sluice.proof")
_FIRST_AFTER_S: Final = 120.0
# The night of UTC: after the day before was closed.
_FULL_HOUR: Final = 3
_RECENT_MS: Final = 120_000
_FULL_MS: Final = 3_600_000


class Rounds:
    """Runs proofs when they are due; `every_ms` 0: never."""

    def __init__(
        self,
        proof: Proof,
        every_ms: int,
        *,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._proof = proof
        self._every_s = every_ms / MS_PER_S
        self._clock_s = clock_s
        self._next_s = clock_s() + min(_FIRST_AFTER_S, self._every_s)
        self._next_full = _next_night(clock_s())

    async def run_once(self) -> int:
        """Run what is due; answers how many proofs ran. Raises PostgresUnavailable."""
        now_s = self._clock_s()
        if not self._every_s:
            return 0
        ran = 0
        if now_s >= self._next_s:
            self._next_s = now_s + self._every_s
            midnight = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0)
            since_ms = int(midnight.timestamp()) * MS_PER_S
            _tell(await self._proof.run(since_ms=since_ms, deadline_ms=_RECENT_MS))
            ran += 1
        if now_s >= self._next_full:
            self._next_full = _next_night(now_s)
            _tell(await self._proof.run(deadline_ms=_FULL_MS))
            ran += 1
        return ran


def _next_night(now_s: float) -> float:
    now = datetime.fromtimestamp(now_s, UTC)
    night = now.replace(hour=_FULL_HOUR, minute=0, second=0, microsecond=0)
    return (night if night > now else night + timedelta(days=1)).timestamp()


def _tell(proven: Proven) -> None:
    for check in proven.checks:
        if not check.holds:
            told = check.fault or f"{check.differences} differences, such as {check.sample[:3]}"
            _LOG.error("the proof: %s: %s", check.name, told)
    if proven.copies_fault is not None:
        _LOG.warning("the proof could not read the copies in Redis: %s", proven.copies_fault)
