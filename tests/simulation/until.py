"""Runs seeds until one breaks, and tells which as one line of JSON; for mutants."""

import json
import sys

from tests.simulation.redis_store import Talk
from tests.simulation.run import run_seed
from tests.simulation.seams import installed


def main() -> None:
    """Arguments: the socket of a Redis, the first seed, how many."""
    path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    talk, told = Talk(path), {"seed": None, "broken": "", "tried": count}
    with installed() as holder:
        for tried in range(count):
            found = run_seed(first + tried, talk, holder)
            if found.broken:
                told = {"seed": found.seed, "broken": found.broken, "tried": tried + 1}
                break
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
