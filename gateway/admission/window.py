"""The coalescing log in Python: the twin of window.lua, entry for entry.

Refuses a clock of its own: every time is given, in microseconds.

Promise: never more than the limit in any half-open window of 60 s. Let k be the last request
admitted in (x, x + W]. Every earlier one in there is younger than W when k is examined, so its
entry is counted then, and k was admitted because the sum with k was within the limit.
"""

from collections import deque
from dataclasses import dataclass, field

from gateway.units import US_PER_MS, WINDOW_US


@dataclass(slots=True)
class Entry:
    """Admissions that share a place in the log; it dies WINDOW_US after `last_us`."""

    number: int
    last_us: int
    count: int


@dataclass(frozen=True, slots=True)
class View:
    """A window at one time: what has died is left out, nothing is changed.

    `now_us` never runs backwards; `clock_us` is the clock as it is, so waits are counted from it.
    """

    now_us: int
    clock_us: int
    offset_us: int
    total: int
    dead: int


@dataclass(slots=True)
class Window:
    """One log. `span_us` is W / N: admissions closer than that share an entry."""

    span_us: int
    entries: deque[Entry] = field(default_factory=deque)
    total: int = 0
    first_us: int = 0
    offset_us: int = 0

    def look(self, time_us: int) -> View:
        """The window at this time of the clock."""
        if not self.entries:
            return View(time_us, time_us, 0, 0, 0)
        last_us, offset_us = self.entries[-1].last_us, self.offset_us
        clock_us = now_us = time_us + offset_us
        if now_us < last_us:
            offset_us += last_us - now_us
            now_us = last_us
        if last_us <= now_us - WINDOW_US:
            return View(time_us, time_us, 0, 0, len(self.entries))
        total, dead = self.total, 0
        for entry in self.entries:
            if entry.last_us > now_us - WINDOW_US:
                break
            total -= entry.count
            dead += 1
        return View(now_us, clock_us, offset_us, total, dead)

    def wait_us(self, view: View, cost: int, limit: int) -> int:
        """Microseconds until `cost`, which is at most `limit`, fits if nothing else comes."""
        excess = view.total + cost - limit
        if excess <= 0:
            return 0
        last_us = view.now_us
        for place, entry in enumerate(self.entries):
            if place < view.dead:
                continue
            last_us = entry.last_us
            excess -= entry.count
            if excess <= 0:
                break
        return last_us + WINDOW_US - view.clock_us

    def reset_ms(self, view: View) -> int:
        """Milliseconds until the oldest living entry dies; 0 when there is none."""
        if view.dead == len(self.entries):
            return 0
        return ms_up(self.entries[view.dead].last_us + WINDOW_US - view.clock_us)

    def record(self, view: View, cost: int) -> int:
        """Count `cost` at the time of the view; the number of its entry."""
        now_us = view.now_us
        for _ in range(view.dead):
            self.entries.popleft()
        self.total, self.offset_us = view.total + cost, view.offset_us
        if self.entries and now_us - self.first_us < self.span_us:
            tail = self.entries[-1]
            tail.last_us = now_us
            tail.count += cost
            return tail.number
        number = self.entries[-1].number + 1 if self.entries else now_us // self.span_us
        self.entries.append(Entry(number, now_us, cost))
        self.first_us = now_us
        return number

    def amend(self, number: int, delta: int) -> None:
        """Add `delta` to an entry if it is still there; never below zero."""
        # Numbers in a log follow each other.
        place = number - self.entries[0].number if self.entries else -1
        if 0 <= place < len(self.entries):
            entry = self.entries[place]
            count = max(0, entry.count + delta)
            self.total += count - entry.count
            entry.count = count


def ms_up(us: int) -> int:
    """Whole milliseconds, rounded up: waiting that long is enough."""
    return -(-us // US_PER_MS)
