"""`make mutants`: every flip, in several processes, and the table of what noticed it."""

import asyncio
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.embedded.redis_server import RedisServer
from tests.simulation.mutants import FLIPS, MAY_SURVIVE, TABLE, Flip, Found, notice
from tests.simulation.seeds import SEEDS


def main() -> int:
    """Exit code 1 when more flips than may survive did."""
    found = []
    with ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        for each in pool.map(_alone, FLIPS):
            found.append(each)
            sys.stdout.write(_line(each) + "\n")
            sys.stdout.flush()
    survived = [each.flip.name for each in found if each.seed is None]
    TABLE.write_text(_table(found), encoding="utf-8")
    sys.stdout.write(f"{len(found) - len(survived)} of {len(found)} flips are noticed\n")
    return 1 if len(survived) > MAY_SURVIVE else 0


def _alone(flip: Flip) -> Found:
    """With a Redis of its own: each run empties it."""
    with tempfile.TemporaryDirectory(prefix="sluice-mut-") as folder:
        server = RedisServer(Path(folder))
        asyncio.run(server.start())
        try:
            return notice(flip, str(server.socket))
        finally:
            asyncio.run(server.stop())


def _line(found: Found) -> str:
    by = "nothing" if found.seed is None else found.broken.partition(":")[0]
    seed = "-" if found.seed is None else found.seed
    return f"| {found.flip.name} | {found.flip.file} | {seed} | {by} | {found.tried} |"


def _table(found: list[Found]) -> str:
    noticed = sum(each.seed is not None for each in found)
    head = (
        "# Flips that the seeds notice\n\n"
        f"`make mutants` changes one place of the product at a time and runs the {SEEDS} seeds of"
        f" every build until one breaks.\n{noticed} of {len(found)} were noticed;"
        f" at most {MAY_SURVIVE} may not be.\n\n"
        "| flip | file | seed | invariant that breaks | seeds until then |\n"
        "|---|---|---|---|---|\n"
    )
    return head + "\n".join(_line(each) for each in found) + "\n"


if __name__ == "__main__":
    sys.exit(main())
