"""The pulse of an instance: it tells Redis that it lives, and what Redis must not miss meanwhile.

1. A beat each second; its absence makes our holds orphans.
2. Redis did not know our last beat, or came back as another process: it was emptied, so the holds
   of the requests that run are put back.
3. PostgreSQL is behind, so settling is: what was decided is told now, and a key's places and
   balance are free for its next requests.

Refuses to touch PostgreSQL: it has to work while that is down.
"""

from collections.abc import Callable
from typing import Final

from gateway.admission.gate import Gate
from gateway.metering.meter import Meter
from gateway.metering.spool import Spool
from gateway.units import MS_PER_S

BEAT_TTL_MS: Final = 5_000
_BEAT_EVERY_S: Final = 1.0
# Settling in time is ten times faster than this; where it is slow on purpose, three intervals.
_BEHIND_S: Final = 0.5
_INTERVALS: Final = 3


class Pulse:
    """Of one instance. `restarts` counts how often Redis came back as another process.

    `ship_interval_ms`: so often everything is shipped when all is well.
    """

    def __init__(
        self,
        gate: Gate,
        meter: Meter,
        spool: Spool,
        restarts: Callable[[], int],
        now_s: Callable[[], float],
        ship_interval_ms: int = 0,
    ) -> None:
        self._gate = gate
        self._meter = meter
        self._spool = spool
        self._restarts = restarts
        self._now_s = now_s
        self._behind_s = max(_BEHIND_S, _INTERVALS * ship_interval_ms / MS_PER_S)
        self._next_beat_s = 0.0
        self._seen_restarts = restarts()
        self._begun = False
        self._was_emptied = False

    async def run_once(self) -> int:
        """Beat if it is time; raises RedisUnavailable. Always 0: there is no hurry."""
        # First: a shard that takes no decisions is no reason to seem dead to the others.
        if self._now_s() >= self._next_beat_s:
            await self._beat()
            self._next_beat_s = self._now_s() + _BEAT_EVERY_S
        if self._spool.is_behind(self._behind_s):
            await self._gate.flush()
        return 0

    async def _beat(self) -> None:
        restarts = self._restarts()
        known = await self._gate.beat(self._meter.instance, BEAT_TTL_MS)
        self._was_emptied |= (self._begun and not known) or restarts != self._seen_restarts
        self._seen_restarts = restarts
        self._begun = True
        if self._was_emptied:
            await self._gate.reassert(self._meter.open_holds())
            # Not before: the next beat is known, whatever became of the holds.
            self._was_emptied = False
