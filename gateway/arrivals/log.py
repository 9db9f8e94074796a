"""The arrival log of one gateway process: what it is told is folded and written behind the answers.

1. `arrived` and `ended` append to a list, and that is all that a request pays.
2. `run_once` folds what waits into the columns of a block, a few hundred at a time.
3. A thread deflates full blocks and writes them; no lock, no fsync: a crash loses some seconds.

Refuses to hold anybody up: what comes while too much waits, and what the disk does not take, is
counted and gone.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.admission.ask import Ask, Decision
from gateway.arrivals.fold import Arrived, Ended, Fold
from gateway.arrivals.segments import SegmentWriter
from gateway.telemetry import Telemetry

RUN_EVERY_MS: Final = 250
_MOST_WAITING: Final = 50_000
_AT_ONCE: Final = 512
_BLOCK_EVENTS: Final = 4_096
_BLOCK_S: Final = 5.0
_CLOSE_S: Final = 2.0
_NS_PER_US: Final = 1_000


class ArrivalLog:
    """What the edge and the meter tell; on the event loop only."""

    def __init__(
        self,
        pseudonym: Callable[[str], bytes],
        writer: SegmentWriter,
        telemetry: Telemetry,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._writer = writer
        self._clock_ns = clock_ns
        self._fold = Fold(pseudonym)
        self._arrived: list[Arrived] = []
        self._ended: list[Ended] = []
        self._since_s = 0.0
        # How far the clock that decides is ahead of ours, found anew with each list.
        self._ahead_us = 0
        self._dropped = telemetry.arrivals.labels("dropped")
        writer.start()

    def arrived(self, ask: Ask, decision: Decision) -> None:
        """A request was decided."""
        waiting = self._arrived
        if not waiting and not decision.degraded:
            self._ahead_us = decision.now_us - self._clock_ns() // _NS_PER_US
        if len(waiting) >= _MOST_WAITING:
            self._dropped.inc()
            return
        if decision.degraded:
            now_us = self._clock_ns() // _NS_PER_US + self._ahead_us
            decision = replace(decision, now_us=now_us)
        waiting.append((ask, decision))

    def ended(self, request_id: str, tokens: int) -> None:
        """An admitted request has ended, with so many tokens for its window."""
        if len(self._ended) < _MOST_WAITING:
            self._ended.append((request_id, tokens, self._clock_ns()))
        else:
            self._dropped.inc()

    async def run_once(self) -> int:
        """Fold what waits, and hand over a block that is full or old; always 0: it can wait."""
        loop = asyncio.get_running_loop()
        arrived, self._arrived = self._arrived, []
        ahead_us = self._ahead_us
        ended = [(name, used, at_ns // _NS_PER_US + ahead_us) for name, used, at_ns in self._ended]
        self._ended = []
        if not len(self._fold):
            self._since_s = loop.time()
        for start in range(0, max(len(arrived), len(ended)), _AT_ONCE):
            if start:
                await asyncio.sleep(0)
            self._fold.arrived(arrived[start : start + _AT_ONCE])
        self._fold.ended(ended)
        if len(self._fold) >= _BLOCK_EVENTS or loop.time() - self._since_s > _BLOCK_S:
            self._hand_over()
        return 0

    def _hand_over(self) -> None:
        count = len(self._fold)
        if count and not self._writer.put(self._fold.take(), count):
            self._dropped.inc(count)

    async def close(self) -> None:
        """Write what there is, waiting a moment for the disk."""
        await self.run_once()
        self._hand_over()
        await asyncio.to_thread(self._writer.stop, _CLOSE_S)
