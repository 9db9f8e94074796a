"""The seeds that every build runs, in parts: pytest spreads files over processes."""

import os

from tests.simulation.redis_store import Talk
from tests.simulation.run import Run, run_seed
from tests.simulation.seams import Holder

SEEDS = 1_000
PARTS = 4


def run_part(part: int, talk: Talk, holder: Holder) -> None:
    """A quarter of the seeds; the first that breaks is told with its trace."""
    for seed in of_part(part):
        found = run_seed(seed, talk, holder)
        assert not found.broken, found.told()


def of_part(part: int) -> list[int]:
    """SIMULATION_SEED alone where it is set."""
    one = os.environ.get("SIMULATION_SEED")
    return [int(one)] if one else list(range(part, SEEDS, PARTS))


__all__ = ["Run", "of_part", "run_part"]
