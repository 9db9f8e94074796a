"""How many gateway processes share each limit, and whether PostgreSQL is there to say so.

1. Once a second the living instances of all nodes are counted, by their beats in PostgreSQL.
2. The count that holds is the largest of the last 60 s, and at least the processes of this machine:
   a share is given to others only when what was let through on it has left every window. After a
   silence of PostgreSQL the one before it holds as long again: not all may have beaten yet.
3. PostgreSQL is away when it failed twice in a row, or when anybody in this process knows that it
   is; until it was there once, it is not there.

Refuses to guess a lower number while PostgreSQL is away: what was known last holds.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.errors import PostgresUnavailable
from gateway.units import WINDOW_S

# Instances beat each second; one whose posting takes its longest is still alive.
ALIVE_S: Final = 15
FAILURES: Final = 2


class Roll:
    """`count` asks PostgreSQL for the instances that beat in the last so many seconds.

    `away`: why it is known to be away, "" while it is not.
    """

    def __init__(
        self,
        count: Callable[[int], Awaitable[int]],
        workers: int,
        clock_s: Callable[[], float],
        away: Callable[[], str] = lambda: "",
    ) -> None:
        self._away = away
        self._count = count
        self._workers = max(1, workers)
        self._clock_s = clock_s
        self._counts: deque[tuple[float, int]] = deque()
        self._failures = FAILURES
        self.seen_s = self._counted_s = float("-inf")
        self._was_silent = False

    @property
    def parts(self) -> int:
        """Among how many processes every limit and balance is divided."""
        return max(self._workers, max((count for _, count in self._counts), default=1))

    @property
    def is_there(self) -> bool:
        """Whether PostgreSQL answers."""
        return self._failures < FAILURES and not self._away()

    def seen(self) -> None:
        """PostgreSQL answered just now."""
        self._failures = 0
        self.seen_s = self._clock_s()

    def missed(self) -> None:
        """PostgreSQL did not answer."""
        self._failures = min(FAILURES, self._failures + 1)

    async def run_once(self) -> int:
        """Count; raises PostgresUnavailable. Always 0: once a second is enough."""
        try:
            count = await self._count(ALIVE_S)
        except PostgresUnavailable:
            self.missed()
            self._was_silent = True
            raise
        if self._was_silent and self._clock_s() - self._counted_s > ALIVE_S:
            count = max(count, self.parts)
        self.seen()
        self._counted_s, self._was_silent = self.seen_s, False
        # Equal or lower ones before a higher one never hold again.
        while self._counts and self._counts[-1][1] <= count:
            self._counts.pop()
        self._counts.append((self.seen_s, count))
        while self._counts[0][0] < self.seen_s - WINDOW_S:
            self._counts.popleft()
        return 0
