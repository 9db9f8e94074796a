"""The fault matrix as a command: all cells or some, a table, and ops/bench/faults.md.

    python -m tests.faults.run                 all 96, written to ops/bench/faults.md
    python -m tests.faults.run --only redis    those whose name has this in it, only shown
    python -m tests.faults.run --quarter 2     the cells that the suite takes with FAULTS_QUARTER=2

Exit code 0 iff nothing is wrong. A house is used for one cell after another, until one goes wrong.
"""

import argparse
import asyncio
import os
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from gateway.commands.terminal import say
from gateway.errors import Fault
from tests.faults.cell import run_cell
from tests.faults.crowd import Cell
from tests.faults.house import FaultHouse, open_house
from tests.faults.matrix import every_cell, quarter_of
from tests.faults.reckoning import Reckoned, reckon

REPORT = Path(__file__).resolve().parents[2] / "ops" / "bench" / "faults.md"
_CELL_S = 180.0
# Of one cell: what went wrong once mostly did so for many.
_SHOWN = 5
_HEAD = (
    "| cell | requests | 200 | failed | 429 | charged | given back | healed s | at rest s | s |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
# The column "healed s" between the bars.
_HEALED_AT = 8


async def one(house: FaultHouse, cell: Cell) -> Reckoned:
    """A cell and its reckoning."""
    async with asyncio.timeout(_CELL_S):
        run = await run_cell(house, cell)
        return await reckon(house, run)


async def _all(cells: list[Cell]) -> tuple[list[str], list[str]]:
    lines, wrong = [], []
    async with AsyncExitStack() as stack:
        house: FaultHouse | None = None
        for cell in cells:
            if house is None:
                house = await stack.enter_async_context(open_house())
            begun_s = time.monotonic()
            try:
                found = await one(house, cell)
                mistakes = list(found.wrong)
                row = _row(cell, found, time.monotonic() - begun_s)
            except (AssertionError, OSError, TimeoutError, Fault) as error:
                mistakes = [f"{type(error).__name__}: {error}"]
                row = f"| {cell.name} | - | - | - | - | - | - | - | - | - |"
            say(row)
            lines.append(row)
            for mistake in mistakes[:_SHOWN]:
                say(f"    WRONG: {mistake[:2_000]}")
                wrong.append(f"{cell.name}: {mistake[:300]}")
            if mistakes:
                (Path("/tmp") / f"faults-{len(lines)}.log").write_text(house.logs())
                await stack.aclose()
                house = None
    return lines, wrong


def _row(cell: Cell, found: Reckoned, took_s: float) -> str:
    numbers = (
        found.requests,
        found.answered,
        found.failed,
        found.refused,
        found.charged,
        found.given_back,
        f"{found.healed_s:.2f}",
        f"{found.rest_s:.2f}",
        f"{took_s:.1f}",
    )
    return f"| {cell.name} | " + " | ".join(str(number) for number in numbers) + " |"


def _longest(lines: list[str]) -> str:
    """Which cell took longest until it had healed, of those that ended."""
    cells = [[part.strip() for part in line.split("|")] for line in lines]
    healed = [(float(cell[_HEALED_AT]), cell[1]) for cell in cells if cell[_HEALED_AT] != "-"]
    seconds, name = max(healed, default=(0.0, "none"))
    return f"Longest until healed: {seconds:.2f} s ({name}); asked are 10 s at most."


def _write(lines: list[str], wrong: list[str], took_s: float) -> None:
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    verdict = "Nothing is wrong." if not wrong else f"WRONG in {len(wrong)} places:"
    mistakes = "".join(f"- {each}\n" for each in wrong)
    REPORT.write_text(
        "# The fault matrix\n\n"
        f"`make faults`, {when}: {len(lines)} cells in {took_s / 60:.1f} minutes, "
        f"load average {os.getloadavg()[2]:.0f} on {os.cpu_count()} cores. {verdict}\n"
        f"{mistakes}\n"
        "Two gateways, a worker, Redis, PostgreSQL and a stand-in for Stripe, each process behind\n"
        "proxies of its own; the fault comes when a request is exactly at the point that the cell\n"
        "names (tests/faults/points.py). Failed: answered by 5xx or broken. Given back: what was\n"
        "decided and not marked as delivered when its gateway died. Healed: from the end of the\n"
        "fault until a request of each kind was answered again through each gateway (a killed\n"
        "gateway's start is in it). At rest: from the last answer until no hold was left, all was\n"
        "in the ledger and its proof found nothing.\n\n"
        f"{_longest(lines)}\n\n"
        f"{_HEAD}\n" + "\n".join(lines) + "\n",
        encoding="utf-8",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cells whose name has this in it")
    parser.add_argument("--quarter", type=int, help="of the suite, 0 to 3")
    words = parser.parse_args()
    cells = every_cell() if words.quarter is None else quarter_of(words.quarter)
    cells = [cell for cell in cells if words.only.lower() in cell.name.lower()]
    say(_HEAD)
    begun_s = time.monotonic()
    lines, wrong = asyncio.run(_all(cells))
    took_s = time.monotonic() - begun_s
    if len(cells) == len(every_cell()):
        _write(lines, wrong, took_s)
    say(f"{len(cells)} cells in {took_s:.0f} s, {len(wrong)} things wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
