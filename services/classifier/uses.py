"""Counts uses in memory and writes them in batches, so that classifying writes nothing itself.

It refuses to grow without bound, and to lose a batch because PostgreSQL was away: what could not
be written waits for the next turn. A killed process loses what it counted in the last seconds.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from services.classifier.store import Store
from services.postgres import RefusedError, UnavailableError

PAUSE_S: Final = 1.0
BATCH: Final = 1_000
# Classifiers whose uses wait; beyond it, uses of others are not counted.
MOST_WAITING: Final = 100_000
LOGGER: Final = "sluice.classifier"


class Uses:
    """Uses per classifier since they were last written."""

    def __init__(
        self, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[UUID, tuple[int, datetime]] = {}
        self._writing = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """Classifiers whose uses are not written yet."""
        return len(self._waiting)

    def count(self, classifier_id: UUID) -> None:
        if classifier_id in self._waiting or len(self._waiting) < MOST_WAITING:
            before = self._waiting.get(classifier_id, (0, None))[0]
            self._waiting[classifier_id] = (before + 1, self._clock())

    async def write(self) -> None:
        """Writes what waits. Raises UnavailableError; what was not written waits on."""
        async with self._writing:
            while self._waiting:
                batch = dict(list(self._waiting.items())[:BATCH])
                uses = [count for count, _ in batch.values()]
                last = [moment for _, moment in batch.values()]
                await self._store.count_uses(list(batch), uses, last)
                self._forget(batch)

    def _forget(self, written: dict[UUID, tuple[int, datetime]]) -> None:
        for classifier_id, (count, _) in written.items():
            now, moment = self._waiting[classifier_id]
            if now > count:
                self._waiting[classifier_id] = (now - count, moment)
            else:
                del self._waiting[classifier_id]

    async def run(self) -> None:
        """Writes for ever, once a pause."""
        while True:
            await asyncio.sleep(PAUSE_S)
            await self.write_if_possible()

    async def write_if_possible(self) -> None:
        try:
            await self.write()
        except (UnavailableError, RefusedError) as fault:
            logging.getLogger(LOGGER).warning("uses of classifiers wait: %s", fault)
