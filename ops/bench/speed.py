"""`make bench-speed`: the gateway, an empty aiohttp proxy, nginx, and nginx that admits.

1. Every kind of request at 32 and 256 connections, the sides in turn within each round, so that a
   drift of the machine meets all of them; figures are medians of the rounds, ratios of each round.
2. The knee with a service that takes 50 ms, by an open-loop load; then all sides at half of it.
3. One worker and two.

Writes ops/bench/speed.md. Loopback only, about five minutes. Exit code 1 when a bound is broken.
"""

import argparse
import asyncio
import os
import sys
from typing import Final

from ops.bench.speed_knee import Step, find_knee
from ops.bench.speed_sides import (
    OURS,
    Figures,
    Side,
    Sides,
    measure,
    sides,
    workers_cpu_s,
)
from ops.bench.speed_table import KINDS, Found, write
from ops.bench.stack import stack

_STEP_S: Final = 2.0
_HALF_S: Final = 3.0
_OPEN_CONNECTIONS: Final = 512


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _turned(present: list[Side], by: int) -> list[Side]:
    """Nobody is always first."""
    by %= len(present)
    return present[by:] + present[:by]


async def _kinds(at: Sides, found: Found, rounds: int) -> None:
    present = [side for side in at.all if not side.missing]
    for side in (*present, at.two):
        for warm in ("small", "large", "events"):
            await measure(at.stack, side, kind=warm, size=1_000, connections=32, seconds=0.3)
    for number in range(rounds):
        for kind in KINDS:
            for side in _turned(present, number):
                figures = await measure(
                    at.stack,
                    side,
                    kind=kind.kind,
                    size=kind.size,
                    connections=kind.connections,
                    seconds=kind.seconds,
                )
                found.rounds.setdefault((kind, side.name), []).append(figures)
            _say(f"round {number + 1} of {rounds}: {kind.name}, {kind.connections} connections")


async def _knee(at: Sides, found: Found) -> None:
    ours = at.named(OURS)

    async def attempt(per_s: float) -> Step:
        figures = await _open(at, ours, per_s, _STEP_S)
        _say(f"{per_s:.0f}/s: p99 {figures.p99_us} us, {figures.failures} failures")
        return Step(per_s, figures.per_s, figures.p99_us, figures.failures)

    found.knee_per_s, found.steps = await find_knee(attempt)


async def _open(at: Sides, side: Side, per_s: float, seconds: float) -> Figures:
    return await measure(
        at.stack, side, kind="slow", rate=per_s, seconds=seconds, connections=_OPEN_CONNECTIONS
    )


async def _half(at: Sides, found: Found, rounds: int) -> None:
    present = [side for side in at.all if not side.missing]
    for number in range(rounds):
        for side in _turned(present, number):
            figures = await _open(at, side, found.knee_per_s / 2, _HALF_S)
            found.half.setdefault(side.name, []).append(figures)
        _say(f"round {number + 1} of {rounds} at half the knee")


async def _workers(at: Sides, found: Found, rounds: int) -> None:
    """CPU of the gateway processes alone, without parent and worker: who is full first."""
    for _ in range(rounds):
        for side, pids in ((at.named(OURS), at.named(OURS).pids[:1]), (at.two, at.two.pids)):
            before = workers_cpu_s(pids[0])
            figures = await measure(at.stack, side, kind="small", connections=256, seconds=2.0)
            used = [now - before.get(pid, 0) for pid, now in workers_cpu_s(pids[0]).items()]
            each = [seconds / max(1, figures.requests) * 1e6 for seconds in used]
            if side is at.two:
                found.two_us.append(sum(each))
                found.busiest_us.append(max(each))
                found.two_per_s.append(figures.per_s)
            else:
                found.one_us.append(sum(each))
                found.one_per_s.append(figures.per_s)
                found.one_redis_us.append(figures.redis_us)
    _say("one worker and two")


async def run(rounds: int) -> int:
    """All of it; the number of bounds that are broken."""
    found, load_before = Found(), os.getloadavg()[0]
    async with stack() as standing, sides(standing) as at:
        found.missing = {side.name: side.missing for side in at.all if side.missing}
        await _kinds(at, found, rounds)
        await _knee(at, found)
        if found.knee_per_s:
            await _half(at, found, rounds)
        await _workers(at, found, rounds)
    text, broken = write(found, load_before)
    sys.stdout.write(text)
    return broken


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    return int(bool(asyncio.run(run(parser.parse_args().rounds))))


if __name__ == "__main__":
    sys.exit(main())
