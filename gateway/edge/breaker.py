"""When a service is left alone for a while: the rule, without a clock of its own.

What counts as its failure: no connection, no answer in time, an answer that is none or breaks off,
5xx. What does not: 4xx (its clients' mistakes, a reader's page that is away), a 503 with
Retry-After (a living service that is full; resting would waste what it can do), a client that
leaves or is too slow.

Refuses to let one client close a service to all: answers of 5xx and silences, which a request can
provoke, count only from several subjects and only where they are half of all answers. Connections
that cannot be made are nobody's doing: a few in a row are enough.
"""

from enum import IntEnum
from typing import Final

from gateway.units import MS_PER_S

# Connections in a row that could not be made, and other failures within the window.
_UNREACHED: Final = 5
_FAILED: Final = 10
# Two halves: what is counted is between one and two of these old.
HALF_WINDOW_S: Final = 5.0
# Well below the 10 s in which a service that is back must be in use again.
_FIRST_PAUSE_S: Final = 0.5
_MOST_PAUSE_S: Final = 4.0


class State(IntEnum):
    """Closed: asked as usual. Trying: the next request is a trial. Open: left alone."""

    CLOSED = 0
    TRYING = 1
    OPEN = 2


class Breaker:
    """Of one service in one process. All moments are of one monotone clock, in seconds."""

    __slots__ = (
        "_bad",
        "_bad_before",
        "_good_before",
        "_pause_s",
        "_retry_s",
        "_subjects",
        "_turned_s",
        "_unreached",
        "good",
        "is_open",
    )

    def __init__(self) -> None:
        self.is_open = False
        self.good = 0
        self._good_before = 0
        self._bad = 0
        self._bad_before = 0
        self._unreached = 0
        self._turned_s = 0.0
        self._subjects: set[str] = set()
        self._pause_s = _FIRST_PAUSE_S
        self._retry_s = 0.0

    def state(self, now_s: float) -> State:
        """For who tells it."""
        if not self.is_open:
            return State.CLOSED
        return State.OPEN if now_s < self._retry_s else State.TRYING

    def wait_ms(self, now_s: float) -> int:
        """0: ask it. Else how long until it is tried again, at least 1.

        While open, 0 is said once per pause: to the request that tries. Whether that one fails or
        leaves: the next may try a pause later. `untried` tells that it was not even let in.
        """
        if not self.is_open:
            return 0
        left_s = self._retry_s - now_s
        if left_s > 0:
            return int(left_s * MS_PER_S) + 1
        # Grown here and not at each failure: those of requests that were under way say nothing.
        self._pause_s = min(self._pause_s * 2, _MOST_PAUSE_S)
        self._retry_s = now_s + self._pause_s
        return 0

    def untried(self, now_s: float) -> None:
        """Who was to try it was not let in: the next one may, at once."""
        if self.is_open:
            self._pause_s = max(self._pause_s / 2, _FIRST_PAUSE_S)
            self._retry_s = min(self._retry_s, now_s)

    def succeeded(self) -> None:
        """It has answered; whatever was, it is asked as usual from here on."""
        self.good += 1
        self._unreached = 0
        if self.is_open:
            self._close()

    def unreached(self, now_s: float) -> None:
        """A connection could not be made."""
        self._unreached += 1
        if self._unreached >= _UNREACHED:
            self._open(now_s)

    def failed(self, now_s: float, subject: str) -> None:
        """It did not answer, or not as it should, when this subject asked."""
        self._bad += 1
        if len(self._subjects) < 2:
            self._subjects.add(subject)
        bad = self._bad + self._bad_before
        often = bad >= _FAILED and bad >= self.good + self._good_before
        if often and len(self._subjects) > 1:
            self._open(now_s)

    def turn(self, now_s: float) -> None:
        """Called now and then: forgets what is old."""
        if now_s - self._turned_s < HALF_WINDOW_S:
            return
        self._turned_s = now_s
        if not self._bad:
            self._subjects.clear()
        self._good_before, self.good = self.good, 0
        self._bad_before, self._bad = self._bad, 0

    def _open(self, now_s: float) -> None:
        if self.is_open:
            return
        self.is_open = True
        self._pause_s = _FIRST_PAUSE_S
        self._retry_s = now_s + self._pause_s

    def _close(self) -> None:
        self.is_open = False
        self.good = self._good_before = self._bad = self._bad_before = 0
        self._subjects.clear()
