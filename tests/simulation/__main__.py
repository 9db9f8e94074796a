"""`make simulate`: SEEDS runs from a first seed on, or SIMULATION_SEED alone with all its trace."""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from gateway.embedded.redis_server import RedisServer
from tests.simulation.redis_store import Talk
from tests.simulation.run import run_seed
from tests.simulation.seams import installed

_SHOWN = 20
_TOLD_EVERY = 500
# Some two hours of one core.
_MOST_SEEDS = 200_000


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Exit code 1 when a seed breaks."""
    one = os.environ.get("SIMULATION_SEED")
    first = int(one or os.environ.get("FIRST") or 0)
    count = 1 if one else min(int(os.environ.get("SEEDS") or 1_000), _MOST_SEEDS)
    with tempfile.TemporaryDirectory(prefix="sluice-sim-") as folder:
        server = RedisServer(Path(folder))
        asyncio.run(server.start())
        try:
            return _runs(str(server.socket), first, count, bool(one))
        finally:
            asyncio.run(server.stop())


def _runs(path: str, first: int, count: int, whole: bool) -> int:
    talk, began = Talk(path), time.process_time()
    broken: list[int] = []
    steps = decisions = 0
    virtual_s = 0.0
    with installed() as holder:
        for seed in range(first, first + count):
            found = run_seed(seed, talk, holder)
            if (seed - first) % _TOLD_EVERY == _TOLD_EVERY - 1:
                _say(f"... {seed - first + 1} seeds, {len(broken)} broken")
            steps += found.steps
            decisions += found.decisions
            virtual_s += found.virtual_s
            if found.broken:
                broken.append(seed)
                if whole or len(broken) <= _SHOWN:
                    text = found.told() if whole else f"seed {seed}: {found.broken[:300]}"
                    _say(text)
            elif whole:
                _say("\n".join(found.tail))
                _say(f"seed {seed} holds; trace {found.digest}")
    talk.close()
    spent = time.process_time() - began
    _say(
        f"{count} seeds, {len(broken)} broken {broken[:40]}; {decisions} decisions,"
        f" {steps} steps, {virtual_s / 3600:.1f} virtual hours in {spent:.1f} s of this process"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
