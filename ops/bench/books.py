"""How long the books take: closing a day, proving everything, exporting and verifying one key.

    python -m ops.bench.books --charges 500000 --keys 2000

Posts the charges through the ledger's own function, dates them back a day, and then times what the
worker, an operator and a customer do with them. A server of its own, loopback only.
"""

import argparse
import asyncio
import itertools
import os
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import asyncpg
import orjson

from gateway.ledger.book import Book
from gateway.ledger.closing import Closer, Exports
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.verify import verify
from gateway.postgres import Postgres
from gateway.sql import load_queries
from ops.bench.stack import stack
from tests.ledger.events import charge, request_id

_BATCH = 400
_GRANT = 10**12
_LONG_MS = 3_600_000
Rows = list[tuple[str, str]]


def _say(what: str, found: str) -> None:
    sys.stdout.write(f"| {what} | {found} |\n")
    sys.stdout.flush()


def _batches(keys: list[int], charges: int) -> Iterator[bytes]:
    # One key has half of all: the customer who exports.
    whose = itertools.cycle(itertools.chain.from_iterable((keys[0], key) for key in keys[1:]))
    for start in range(0, charges, _BATCH):
        numbers = range(start, min(start + _BATCH, charges))
        yield orjson.dumps([charge(request_id(n), next(whose), 7, n + 1) for n in numbers])


async def _fill(book: Book, keys: int, charges: int) -> list[int]:
    ids = list(range(1, keys + 1))
    for key_id in ids:
        await book.mint(key_id, os.urandom(32), "abcd", None, _GRANT, 0)
    begun_s = time.monotonic()
    for batch in _batches(ids, charges):
        await book.post_outcomes(batch)
    _say("charges posted, one writer", f"{charges / (time.monotonic() - begun_s):,.0f}/s")
    return ids


async def _yesterday(dsn: str) -> None:
    line = await asyncpg.connect(dsn, ssl=False)
    try:
        await line.execute("set session_replication_role = replica")
        await line.execute("update outcome set posted_at = posted_at - interval '1 day'")
        await line.execute("update transfer set posted_at = posted_at - interval '1 day'")
        await line.execute("update api_key set created_at = created_at - interval '1 day'")
        await line.execute("vacuum analyze")
    finally:
        await line.close()


async def _prove(reconciler: Reconciler, since_ms: int | None, what: str) -> None:
    begun_s = time.monotonic()
    checks = await reconciler.run(since_ms=since_ms, deadline_ms=_LONG_MS)
    wrong = [check.name for check in checks if not check.holds]
    _say(
        what, f"{time.monotonic() - begun_s:.1f} s, {len(checks)} checks, wrong: {wrong or 'none'}"
    )


async def _export(exports: Exports, key_id: int, last: date) -> None:
    first = last - timedelta(days=2)
    begun_s, lines = time.monotonic(), list[str]()
    async for page in exports.pages(key_id, first, last):
        lines += page
    seconds = time.monotonic() - begun_s
    _say("export of the largest key", f"{len(lines):,} lines, {len(lines) / seconds:,.0f}/s")
    days, published = (
        await exports.key_days(key_id, first, last),
        await exports.closed_days(first, last),
    )
    begun_s = time.monotonic()
    verdict = verify(key_id, lines, days, published)
    _say(
        "verify-export of it",
        f"{time.monotonic() - begun_s:.1f} s, {verdict.days} days, wrong: "
        f"{verdict.differences or 'none'}",
    )


async def main(charges: int, keys: int) -> None:
    """Fill, close, prove, export."""
    queries = load_queries()
    sys.stdout.write(f"{charges:,} charges of {keys:,} keys\n\n| what | measured |\n|---|---|\n")
    async with stack() as standing:
        postgres = Postgres(standing.database_url, command_deadline_ms=_LONG_MS)
        ids = await _fill(Book(postgres, queries), keys, charges)
        await _yesterday(standing.database_url)
        begun_s = time.monotonic()
        day = await Closer(postgres, queries).close_next()
        _say("closing the day", f"{time.monotonic() - begun_s:.1f} s ({day})")
        reconciler = Reconciler(postgres, queries)
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0)
        await _prove(reconciler, int(midnight.timestamp() * 1_000), "proof of today")
        await _prove(reconciler, None, "proof of everything")
        await _export(Exports(postgres, queries), ids[0], datetime.now(UTC).date())
        await postgres.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
    _say("memory of this process at most, lines of the export included", f"{peak} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--charges", type=int, default=500_000)
    parser.add_argument("--keys", type=int, default=2_000)
    given = parser.parse_args()
    asyncio.run(main(given.charges, given.keys))
