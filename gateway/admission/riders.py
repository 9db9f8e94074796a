"""Decided requests of which Redis is still to be told: they ride with the subject's next ask.

Refuses to grow beyond `MAX_RIDING`: the oldest are dropped, as settling tells them too.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from gateway.admission.ask import Settlement

# Of one subject with one ask: 16 take Redis about as long as the ask itself.
MAX_PER_ASK: Final = 16
# Some 20 MB. Only a process that ships nothing for long gets here.
MAX_RIDING: Final = 50_000


class Riders:
    """What waits, by subject; of one request the newest word."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, Settlement]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, rider: Settlement) -> None:
        """Let it wait for the subject's next ask."""
        waiting = self._waiting.get(rider.subject)
        if waiting is None:
            waiting = self._waiting[rider.subject] = {}
        if rider.request_id not in waiting:
            self._count += 1
        waiting[rider.request_id] = rider
        while self._count > MAX_RIDING:
            self._count -= len(self._waiting.pop(next(iter(self._waiting))))

    def take(self, subject: str) -> Sequence[Settlement]:
        """The first ones of this subject; the caller has them from now on."""
        waiting = self._waiting.pop(subject, None)
        if waiting is None:
            return ()
        found = tuple(islice(waiting.values(), MAX_PER_ASK))
        self._count -= len(found)
        if len(found) < len(waiting):
            for rider in found:
                del waiting[rider.request_id]
            self._waiting[subject] = waiting
        return found

    def take_some(self, most: int) -> list[Settlement]:
        """About `most` of those that wait longest, whole subjects at a time."""
        found: list[Settlement] = []
        while self._waiting and len(found) < most:
            found += self._waiting.pop(next(iter(self._waiting))).values()
        self._count -= len(found)
        return found

    def drop(self, rider: Settlement) -> None:
        """This one waits no more: Redis knows, or is told in another way."""
        waiting = self._waiting.get(rider.subject)
        if waiting is None or waiting.pop(rider.request_id, None) is None:
            return
        self._count -= 1
        if not waiting:
            del self._waiting[rider.subject]
