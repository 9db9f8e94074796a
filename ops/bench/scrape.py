"""How long a scrape of /metrics takes with four gateways and every series that there can be.

`python -m ops.bench.scrape`: starts `sluice serve` with four workers, puts four more processes'
numbers beside theirs, each with every product, outcome and code in it, and scrapes, first while
nothing else happens, then while requests come in.
"""

import asyncio
import itertools
import sys
import time
from pathlib import Path

from aiohttp import ClientSession

from gateway.admission.ask import Code
from gateway.metering.outcomes import Outcome
from gateway.products.builtin import load_catalogue
from gateway.telemetry import Telemetry
from gateway.telemetry.snapshots import Publisher
from ops.bench.stack import different_ports, process, stack

_WORKERS = 4
_SCRAPES = 300
# Above the number of codes that there are.
_CODES = 80
_MOST_MS = 50.0


def full() -> Telemetry:
    """The numbers of a process that has seen everything."""
    numbers, products = Telemetry(), list(load_catalogue(None).products)
    for product, outcome in itertools.product(products, Outcome):
        numbers.finished(product, outcome.value, 12_345, 0.123)
    for product, code in itertools.product(products, Code):
        numbers.admission(product, code.name)
    for number in range(_CODES):
        numbers.refusals.labels(f"SOME_LONG_CODE_NUMBER_{number}").inc()
    for number, scope in itertools.product(range(40), ("today", "everything")):
        numbers.reconcile_differences.labels(f"check_number_{number}", scope).set(0, 1.0)
    for subject in (*products, "failures_are_free", "limits_limit", "revocation"):
        for family in (numbers.canary_ok, numbers.canary_seconds, numbers.canary_success_time):
            family.labels(subject).set(1, time.time())
    return numbers


def publish(folder: Path) -> list[Publisher]:
    """As many more processes, which this one keeps alive."""
    publishers = [Publisher(folder) for _ in range(_WORKERS)]
    for each in publishers:
        numbers = full()
        each.publish(numbers.counts(), numbers.standings(), numbers.newest())
    return publishers


async def scrapes(session: ClientSession, url: str) -> tuple[list[float], int]:
    """Milliseconds of each, sorted, and the size of the last in bytes."""
    found, size = [], 0
    for _ in range(_SCRAPES):
        begun_s = time.perf_counter()
        async with session.get(url) as reply:
            size = len(await reply.read())
            assert reply.status == 200
        found.append((time.perf_counter() - begun_s) * 1_000)
        await asyncio.sleep(0.01)
    return sorted(found), size


async def ask_on(session: ClientSession, url: str, stop: asyncio.Event) -> int:
    """Small requests one after another, as long as it is measured; how many."""
    done = 0
    while not stop.is_set():
        async with session.get(url) as reply:
            await reply.read()
        done += 1
    return done


def _row(what: str, found: list[float], size: int) -> str:
    middle, late = found[len(found) // 2], found[int(len(found) * 0.99)]
    numbers = f"p50 {middle:.1f} ms, p99 {late:.1f} ms, most {found[-1]:.1f} ms"
    return f"{what}: {numbers} ({len(found)} scrapes of {size // 1024} KiB)\n"


async def main() -> int:
    """Print two rows; 1 when the 99th of a hundred is above what was asked."""
    async with stack() as base:
        with different_ports(2) as (port, operations):
            environment = base.settings(
                port=port, ops_port=operations, workers=_WORKERS, access_log=0
            )
            publishers = publish(base.folder / "metrics")
            words = ("-m", "gateway", "serve")
            async with process(*words, environment=environment, port=port):
                await asyncio.sleep(2)
                async with ClientSession() as session:
                    url = f"http://127.0.0.1:{operations}/metrics"
                    quiet, size = await scrapes(session, url)
                    stop, door = asyncio.Event(), f"http://127.0.0.1:{port}/nothing"
                    asking = [asyncio.create_task(ask_on(session, door, stop)) for _ in range(4)]
                    busy, _ = await scrapes(session, url)
                    stop.set()
                    asked = sum(await asyncio.gather(*asking))
            for each in publishers:
                each.close()
    sys.stdout.write(_row("quiet", quiet, size))
    sys.stdout.write(_row(f"while {asked} requests were answered", busy, size))
    return int(quiet[int(len(quiet) * 0.99)] > _MOST_MS)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
