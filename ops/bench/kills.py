"""kill -9 of gateways, worker, Redis and PostgreSQL at random under load; then the reckoning.

    python -m ops.bench.kills --seconds 60 --seed 7 --journal kills.jsonl

1. Clients ask for embeddings through two gateways, small and large, and keep a journal of what they
   saw of each request. Meanwhile, by the seed, one process after another is killed and replaced.
2. At the end everything may heal for at most 60 s: no hold is left, no dead spool.
3. The journal is compared with the ledger, and every check of the proof has to find nothing.

Exit code 0 iff nothing is wrong. Loopback only, on servers of its own.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gateway.commands.migrate import bring_up_to_date
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from gateway.errors import PostgresUnavailable, RedisUnavailable
from tests.crash.client import Client, Seen
from tests.crash.house import GRANT, House, Key, Posted, kill
from tests.crash.stub import open_stub

CLIENTS = 16
KEYS = 4
GATEWAYS = 2
HEALED_S = 60.0
LEAST_KILLS = 15
# A mark is written 0.02 s after the last byte: what a client was given in that time before its
# gateway died is given back to him. A client has at most two answers in it.
MOST_GIVEN_BACK_PER_KILL = 2 * CLIENTS
_KINDS = ("gateway", "gateway", "worker", "redis", "postgresql")
_PAUSE_S = (1.2, 3.2)
_AWAY_S = 0.3


@dataclass
class Run:
    """Everything that a run needs and gathers."""

    house: House
    postgres: PostgresServer
    redis: RedisServer
    chance: random.Random
    keys: list[Key] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    workers: list[int] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def _folder() -> Path:
    """Where the servers of this run are; PostgreSQL may run as somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-kills-"))
    folder.chmod(0o755)
    return folder


@asynccontextmanager
async def _standing(chance: random.Random) -> AsyncIterator[Run]:
    """Servers, two gateways and a worker of our own."""
    folder = _folder()
    postgres, redis = PostgresServer(folder), RedisServer(folder)
    await asyncio.gather(postgres.start(), redis.start())
    try:
        await bring_up_to_date(postgres.dsn)
        async with open_stub() as stub:
            house = House(folder / "house", postgres.dsn, redis.url, stub.url)
            try:
                yield Run(house, postgres, redis, chance)
            finally:
                await house.close()
    finally:
        await asyncio.gather(postgres.stop(), redis.stop())
        shutil.rmtree(folder, ignore_errors=True)


async def _client(run: Run, seed: int) -> None:
    """Small and large answers for any of the keys, one after another."""
    chance = random.Random(seed)
    async with Client(run.house.port) as client:
        while not run.stop.is_set():
            key = chance.choice(run.keys)
            size = chance.choice([10, 10, 10, 50_000, 700_000])
            seen = await client.ask(key.text, tokens=chance.randrange(1, 50), bytes=size)
            run.seen.append(seen)
            await asyncio.sleep(chance.choice([0, 0, 0.02]) if seen.status == 200 else 0.05)


async def _keep(run: Run) -> None:
    """As a supervisor would: whoever has ended is started again."""
    house, worker = run.house, run.house.start("worker")
    while not run.stop.is_set():
        for place, process in enumerate(house.gateways):
            if process.poll() is not None:
                house.gateways[place] = house.start("serve", "--child", str(place))
        if worker.poll() is not None:
            worker = house.start("worker")
        run.workers[:] = [worker.pid]
        await asyncio.sleep(0.2)


async def _kill_one(run: Run, what: str) -> None:
    if what == "gateway":
        place = run.chance.randrange(GATEWAYS)
        kill([run.house.gateways[place]])
    elif what == "worker":
        try:
            os.kill(run.workers[0], signal.SIGKILL)
        except ProcessLookupError:
            # Killed a moment ago: its successor is still to come.
            return
    else:
        server = run.postgres if what == "postgresql" else run.redis
        os.kill(server.pid, signal.SIGKILL)
        await server.wait_dead()
        await asyncio.sleep(_AWAY_S)
        await server.start()
    run.kills[what] += 1


async def _load_and_kill(run: Run, seconds: float) -> None:
    house = run.house
    for place in range(GATEWAYS):
        house.gateways.append(house.start("serve", "--child", str(place)))
    await house.ready(house.gateways[0], house.port)
    run.keys += [await house.mint() for _ in range(KEYS)]
    for key in run.keys:
        await house.book.set_limits(key.key_id, {"embeddings": {"rpm": 10**6, "tpm": 10**9}})
    keeper = asyncio.create_task(_keep(run))
    clients = [
        asyncio.create_task(_client(run, run.chance.randrange(2**32))) for _ in range(CLIENTS)
    ]
    plan = list(dict.fromkeys(_KINDS))
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        await asyncio.sleep(run.chance.uniform(*_PAUSE_S))
        await _kill_one(run, plan.pop(0) if plan else run.chance.choice(_KINDS))
    run.stop.set()
    await asyncio.gather(*clients, keeper)


async def _heal(run: Run) -> float:
    """Until no hold and no dead spool is left; the seconds that took, above 60 if it did not."""
    begun_s = time.monotonic()
    for process in run.house.gateways:
        if process.poll() is not None:
            await run.house.gateway()
    while (took_s := time.monotonic() - begun_s) < HEALED_S:
        alive = sum(process.poll() is None for process in run.house.gateways)
        try:
            if len(run.house.spools) <= alive and not await run.house.leftovers():
                return took_s
        except (PostgresUnavailable, RedisUnavailable):
            pass
        await asyncio.sleep(0.05)
    return took_s


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the verdict."""

    what: str
    asked: str
    found: str
    right: bool


def _none(what: str, count: int) -> Line:
    return Line(what, "0", str(count), count == 0)


async def _reckon(run: Run, healed_s: float) -> list[Line]:
    house = run.house
    posted: dict[str, Posted] = {each.request_id: each for each in await house.posted()}
    answered = {e.request_id: e for e in run.seen if e.status == 200 and e.request_id is not None}
    kept = {each.request_id for each in posted.values() if each.cost_tokens > each.back}
    given_back = [each for each in answered if each in posted and posted[each].back]
    spent = sum(answered[each].tokens or 0 for each in kept if each in answered)
    left = sum([await house.trial(key) for key in run.keys])
    proof = await house.proof()
    most = MOST_GIVEN_BACK_PER_KILL * run.kills["gateway"]
    kills, statuses = run.kills.total(), Counter(each.status for each in run.seen)
    return [
        Line("kills", f">= {LEAST_KILLS}", f"{kills} {dict(run.kills)}", kills >= LEAST_KILLS),
        Line("requests by status (0: broken)", "-", f"{len(run.seen)} {dict(statuses)}", True),
        Line("healed after", f"<= {HEALED_S:.0f} s", f"{healed_s:.1f} s", healed_s < HEALED_S),
        _none("charged and kept, though the client saw no whole answer", len(kept - set(answered))),
        _none("whole answers without an outcome", len(set(answered) - set(posted))),
        _none(
            "whole answers whose outcome is no charge",
            sum(posted[each].kind != "charge" for each in answered if each in posted),
        ),
        _none(
            "charges other than the client was told",
            sum(posted[e].cost_tokens != answered[e].tokens for e in answered if e in posted),
        ),
        Line(
            "whole answers given back (the last 20 ms of a killed gateway)",
            f"<= {most}",
            str(len(given_back)),
            len(given_back) <= most,
        ),
        _none("given back in part", sum(0 < e.back < e.cost_tokens for e in posted.values())),
        Line(
            "tokens that the keys lack",
            f"{spent} (what was answered and kept)",
            str(KEYS * GRANT - left),
            KEYS * GRANT - left == spent,
        ),
        Line("checks of the proof with differences", "none", str(proof or "none"), not proof),
    ]


async def main(seconds: float, seed: int, journal: Path) -> int:
    """Run, write the journal, print the verdict; the exit code."""
    sys.stdout.write(f"seed {seed}, {seconds:.0f} s, journal {journal}\n")
    sys.stdout.flush()
    async with _standing(random.Random(seed)) as run:
        await _load_and_kill(run, seconds)
        healed_s = await _heal(run)
        with journal.open("w", encoding="utf-8") as file:
            for each in run.seen:
                line = {k: v for k, v in asdict(each).items() if k != "body"}
                file.write(json.dumps({**line, "bytes": len(each.body)}) + "\n")
        lines = await _reckon(run, healed_s)
    rows = [f"| {e.what} | {e.asked} | {e.found} | {'ok' if e.right else 'WRONG'} |" for e in lines]
    head = ["| what | asked | found | |", "|---|---|---|---|"]
    sys.stdout.write("\n".join([*head, *rows]) + "\n")
    return 0 if all(each.right for each in lines) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="default: a fresh one, printed")
    journal = Path(tempfile.gettempdir(), "sluice-kills.jsonl")
    parser.add_argument("--journal", type=Path, default=journal)
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    chosen = secrets.randbelow(2**32) if given.seed is None else given.seed
    sys.exit(asyncio.run(main(given.seconds, chosen, given.journal)))
