"""What limits in shadow and the arrival log cost, and how fast a log is replayed.

    python -m ops.bench.limits [--arrivals 1000000]

Each pair is measured in turns within one run, so that their ratio holds on a busy machine too.
Needs nothing but a Redis server's binary; takes a minute or two.
"""

import argparse
import asyncio
import itertools
import random
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.admission.ask import Code, Decision
from gateway.admission.replies import decision
from gateway.admission.scripts import DEFAULT_BUCKETS, Scripts, tag_slots
from gateway.arrivals.fold import Fold
from gateway.arrivals.form import packed
from gateway.arrivals.log import ArrivalLog
from gateway.arrivals.pseudonym import pseudonyms
from gateway.arrivals.report import Comparison
from gateway.arrivals.segments import SUFFIX, Caps, SegmentWriter
from gateway.arrivals.shelf import Shelf
from gateway.commands.terminal import say
from gateway.embedded.redis_server import RedisServer
from gateway.ledger.rows import BalanceRow
from gateway.products.builtin import builtin_text
from gateway.products.catalogue import load
from gateway.products.product import Limits, Shadow
from gateway.redis_link import RedisLink
from gateway.telemetry import Telemetry
from gateway.units import MIB, WINDOW_US
from tests.admission.asking import Asker, settlement

_ROUNDS = 12
_ASKS = 1_000
_KEYS = 50
_PLENTY = 10**9
_START_US = 1_800_000_000_000_000
_SHADOWS = {
    "none": None,
    "rpm": Shadow(rpm=_PLENTY),
    "rpm and tpm": Shadow(_PLENTY, _PLENTY),
    "rpm, tpm and concurrency": Shadow(_PLENTY, _PLENTY, _PLENTY),
}


@dataclass
class Cost:
    """Microseconds of CPU for one request."""

    redis: float = 0.0
    here: float = 0.0


async def shadows(folder: Path) -> None:
    """Redis' CPU and ours for an admission and its settlement, with and without a shadow."""
    server = RedisServer(folder / "redis")
    await server.start()
    link = RedisLink(server.url, deadline_ms=10_000)
    scripts = Scripts(link)
    await link.open()
    slots = tag_slots()
    costs = {name: Cost() for name in _SHADOWS}
    askers = {
        name: [
            Asker(
                f"k:{number}",
                f"product{place}",
                Limits(_PLENTY, _PLENTY, _PLENTY, shadow),
                numbers=itertools.count(place * 10**7),
            )
            for number in range(1, _KEYS + 1)
        ]
        for place, (name, shadow) in enumerate(_SHADOWS.items())
    }
    for asker in askers["none"]:
        ask = asker.ask()
        row = BalanceRow(int(asker.subject[2:]), 1, 10**12, 0, "active", "key", {})
        await link.write(slots[ask.tag], scripts.settle(ask.tag, ask.subject, [], row))
    for _ in range(_ROUNDS):
        for name, of_shadow in askers.items():
            redis_s, own_s = await _redis_cpu_s(link), time.process_time()
            for number in range(_ASKS):
                ask = of_shadow[number % _KEYS].ask(100, 100)
                reply = await link.write(slots[ask.tag], scripts.admit(ask, (), 0))
                assert decision(reply).code is Code.ADMITTED
                told = settlement(ask, 60, 60)
                command = scripts.settle(ask.tag, ask.subject, [told], None)
                await link.write(slots[ask.tag], command)
            costs[name].here += time.process_time() - own_s
            costs[name].redis += await _redis_cpu_s(link) - redis_s
    await link.close()
    await server.stop()
    count = _ROUNDS * _ASKS / 1e6
    base = costs["none"]
    say("| shadow | CPU of Redis, us | ratio | CPU here, us | ratio |\n|---|---|---|---|---|")
    for name, cost in costs.items():
        say(
            f"| {name} | {cost.redis / count:.1f} | {cost.redis / base.redis:.2f} "
            f"| {cost.here / count:.1f} | {cost.here / base.here:.2f} |"
        )


async def _redis_cpu_s(link: RedisLink) -> float:
    text = await link.call(None, "INFO", "cpu")
    assert isinstance(text, bytes)
    facts = dict(line.split(":") for line in text.decode().split() if ":" in line)
    return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])


def traffic(count: int) -> list[tuple[Asker, int, int]]:
    """Requests as they may come: few that ask much, many that ask little; cost, gap in us."""
    rng = random.Random(8)
    key, premium = Limits(500, 1_000_000, 500), Limits(2_000, 5_000_000, 2_000)
    askers = [Asker(f"k:{n}", "embeddings", key, premium) for n in range(2_000)]
    weights = [1 / (1 + place) for place in range(len(askers))]
    chosen = rng.choices(askers, weights, k=count)
    return [(each, rng.randrange(20, 4_000), rng.randrange(0, 4_000)) for each in chosen]


async def on_the_path(folder: Path) -> None:
    """What a request pays at once, and what is paid behind it."""
    telemetry = Telemetry()
    writer = SegmentWriter(folder / "path", "bench-1", Caps(1024 * MIB, 8, 0), telemetry)
    log = ArrivalLog(pseudonyms(b"bench"), writer, telemetry)
    told = [(each.ask(cost), cost) for each, cost, _ in traffic(40_000)]
    decided = Decision(Code.ADMITTED, 0, 500, 9, 10**6, 9, 9, 9, 9, _START_US, "key")
    before = time.process_time()
    for ask, cost in told:
        log.arrived(ask, decided)
        log.ended(ask.request_id, cost)
    path_us = (time.process_time() - before) / len(told) * 1e6
    before = time.process_time()
    await log.run_once()
    await log.close()
    behind_us = (time.process_time() - before) / len(told) * 1e6
    say(f"\nof a request: {path_us:.2f} us of CPU on its path, {behind_us:.2f} us behind it")


def written(folder: Path, count: int) -> None:
    """A log of so many arrivals with their ends, as a gateway writes it, under today's limits."""
    fold, now_us = Fold(pseudonyms(b"bench")), _START_US
    path = folder / f"20270115T080000-bench-1{SUFFIX}"
    rng = random.Random(9)
    with path.open("wb") as file:
        for place, (asker, cost, gap_us) in enumerate(traffic(count)):
            now_us += gap_us
            ask = asker.ask(cost)
            code = Code.RPM if rng.random() < 0.02 else Code.ADMITTED
            found = Decision(code, 0, 500, 9, 10**6, 9, 9, 9, 9, now_us, "key")
            fold.arrived([(ask, found)])
            if code is Code.ADMITTED:
                fold.ended([(ask.request_id, cost * 2 // 3, now_us + rng.randrange(90_000))])
            if place % 2_000 == 1_999:
                file.write(packed(fold.take()))
        if len(fold):
            file.write(packed(fold.take()))


def replayed(folder: Path, count: int) -> None:
    """How long it takes, and in how much memory."""
    shelf = Shelf(folder)
    text = "[embeddings]\nkey = { rpm = 300, tpm = 500_000 }\n"
    found = Comparison(load(text, builtin_text()), WINDOW_US // DEFAULT_BUCKETS)
    wall_s, cpu_s = time.monotonic(), time.process_time()
    for event in shelf.events():
        found.take(event)
    wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
    tally = found.tiers["embeddings", "key"]
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
    say(
        f"{count:,} arrivals: {shelf.read_bytes / count:.1f} bytes each; replayed under two plans "
        f"in {cpu_s:.1f} s of CPU ({wall_s:.1f} s), {cpu_s / count * 1e6:.1f} us each; "
        f"{tally.newly_refused:,} newly refused; at most {peak_mib} MiB"
    )


def main() -> int:
    """Everything, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arrivals", type=int, default=1_000_000)
    count = parser.parse_args().arrivals
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-limits-"))
    try:
        asyncio.run(shadows(folder))
        asyncio.run(on_the_path(folder))
        (folder / "week").mkdir()
        written(folder / "week", count)
        replayed(folder / "week", count)
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
