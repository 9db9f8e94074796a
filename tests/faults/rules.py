"""What a fault proxy does to the bytes of one way, and trips that spring at certain bytes.

Refuses to know sockets.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Way(Enum):
    """Which way bytes go."""

    UP = "to the server"
    DOWN = "to the client"


@dataclass(frozen=True, eq=False)
class Cut:
    """End a connection after it has let this many more bytes pass; each counts for itself."""

    after_bytes: int
    reset: bool = True


@dataclass
class Rules:
    """What happens to the bytes of one way; fresh ones change nothing."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    stopped: bool = False
    swallowed: bool = False
    cut: Cut | None = None
    change: Callable[[bytes], bytes] | None = None

    @property
    def is_plain(self) -> bool:
        return self == Rules()


class Breakable(Protocol):
    """A connection, as far as a trip may break it."""

    def close(self, *, reset: bool) -> None:
        """End it."""


class Waiting(Protocol):
    """One way of a connection, as far as a trip may stop it."""

    held: bool

    @property
    def line(self) -> Breakable:
        """The connection."""

    def go(self) -> None:
        """Let pass whatever may."""


class Trip:
    """Springs when `text` comes by for the `nth` time on one way, counted over all connections.

    `then` is called with the line before the text passes, which is then under the rules that it
    has left behind. `hold`: the text and what is behind it on this line wait for `release`.
    `hits` counts until it has `sprung`.
    """

    def __init__(
        self,
        way: Way,
        text: bytes,
        *,
        nth: int = 1,
        then: Callable[["Breakable"], None] | None = None,
        hold: bool = False,
    ) -> None:
        assert text, "nothing comes by all the time"
        self.way = way
        self.text = text
        self.nth = nth
        self.then = then
        self.hits = 0
        self.sprung = asyncio.Event()
        self.holds = hold
        self._held: list[Waiting] = []

    def counts_down(self) -> bool:
        """Count one sighting; whether it is the one."""
        self.hits += 1
        if self.hits == self.nth:
            self.sprung.set()
        return self.hits == self.nth

    def spring(self, lane: Waiting) -> None:
        """Act; the lane waits from now on if it has to."""
        if self.holds:
            lane.held = True
            self._held.append(lane)
        if self.then is not None:
            self.then(lane.line)

    def release(self) -> None:
        """Let pass what is held; holds nothing more."""
        self.holds = False
        held, self._held = self._held, []
        for lane in held:
            lane.held = False
            lane.go()


def next_sighting(
    trips: Sequence[Trip], way: Way, seen: bytes, start: int, known: int
) -> tuple[int, Trip] | None:
    """The next place from `start` on where a trip's text ends behind the `known` bytes."""
    best: tuple[int, Trip] | None = None
    for trip in trips:
        if trip.way is not way or trip.sprung.is_set():
            continue
        at = seen.find(trip.text, max(start, known - len(trip.text) + 1, 0))
        if at >= 0 and (best is None or at < best[0]):
            best = at, trip
    return best
