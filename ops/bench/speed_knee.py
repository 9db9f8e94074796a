"""The knee: the highest offered rate at which an open-loop load is still answered in time.

A rate is good when nothing failed, the 99th of a hundred latencies is within the bound, and as much
was answered as was offered. Refuses to go on for ever: doubling, then halving between, some steps.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

# p99 of a service that takes 50 ms.
BOUND_US: Final = 100_000
LEAST_ANSWERED: Final = 0.95
FIRST_PER_S: Final = 250.0
MOST_PER_S: Final = 64_000.0
_HALVINGS: Final = 3


@dataclass(frozen=True, slots=True)
class Step:
    """What one offered rate gave."""

    offered_per_s: float
    answered_per_s: float
    p99_us: int
    failures: int

    @property
    def good(self) -> bool:
        """Whether it was still answered in time."""
        kept_up = self.answered_per_s >= LEAST_ANSWERED * self.offered_per_s
        return kept_up and not self.failures and self.p99_us <= BOUND_US


async def find_knee(
    attempt: Callable[[float], Awaitable[Step]], first_per_s: float = FIRST_PER_S
) -> tuple[float, list[Step]]:
    """The highest rate that was good (0: not even the first), and all steps in their order.

    A rate that fails is tried once more: one stall of the machine is no knee.
    """
    steps: list[Step] = []

    async def good(per_s: float) -> bool:
        for _ in range(2):
            steps.append(await attempt(per_s))
            if steps[-1].good:
                return True
        return False

    low, high = 0.0, first_per_s
    while high <= MOST_PER_S and await good(high):
        low, high = high, high * 2
    if not low:
        return 0.0, steps
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if await good(middle):
            low = middle
        else:
            high = middle
    return low, steps
