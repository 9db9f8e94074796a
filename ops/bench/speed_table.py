"""What `make bench-speed` found, as the text of ops/bench/speed.md, with a verdict per bound.

Refuses to call a figure good that was not measured here: what the machine cannot show is said.
"""

import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from ops.bench.speed_knee import BOUND_US, Step
from ops.bench.speed_sides import DIRECT, EMPTY, OURS, Figures
from ops.bench.stack import HERE

MOST_CPU: Final = 0.85
MOST_ADDED_MS: Final = 5.0
LEAST_WORKERS: Final = 1.8
# Two workers, the load generator, the service, Redis and PostgreSQL, each with a core of its own.
ENOUGH_CORES: Final = 6
_HEAD: Final = """# Measured by `make bench-speed`

{date}, {cores} cores, Python {python}, load average {load:.1f} before and {after:.1f} after.
One run, {rounds} rounds, all sides in turn within each round; medians, and ratios per round.
Everything (load generator, service, gateways, Redis, PostgreSQL) shares these cores, so requests/s
are of the whole machine: CPU per request is what compares.

What is compared, one process each, before the same stub service:
- **sluice**: `serve` with one worker, its parent, and `sluice worker`. Key, limits, hold, admission
  in Redis, signed forward, spool with fsync before the last byte, ledger behind it, metrics.
- **empty aiohttp proxy** (the 1.00 x): baseline_proxy.py, streams, does nothing else.
- **nginx**: Debian's, a plain reverse proxy with kept connections, no access log.
- **nginx + Lua + Redis**: the same scripts by EVALSHA on the same Redis with the same limits,
  holds, riders and releases (speed_admission.lua). It knows one key by its text, signs nothing,
  reads no usage out of a stream, **writes no ledger and keeps nothing that survives its end**.
- **no gateway**: the load generator straight at the service.

CPU is user + system of all processes on the gateway's side, from /proc. Redis and PostgreSQL are
listed beside it. "stream of 40 events": one event every 20 ms, 0.78 s at the least.
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request."""

    name: str
    kind: str
    size: int
    connections: int
    seconds: float


KINDS: Final = tuple(
    Kind(name, kind, size, connections, seconds)
    for name, kind, size, seconds in (
        ("1 KB", "small", 1_000, 1.5),
        ("1 MB", "large", 1_000_000, 1.5),
        ("stream of 40 events", "events", 1_000, 1.6),
    )
    for connections in (32, 256)
)


@dataclass
class Found:
    """Everything that was measured; of each side one entry per round."""

    rounds: dict[tuple[Kind, str], list[Figures]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    knee_per_s: float = 0.0
    half: dict[str, list[Figures]] = field(default_factory=dict)
    one_us: list[float] = field(default_factory=list)
    two_us: list[float] = field(default_factory=list)
    busiest_us: list[float] = field(default_factory=list)
    one_per_s: list[float] = field(default_factory=list)
    two_per_s: list[float] = field(default_factory=list)
    one_redis_us: list[float] = field(default_factory=list)


def middle(values: list[float]) -> float:
    """The median, 0 of nothing."""
    return statistics.median(values) if values else 0.0


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound of the task and what was found; `held` None: not shown here."""

    what: str
    asked: str
    found: str
    held: bool | None

    @property
    def row(self) -> str:
        """The row of the table."""
        verdict = {True: "ok", False: "BROKEN", None: "not shown"}[self.held]
        return f"| {self.what} | {self.asked} | {self.found} | {verdict} |"


def ratios(ours: list[Figures], theirs: list[Figures]) -> list[float]:
    """CPU per request against another side's, round by round."""
    pairs = zip(ours, theirs, strict=True)
    return [our.cpu_us / their.cpu_us for our, their in pairs if their.cpu_us]


def _of(figures: list[Figures], what: Callable[[Figures], float]) -> float:
    return middle([what(each) for each in figures])


def _kind_rows(found: Found) -> list[str]:
    rows = [
        "| requests | connections | side | requests/s | CPU us | x empty | Redis us | PostgreSQL us"
        " | p50 ms | p99 ms | MB/s | failures |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        empty = found.rounds[kind, EMPTY]
        for (its, name), figures in found.rounds.items():
            if its != kind:
                continue
            ratio = "" if name == DIRECT else f"{middle(ratios(figures, empty)):.2f}"
            rows.append(
                f"| {kind.name} | {kind.connections} | {name} "
                f"| {_of(figures, lambda each: each.per_s):,.0f} "
                f"| {_of(figures, lambda each: each.cpu_us):,.0f} | {ratio} "
                f"| {_of(figures, lambda each: each.redis_us):,.0f} "
                f"| {_of(figures, lambda each: each.postgres_us):,.0f} "
                f"| {_of(figures, lambda each: each.p50_us) / 1e3:,.1f} "
                f"| {_of(figures, lambda each: each.p99_us) / 1e3:,.1f} "
                f"| {_of(figures, lambda each: each.mb_per_s):,.1f} "
                f"| {sum(each.failures for each in figures)} |"
            )
        rows += [
            f"| {kind.name} | {kind.connections} | {name} | {why} |  |  |  |  |  |  |  |  |"
            for name, why in found.missing.items()
        ]
    return rows


def added_ms(found: Found, name: str) -> float:
    """The p99 that a side adds to calls of the service without it, at half the knee."""
    direct = _of(found.half[DIRECT], lambda each: each.p99_us)
    return (_of(found.half[name], lambda each: each.p99_us) - direct) / 1e3


def _knee_text(found: Found) -> list[str]:
    steps = ", ".join(_step(step) for step in found.steps)
    lines = [
        "",
        "## The knee, and what is added at half of it",
        "",
        "The service takes 50 ms. Open loop: requests are due at fixed times, and latency counts",
        "from when one was due (corrected for coordinated omission). The knee is the highest rate",
        f"with p99 <= {BOUND_US // 1_000} ms, no failure and all of it answered.",
        "",
        f"Knee of sluice with one worker: **{found.knee_per_s:,.0f} requests/s**. Steps: {steps}.",
        "",
    ]
    if not found.half:
        return lines
    rate = found.knee_per_s / 2
    lines += [
        f"At {rate:,.0f} requests/s:",
        "",
        "| side | p50 ms | p99 ms | p99 added ms | CPU us | failures |",
        "|---|---|---|---|---|---|",
    ]
    for name, figures in found.half.items():
        lines.append(
            f"| {name} | {_of(figures, lambda each: each.p50_us) / 1e3:.1f} "
            f"| {_of(figures, lambda each: each.p99_us) / 1e3:.1f} | {added_ms(found, name):.1f} "
            f"| {_of(figures, lambda each: each.cpu_us):.0f} "
            f"| {sum(each.failures for each in figures)} |"
        )
    return lines


def _step(step: Step) -> str:
    verdict = "good" if step.good else "not"
    return f"{step.offered_per_s:,.0f} {verdict} (p99 {step.p99_us / 1e3:.0f} ms)"


def _workers_text(found: Found) -> list[str]:
    one, two, busiest = middle(found.one_us), middle(found.two_us), middle(found.busiest_us)
    redis_us = middle(found.one_redis_us)
    return [
        "",
        "## One worker and two",
        "",
        "1 KB, 256 connections; CPU of the gateway processes alone. A worker is full when it uses",
        "one core: so many requests/s as its CPU per request fits into a second. Of two, the one",
        "that the kernel (SO_REUSEPORT) gave more connections is full first.",
        "",
        "| | CPU us per request | of that the busiest worker | requests/s, as measured here |",
        "|---|---|---|---|",
        f"| one worker | {one:.0f} | {one:.0f} | {middle(found.one_per_s):,.0f} |",
        f"| two workers | {two:.0f} | {busiest:.0f} | {middle(found.two_per_s):,.0f} |",
        "",
        f"By CPU two workers carry **{one / busiest if busiest else 0:.2f} x** of one. Redis uses",
        f"{redis_us:.0f} us of its one core per request: it is full at about",
        f"{1e6 / redis_us if redis_us else 0:,.0f} requests/s, whatever the number of workers.",
        "Not shown here: what the workers take from each other's caches and memory, and the",
        "kernel's own work in interrupts, once each has a core of its own.",
    ]


def bounds(found: Found, cores: int) -> list[Bound]:
    """What was asked, and whether it holds."""
    kind = KINDS[0]
    cpu = ratios(found.rounds[kind, OURS], found.rounds[kind, EMPTY])
    failed = sum(
        each.failures for (_, name), runs in found.rounds.items() if name == OURS for each in runs
    )
    one, busiest = middle(found.one_us), middle(found.busiest_us)
    enough = cores >= ENOUGH_CORES
    times = one / busiest if busiest else 0.0
    if enough:
        times = middle(found.two_per_s) / max(1e-6, middle(found.one_per_s))
    by = "requests/s" if enough else f"CPU of the busiest worker; {cores} cores for everything"
    added = added_ms(found, OURS) if found.half else None
    return [
        Bound(
            "CPU per request, 1 KB, 32 connections",
            f"<= {MOST_CPU} x the empty proxy",
            f"{middle(cpu):.2f} x ({min(cpu):.2f} to {max(cpu):.2f})",
            middle(cpu) <= MOST_CPU,
        ),
        Bound(
            "p99 added to a 50 ms service at half the knee",
            f"<= {MOST_ADDED_MS:.0f} ms",
            "no knee was found" if added is None else f"{added:.1f} ms",
            added is not None and added <= MOST_ADDED_MS,
        ),
        Bound(
            "two workers",
            f">= {LEAST_WORKERS} x one",
            f"{times:.2f} x (by {by})",
            times >= LEAST_WORKERS if enough or times < LEAST_WORKERS else None,
        ),
        Bound("failures of sluice", "0", str(failed), failed == 0),
    ]


def write(found: Found, load_before: float) -> tuple[str, int]:
    """Write speed.md; its text, and how many bounds are broken."""
    cores = os.cpu_count() or 1
    head = _HEAD.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=cores,
        python=platform.python_version(),
        load=load_before,
        after=os.getloadavg()[0],
        rounds=len(found.one_us),
    )
    asked = bounds(found, cores)
    lines = ["| what | asked | found | |", "|---|---|---|---|", *(each.row for each in asked), ""]
    lines += _kind_rows(found) + _knee_text(found) + _workers_text(found)
    text = head + "\n" + "\n".join(lines) + "\n"
    (HERE / "speed.md").write_text(text, encoding="utf-8")
    return text, sum(each.held is False for each in asked)
