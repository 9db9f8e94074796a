"""What one request costs in each store: the unit costs that ops/capacity.py plans with.

    python -m ops.bench.units

Counts CPU time and bytes, no speed: what else runs on the machine hardly matters. Writes
ops/bench/units.md; bounded, loopback only, on servers of its own.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg

from gateway import app
from gateway.admission.gate import Gate
from gateway.edge.request_ids import new_request_id
from gateway.keys.format import key_id_from_random
from gateway.ledger.rows import BalanceRow
from gateway.metering.event import CHARGE, Event
from gateway.metering.numbers import AdmissionNumbers
from gateway.metering.spool import Spool
from gateway.redis_link import RedisLink
from gateway.settings import load_settings
from gateway.units import US_PER_S, WINDOW_US
from ops.bench.shipping import append
from ops.bench.stack import HERE, PLENTY, Stack, cpu_s, stack
from ops.capacity import TARGET, render
from tests.admission.asking import Asker, limits, settlement

_KEYS = 500
_REQUESTS = 20_000
_AT_ONCE = 20
# Posted together: what one process gathers in SHIP_INTERVAL_MS at 1,000 requests/s.
_GROUP = 20
_START_US = 1_900_000_000 * US_PER_S
_ENTRIES = 240
Row = tuple[str, str, str]


async def redis_units(standing: Stack) -> list[Row]:
    """CPU, bytes on the wire and bytes kept."""
    link = RedisLink(standing.redis_url, deadline_ms=10_000)
    gate = Gate(link)
    await link.open()
    told = await _info(link)
    pid = int(told["process_id"])
    askers = [Asker(f"k:{n}", limits=limits(PLENTY, PLENTY)) for n in range(_KEYS)]
    for asker in askers:
        await gate.put_balance(
            BalanceRow(int(asker.subject[2:]), 1, PLENTY, 0, "active", "key", {})
        )
    copies = await _info(link)
    before, cpu = await _info(link), cpu_s([pid])
    for start in range(0, _REQUESTS, _AT_ONCE):
        asks = [askers[(start + n) % _KEYS].ask(3, 5) for n in range(_AT_ONCE)]
        await asyncio.gather(*(gate.admit(ask) for ask in asks))
        await gate.settle([settlement(ask, 3) for ask in asks], ())
    used_s, after = cpu_s([pid]) - cpu, await _info(link)
    fresh = (int(copies["used_memory"]) - int(told["used_memory"])) / _KEYS
    full = await _full_windows(link, gate)
    await link.close()

    def each(name: str) -> float:
        return (int(after[name]) - int(before[name])) / _REQUESTS

    return [
        ("redis_cpu_us", f"{used_s / _REQUESTS * 1e6:.1f}", "us of Redis' CPU: admit and settle"),
        ("redis_in_bytes", f"{each('total_net_input_bytes'):.0f}", "to Redis, for both"),
        ("redis_out_bytes", f"{each('total_net_output_bytes'):.0f}", "from Redis, for both"),
        ("redis_copy_bytes", f"{fresh:.0f}", "kept for a key: the copy of its balance"),
        ("redis_full_bytes", f"{full:.0f}", "kept for a busy key and product: full windows"),
    ]


async def _full_windows(link: RedisLink, gate: Gate) -> float:
    """Of keys that ask all the time: as many entries as there can be, in both windows."""
    before = int((await _info(link))["used_memory"])
    count = 100
    askers = [Asker(f"k:{10_000 + n}", limits=limits(PLENTY, PLENTY)) for n in range(count)]
    for asker in askers:
        await gate.put_balance(
            BalanceRow(int(asker.subject[2:]), 1, PLENTY, 0, "active", "key", {})
        )
    for entry in range(_ENTRIES):
        gate.clock_us = _START_US + entry * WINDOW_US // _ENTRIES
        asks = [asker.ask(3, 5) for asker in askers]
        await asyncio.gather(*(gate.admit(ask) for ask in asks))
        await gate.settle([settlement(ask, 3) for ask in asks], ())
    gate.clock_us = 0
    return (int((await _info(link))["used_memory"]) - before) / count


async def _info(link: RedisLink) -> dict[str, str]:
    told = await link.call(None, "INFO")
    assert isinstance(told, bytes)
    lines = (line.partition(":") for line in told.decode().splitlines())
    return {name: value for name, _, value in lines}


async def postgres_units(standing: Stack) -> list[Row]:
    """CPU, log and table bytes of a charge, posted in groups, each of another key."""
    settings = load_settings(standing.settings(data_dir=standing.folder / "units"))
    postmaster = standing.folder / "postgres" / "cluster" / "postmaster.pid"
    pid = int(postmaster.read_text(encoding="ascii").split()[0])
    async with app.ground(settings, "units") as base:
        keys = [key_id_from_random(os.urandom(8)) for _ in range(_KEYS)]
        for key_id in keys:
            await base.book.mint(key_id, os.urandom(32), "0000", None, PLENTY, 0)
        line = await asyncpg.connect(standing.database_url, ssl=False)
        wal, size, cpu = await _wal(line), await _size(line), cpu_s([pid])
        sent = 0
        for start in range(0, _REQUESTS, _GROUP):
            group = [_charge(keys[(start + n) % _KEYS], start + n + 1) for n in range(_GROUP)]
            text = b"[" + b",".join(group) + b"]"
            sent += len(text)
            await base.book.post_outcomes(text, deadline_ms=30_000)
        used_s, wal_bytes = cpu_s([pid]) - cpu, await _wal(line) - wal
        await line.execute("vacuum (analyze) outcome")
        table, indexes = [b - a for a, b in zip(size, await _size(line), strict=True)]
        spooled = await _spooled(standing.folder / "spooled")
        await line.close()
    return [
        ("postgres_cpu_us", f"{used_s / _REQUESTS * 1e6:.0f}", f"us, in groups of {_GROUP}"),
        ("wal_bytes", f"{wal_bytes / _REQUESTS:.0f}", "of PostgreSQL's log for a charge"),
        ("row_bytes", f"{table / _REQUESTS:.0f}", "of the table outcome for a charge"),
        ("index_bytes", f"{indexes / _REQUESTS:.0f}", "of its indexes for a charge"),
        ("posted_bytes", f"{sent / _REQUESTS:.0f}", "sent to PostgreSQL for a charge"),
        ("spool_bytes", f"{spooled:.0f}", "of the spool on the node's disk for an outcome"),
    ]


def _charge(key_id: int, number: int) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    return Event(
        new_request_id(), CHARGE, key_id, "embeddings", 7, 7, 100, "complete", "reported", 200,
        number, now_ms, now_ms, "node1-4242-0badcafe",
    ).encode()  # fmt: skip


async def _wal(line: "asyncpg.Connection[asyncpg.Record]") -> int:
    return int(await line.fetchval("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))


async def _size(line: "asyncpg.Connection[asyncpg.Record]") -> tuple[int, int]:
    sql = """select sum(pg_table_size(inhrelid))::bigint, sum(pg_indexes_size(inhrelid))::bigint
        from pg_inherits where inhparent = 'outcome'::regclass"""
    row = await line.fetchrow(sql)
    assert row is not None
    return row[0], row[1]


async def _spooled(folder: Path) -> float:
    spool, numbers = Spool(folder, "units"), AdmissionNumbers()
    key_id = key_id_from_random(os.urandom(8))
    for _ in range(0, 2_000, _GROUP):
        await asyncio.gather(*(append(spool, numbers, key_id) for _ in range(_GROUP)))
    await asyncio.sleep(0.1)
    found = await asyncio.to_thread(_bytes_below, folder)
    await spool.close()
    return found / 2_000


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def main() -> None:
    """Measure, print, write."""
    rows: list[Row] = []
    measures: tuple[Callable[[Stack], Awaitable[list[Row]]], ...] = (redis_units, postgres_units)
    for measure in measures:
        async with stack() as standing:
            rows += await measure(standing)
    lines = ["# What one request costs in each store", "", _HEAD.format(_REQUESTS, _KEYS), ""]
    lines += ["| unit | measured | what |", "|---|---|---|"]
    lines += [f"| {name} | {value} | {what} |" for name, value, what in rows]
    text = "\n".join(lines) + "\n"
    (HERE / "units.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    TARGET.write_text(render(TARGET.read_text(encoding="utf-8")), encoding="utf-8")


_HEAD = (
    "Written by `python -m ops.bench.units`: {:,} requests of {} keys; `ops/capacity.py` reads it."
)

if __name__ == "__main__":
    asyncio.run(main())
