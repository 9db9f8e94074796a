"""`make soak`: mixed load at 70 % of the knee for half an hour, and then the reckoning.

    python -m ops.bench.soak --minutes 30 --rate 0

1. A house of its own: embedded servers, two gateway processes, a worker, services. The knee of the
   mix is found (unless a rate is given): the highest rate at which small answers still come within
   100 ms for 99 of 100 and nothing unexpected happens.
2. At 70 % of it for so many minutes, everything is looked at every few seconds.
3. Then no hold may be left, reconcile must find nothing, and the clients' journal must be what the
   ledger has. Memory and descriptors may not grow over the second half.

Writes ops/bench/soak.md; exit code 1 when a bound is broken. A run below 20 minutes is a trial:
it judges everything but the slopes.
"""

import argparse
import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import uvloop

from gateway.keys.format import RANDOM_BYTES, key_id_from_random, make_key
from gateway.keys.store import KeyStore
from gateway.ledger.book import Book
from gateway.postgres import Postgres
from gateway.sql import load_queries
from ops.bench.soak_clients import PATIENCE_S, Clients, Keys
from ops.bench.soak_reckoning import Found, reckon, write
from ops.bench.soak_watch import Watch
from ops.bench.speed_knee import Step, find_knee
from ops.bench.speed_load import percentile_us
from ops.bench.stack import (
    HERE,
    PLENTY,
    SECRET,
    Stack,
    descendants,
    different_ports,
    process,
    stack,
)

OF_KNEE: Final = 0.7
_FIRST_PER_S: Final = 25.0
_STEP_S: Final = 6.0
_RICH: Final = 20
_LIMITED_RPM: Final = 60
_SETTLE_S: Final = 2.0
_PRODUCTS: Final = (
    "embeddings",
    "rerank",
    "classify_zero_shot",
    "classify_few_shot",
    "segment",
    "search",
    "reader",
    "deepsearch",
)
_SERVICES: Final = (
    "reader",
    "search",
    "deepsearch",
    "embeddings",
    "rerank",
    "classifier",
    "segmenter",
)


@dataclass(frozen=True, slots=True)
class Household:
    """What stands, by name and process id."""

    stack: Stack
    port: int
    keys: Keys
    pids: dict[str, int]


@asynccontextmanager
async def household() -> AsyncIterator[Household]:
    """Servers, services, two gateway processes, a worker, and keys."""
    async with stack() as standing, AsyncExitStack() as running:
        service, failing, door, ops = running.enter_context(different_ports(4))
        start = running.enter_async_context
        program = str(HERE / "soak_service.py")
        for port in (service, failing):
            await start(process(program, str(port), environment=standing.environment, port=port))
        urls = {f"service_{name}_url": f"http://127.0.0.1:{service}" for name in _SERVICES}
        urls["service_classifier_url"] = f"http://127.0.0.1:{failing}"
        settings = standing.settings(
            port=door,
            ops_port=ops,
            workers=2,
            canary_every_ms=0,
            keys_per_address=1_000_000,
            trusted_proxies="127.0.0.1/32",
            **urls,
        )
        serve = await start(process("-m", "gateway", "serve", environment=settings, port=door))
        worker = await start(process("-m", "gateway", "worker", environment=settings))
        keys = await _keys(standing)
        pids = {f"gateway {n}": pid for n, pid in enumerate(sorted(descendants(serve)))}
        pids |= {"parent": serve, "worker": worker, "redis": standing.redis_pid}
        yield Household(standing, door, keys, pids)


async def _keys(standing: Stack) -> Keys:
    """Rich ones, one that may ask once a second, and one without a token."""
    postgres = Postgres(standing.database_url, command_deadline_ms=5_000)
    book = Book(postgres, load_queries())
    store = KeyStore(book, SECRET.encode(), "sluice_")

    async def mint(tokens: int, limits: dict[str, dict[str, int | None]]) -> str:
        text = make_key(os.urandom(RANDOM_BYTES), "sluice_")
        key_id = key_id_from_random(os.urandom(8))
        await book.mint(key_id, store.hash(text), text[-4:], None, tokens, 0)
        await book.set_limits(key_id, limits)
        return text

    wide: dict[str, int | None] = {"rpm": PLENTY, "tpm": PLENTY, "concurrency": PLENTY}
    try:
        rich = [await mint(PLENTY, dict.fromkeys(_PRODUCTS, wide)) for _ in range(_RICH)]
        limited = await mint(PLENTY, {"embeddings": {"rpm": _LIMITED_RPM}})
        return Keys(tuple(rich), limited, await mint(0, {}))
    finally:
        await postgres.close()


async def _load(clients: Clients, per_s: float, seconds: float) -> float:
    """Clients at fixed times; how late the last one was, in seconds."""
    began_s, late_s = time.perf_counter(), 0.0
    for number in range(int(per_s * seconds)):
        due_s = began_s + number / per_s
        ahead_s = due_s - time.perf_counter()
        if ahead_s > 0:
            await asyncio.sleep(ahead_s)
        late_s = time.perf_counter() - due_s
        clients.start(due_s)
    return late_s


async def _step(clients: Clients, per_s: float) -> Step:
    """One offered rate of the mix, judged by its small whole answers."""
    seen = clients.seen
    seen.latencies_s.clear()
    wrong, asked = seen.unexpected.total(), seen.asked["whole"]
    began_s = time.perf_counter()
    await _load(clients, per_s, _STEP_S)
    asked = seen.asked["whole"] - asked
    seconds = time.perf_counter() - began_s
    # What is still open (but the long streams) ends before another rate is tried.
    await asyncio.sleep(_SETTLE_S)
    times = sorted(seen.latencies_s)
    answered = len(times) / max(1, asked) * per_s * min(1.0, _STEP_S / seconds)
    p99_us = percentile_us(times, 99)
    _say(f"{per_s:.0f}/s: p99 {p99_us / 1e3:.0f} ms, {len(times)} of {asked} answered")
    return Step(per_s, answered, p99_us, seen.unexpected.total() - wrong)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


async def _watched(house: Household, clients: Clients, found: Found) -> None:
    """The load itself, looked at from its first moment on."""
    seconds = found.minutes * 60
    watch = Watch(
        house.pids,
        house.stack.folder / "spool",
        house.stack.database_url,
        house.stack.redis_url,
        every_s=min(5.0, seconds / 60),
    )
    watching = asyncio.create_task(watch.run())
    try:
        for part in range(max(1, round(found.minutes))):
            piece_s = seconds / max(1, round(found.minutes))
            found.late_s = max(found.late_s, await _load(clients, found.per_s, piece_s))
            _say(f"minute {part + 1}: {clients.seen.answered.total()} answered")
            if watching.done():
                watching.result()
    finally:
        watching.cancel()
        await asyncio.wait((watching,))
    found.trends, found.stores, found.ended = watch.trends(), watch.stores, watch.ended


async def run(minutes: float, rate: float, seed: int) -> int:
    """The whole run; how many bounds are broken."""
    found = Found(minutes=minutes, seed=seed, per_s=rate)
    async with household() as house:
        journal_path = house.stack.folder / "journal"
        with journal_path.open("w", encoding="ascii") as journal:
            clients = Clients(house.port, house.keys, journal, seed)
            if not rate:
                found.knee_per_s, found.steps = await find_knee(
                    lambda per_s: _step(clients, per_s), _FIRST_PER_S
                )
                found.per_s = max(_FIRST_PER_S, OF_KNEE * found.knee_per_s)
                # What failed beyond the knee is no news.
                clients.seen.unexpected.clear()
            _say(f"{found.per_s:.0f}/s for {minutes:g} minutes, seed {seed}")
            await _watched(house, clients, found)
            if clients.open:
                await asyncio.wait(clients.open, timeout=PATIENCE_S + 5)
            clients.close()
        found.seen = clients.seen
        await reckon(house.stack, journal_path, found)
    text, broken = write(found)
    sys.stdout.write(text)
    return broken


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=0.0, help="requests/s; 0: find the knee")
    parser.add_argument("--seed", type=int, default=None, help="default: a fresh one, printed")
    given = parser.parse_args()
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    return int(bool(uvloop.run(run(given.minutes, given.rate, seed))))


if __name__ == "__main__":
    sys.exit(main())
