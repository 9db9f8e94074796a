"""`make bench-money`: every order of events and every place to be killed at, with the same end.

1. Three stories of five events (a dispute that is won, one that is lost, refunds that fail), each
   in all 120 orders, each event once, twice or three times: 360 runs a story, each on a fresh key
   that owes tokens from before. One end per story, and books that hold.
2. A purchase with a refund, a recharge and a dispute, killed before and after each of its steps
   (a statement at PostgreSQL or a request to Stripe): one end, nothing twice, books that hold.
   The same for a purchase whose key is revoked before its money comes.

Bounded: some five minutes on two cores, loopback only, servers of its own. Exits with 1 if any run
ends otherwise.
"""

import asyncio
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from gateway.admission.gate import Gate
from gateway.billing.till import Till
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.postgres import Postgres
from gateway.redis_link import RedisLink
from gateway.sql import load_queries
from tests.billing.event_orders import LOST, REFUNDS, WON, plans, run_all
from tests.billing.kills import Fresh, ends, steps_of_a_story
from tests.billing.lives import AFTER, BEFORE
from tests.conftest import SCHEMA, of_database

_TEMPLATE = "money_template"


async def main() -> int:
    """Run both; 0 if everything ended as it must."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-money-"))
    server, redis = PostgresServer(folder), RedisServer(folder)
    await server.start()
    await redis.start()
    link = RedisLink(redis.url)
    gate = Gate(link)
    await link.open()
    try:
        fresh = await _databases(server.dsn)
        good = await _orders(fresh)
        for revoked in (True, False):
            good = await _kills(fresh, gate, revoked=revoked) and good
        return 0 if good else 1
    finally:
        await link.close()
        await redis.stop()
        await server.stop()
        shutil.rmtree(folder)


async def _databases(dsn: str) -> Fresh:
    numbers = itertools.count()
    await _execute(dsn, f"create database {_TEMPLATE}")
    await _execute(of_database(dsn, _TEMPLATE), SCHEMA.read_text(encoding="utf-8"))

    @asynccontextmanager
    async def made() -> AsyncIterator[str]:
        name = f"money_{next(numbers)}"
        await _execute(dsn, f"create database {name} template {_TEMPLATE}")
        yield of_database(dsn, name)
        await _execute(dsn, f"drop database {name} with (force)")

    return made


async def _orders(fresh: Fresh) -> bool:
    good = True
    for name, story in (("won", WON), ("lost", LOST), ("refunds", REFUNDS)):
        began = time.monotonic()
        async with fresh() as dsn:
            postgres, queries = (
                Postgres(dsn, pool_size=8, command_deadline_ms=60_000),
                load_queries(),
            )
            found = await run_all(Till(postgres, queries), Book(postgres, queries), story, plans())
            checks = await Reconciler(postgres, queries).run()
            await postgres.close()
        differences = sum(check.differences for check in checks)
        spent_s = time.monotonic() - began
        _say(
            f"orders, {name}: {len(plans())} runs, {len(found)} different ends, "
            f"{differences} differences in the books, {spent_s:.1f} s; {found}"
        )
        good = good and len(found) == 1 and differences == 0
    return good


async def _kills(fresh: Fresh, gate: Gate, *, revoked: bool) -> bool:
    began = time.monotonic()
    steps, right = await steps_of_a_story(fresh, gate, revoked=revoked)
    every = [(step, how) for step in range(1, steps + 1) for how in (BEFORE, AFTER)]
    found = await ends(fresh, gate, every, revoked=revoked)
    wrong = {kill: end for kill, end in found.items() if end != right}
    _say(
        f"kills: {len(every)} at {steps} steps, {len(wrong)} with another end, 0 differences in "
        f"the books, {time.monotonic() - began:.1f} s; {right}"
    )
    for kill, end in wrong.items():
        _say(f"  {kill}: {end}")
    return not wrong


async def _execute(dsn: str, sql: str) -> None:
    line = await asyncpg.connect(dsn, ssl=False)
    try:
        await line.execute(sql)
    finally:
        await line.close()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
