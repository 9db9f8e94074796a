"""What is let go when the event loop is late: before admission, the least first, money never.

A timer of its own measures how late the loop comes to what is due. `Lateness` makes a level of it:
the second latest sample of the last second counts, so that one hiccup, however long, is none. Each
level sheds one rank of requests more; it falls again one step a second, and only at half of what
raised it. So a node that was at the worst is open to all again within six seconds.

Refuses to ask anybody: who is premium is what the last decision about a key said in this process.
A key that it has not seen counts as any key, one that has lost its tier as premium until then.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Final

from gateway.units import MS_PER_S

# How late the loop must be for each level. At the first, requests wait for half of it on average.
LEVELS_MS: Final = (100, 200, 400, 1_000)
_EVERY_S: Final = 0.05
_WINDOW_S: Final = 1.0
# A level is left at half of what it was entered at, and not before this.
_STEP_S: Final = 1.0
_SMALL_S: Final = LEVELS_MS[0] / MS_PER_S / 2
_MOST_KNOWN: Final = 50_000
PREMIUM: Final = "premium"


class Rank(IntEnum):
    """The order in which requests are shed: a rank is, once the level is above it."""

    FREE = 0  # no key, and what nobody pays for: segments, lists, prices
    NO_KEY = 1
    KEY = 2
    PREMIUM = 3


class Lateness:
    """From samples to a level; all moments are of one monotone clock."""

    def __init__(self) -> None:
        self.level = 0
        self._late: deque[tuple[float, float]] = deque()
        self._last_s = 0.0
        self._since_s = 0.0

    def sample(self, now_s: float, late_s: float) -> int:
        """One more measurement, taken now; the level from here on."""
        late, before_s = self._late, self._last_s
        self._last_s = late_s
        while late and now_s - late[0][0] > _WINDOW_S:
            late.popleft()
        if late_s >= _SMALL_S:
            late.append((now_s, late_s))
        elif not late and not self.level:
            return 0
        # Two in a row count however far they are apart: a loop so late has no second one in time.
        second_s = max(min(before_s, late_s), _second(late))
        enter = _level(second_s)
        if enter > self.level:
            self.level, self._since_s = enter, now_s
        elif _level(second_s * 2) >= self.level:
            self._since_s = now_s
        elif now_s - self._since_s >= _STEP_S:
            self.level, self._since_s = self.level - 1, now_s
        return self.level


def _second(late: deque[tuple[float, float]]) -> float:
    if len(late) < 2:
        return 0.0
    first = second = 0.0
    for _, each in late:
        if each > first:
            first, second = each, first
        elif each > second:
            second = each
    return second


def _level(late_s: float) -> int:
    return sum(late_s * MS_PER_S >= each for each in LEVELS_MS)


class Overload:
    """`level` is 0 while all is well; see the module. Measures only within `run`."""

    def __init__(self) -> None:
        self.level = 0
        self._lateness = Lateness()
        self._premiums: dict[str, None] = {}
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def sheds(self, rank: Rank) -> bool:
        """Whether a request of this rank is let go now."""
        return self.level > rank

    @property
    def retry_after_ms(self) -> int:
        """When whoever is let go may ask again."""
        return max(1, self.level) * MS_PER_S

    def is_premium(self, subject: str) -> bool:
        """What the last decision about it has said."""
        return subject in self._premiums

    def decided(self, subject: str, tier: str) -> None:
        """The gate has told the tier of a subject."""
        if tier != PREMIUM:
            self._premiums.pop(subject, None)
        elif subject not in self._premiums:
            if len(self._premiums) >= _MOST_KNOWN:
                del self._premiums[next(iter(self._premiums))]
            self._premiums[subject] = None

    def trouble(self) -> str:
        """Why requests are shed, for an operator; empty when none is."""
        if not self.level:
            return ""
        ranks = ", ".join(rank.name.lower() for rank in Rank if self.level > rank)
        return f"the event loop is late; shed: {ranks}"

    async def run(self) -> AsyncIterator[None]:
        """Measure while the application lives; for the composition root."""
        self._arm()
        yield
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._due_s = time.monotonic() + _EVERY_S
        self._timer = asyncio.get_running_loop().call_later(_EVERY_S, self._tick)

    def _tick(self) -> None:
        now_s = time.monotonic()
        self.level = self._lateness.sample(now_s, max(0.0, now_s - self._due_s))
        self._arm()
