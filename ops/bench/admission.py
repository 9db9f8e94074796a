"""What one admission costs: CPU of the gateway, time of the script in Redis, memory per subject.

    PYTHONPATH=. .venv/bin/python ops/bench/admission.py

Refuses to measure HTTP; that is `make bench`.
"""

import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import uvloop

from gateway.admission.ask import Ask, Settlement
from gateway.admission.gate import Gate
from gateway.admission.scripts import requests_key, tag_of, tokens_key
from gateway.admission.window import Window
from gateway.embedded.redis_server import RedisServer
from gateway.ledger.rows import BalanceRow
from gateway.products.product import Limits
from gateway.redis_link import RedisLink
from gateway.units import WINDOW_US

ASKS, SUBJECTS, RUNS = 20_000, 500, 3
NO_TOKENS = Limits(10**8, None, 10**8)
TOKENS = Limits(10**8, 10**12, 10**8)
CASES = (
    ("key, RPM + TPM + balance, 32 in flight", "k", TOKENS, 32),
    ("key, RPM + balance, 32 in flight", "k", NO_TOKENS, 32),
    ("no key, RPM, 32 in flight", "a", NO_TOKENS, 32),
    ("key, RPM + TPM + balance, 1 in flight", "k", TOKENS, 1),
)


def asks_of(kind: str, limits: Limits) -> list[Ask]:
    names = [f"{kind}:{number}" for number in range(SUBJECTS)]
    tags = [tag_of(name) for name in names]
    hold, deadline_ms = (100 if kind == "k" else 0), time.time_ns() // 1_000_000 + 60_000
    return [
        Ask(names[n % SUBJECTS], tags[n % SUBJECTS], "embeddings", str(uuid.uuid4()), limits,
            limits, 50, hold, deadline_ms, "gw1", n, kind == "k")
        for n in range(ASKS)
    ]  # fmt: skip


async def in_scripts(link: RedisLink) -> tuple[int, int]:
    """Calls of scripts and the microseconds spent in them since the last reset."""
    told = await link.call(None, "INFO", "commandstats")
    assert isinstance(told, bytes)
    line = told.decode().partition("cmdstat_evalsha:")[2].splitlines()[0]
    words = dict(word.split("=") for word in line.split(","))
    return int(words["calls"]), int(words["usec"])


async def ask_all(gate: Gate, asks: Sequence[Ask]) -> None:
    for ask in asks:
        await gate.admit(ask)


async def run(link: RedisLink, gate: Gate, case: tuple[str, str, Limits, int]) -> list[float]:
    _, kind, limits, flying = case
    await link.call(None, "FLUSHALL")
    rows = [BalanceRow(n, 1, 10**15, 0, "active", "key", {}) for n in range(SUBJECTS)]
    await gate.settle((), rows)
    asks = asks_of(kind, limits)
    await link.call(None, "CONFIG", "RESETSTAT")
    trips, cpu_s = link.round_trips, time.process_time()
    await asyncio.gather(*(ask_all(gate, asks[n::flying]) for n in range(flying)))
    cpu_s, trips = time.process_time() - cpu_s, link.round_trips - trips
    calls, admit_us = await in_scripts(link)
    assert calls == ASKS
    await link.call(None, "CONFIG", "RESETSTAT")
    for start in range(0, ASKS, 500):
        told = [Settlement(a.subject, a.tag, a.product, a.request_id, 7)
                for a in asks[start : start + 500]]  # fmt: skip
        await gate.settle(told, rows)
    _, settle_us = await in_scripts(link)
    return [cpu_s / ASKS * 1e6, admit_us / ASKS, settle_us / ASKS, ASKS / trips]


async def memory_bytes(link: RedisLink, gate: Gate) -> tuple[int, int]:
    """Most bytes of both windows of a subject that never rests, and of one open hold."""
    asks, used = asks_of("a", TOKENS)[:SUBJECTS], 0
    await link.call(None, "FLUSHALL")
    one = asks[0]
    gate.clock_us = 1_800_000_000_000_000
    for number in range(600):
        ask = asks[number % SUBJECTS]
        await gate.admit(
            Ask(
                one.subject,
                one.tag,
                one.product,
                f"{ask.request_id}-{number}",
                TOKENS,
                TOKENS,
                20_000,
                0,
                ask.deadline_ms,
                "gw1",
                number,
                False,
            )
        )
        gate.clock_us += WINDOW_US // 240
        names = (requests_key, tokens_key)
        keys = [name(one.tag, one.subject, one.product) for name in names]
        sizes = [await link.call(None, "MEMORY", "USAGE", key) for key in keys]
        used = max(used, sum(int(str(size)) for size in sizes if size is not None))
    holds = await link.call(None, "MEMORY", "USAGE", f"{one.tag}h:{one.subject}", "SAMPLES", 0)
    return used, int(str(holds)) // 600


def lost_capacity() -> float:
    """The largest part of what an exact log admits that ours does not, over steady clients."""
    worst = 0.0
    for limit in (20, 500, 5_000):
        for over in (1.01, 1.5, 3, 10):
            gap_us = max(1, int(WINDOW_US / limit / over))
            window, ours, exact = Window(WINDOW_US // 240), 0, [-WINDOW_US]
            for now_us in range(0, 10 * WINDOW_US, gap_us):
                view = window.look(now_us)
                if window.wait_us(view, 1, limit) == 0:
                    window.record(view, 1)
                    ours += 1
                if len(exact) <= limit or exact[-limit] <= now_us - WINDOW_US:
                    exact.append(now_us)
            worst = max(worst, 1 - ours / (len(exact) - 1))
    return worst


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        server = RedisServer(Path(folder))
        await server.start()
        link = RedisLink(server.url)
        gate = Gate(link)
        await link.open()
        out = sys.stdout.write
        out(f"{'':40s} gateway us  admit us  settle us  asks per write\n")
        for case in CASES:
            runs = [await run(link, gate, case) for _ in range(RUNS)]
            cpu, admit, settle, batch = (min(column) for column in zip(*runs, strict=True))
            out(f"{case[0]:40s} {cpu:10.1f} {admit:9.1f} {settle:10.1f} {batch:15.1f}\n")
        windows, hold = await memory_bytes(link, gate)
        out(f"most bytes of both windows of a subject: {windows}; of an open hold: {hold}\n")
        out(f"capacity lost by sharing entries, at worst: {100 * lost_capacity():.2f} %\n")
        await link.close()
        await server.stop()


if __name__ == "__main__":
    uvloop.run(main())
