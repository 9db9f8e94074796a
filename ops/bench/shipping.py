"""How fast the shipper brings durable outcomes into the ledger: one process, fsync on.

The shipper takes up to 400 outcomes per transaction, as it does after PostgreSQL was away.
"""

import asyncio
import os
import time

import asyncpg

from gateway import app
from gateway.admission.ask import Settlement
from gateway.admission.scripts import tag_of
from gateway.edge.request_ids import new_request_id
from gateway.keys.format import key_id_from_random
from gateway.metering.event import CHARGE, Event
from gateway.metering.meter import Meter
from gateway.metering.numbers import AdmissionNumbers
from gateway.metering.shipper import Shipper
from gateway.metering.spool import Spool
from gateway.settings import load_settings
from ops.bench.stack import PLENTY, Stack

_OUTCOMES = 30_000
_KEYS = 50
# What one sync makes durable together at some thousand requests a second.
_GROUP = 20


async def shipping(stack: Stack) -> list[tuple[str, str, str]]:
    """Append, then ship; the clock covers posting and settling."""
    settings = load_settings(stack.settings(data_dir=stack.folder / "shipped"))
    loop = asyncio.get_running_loop()
    async with app.ground(settings, "bench") as base:
        keys = [key_id_from_random(os.urandom(8)) for _ in range(_KEYS)]
        for key_id in keys:
            await base.book.mint(key_id, os.urandom(32), "0000", None, PLENTY, 0)
        spool = Spool(settings.data_dir / "spool", "bench")
        numbers = AdmissionNumbers()
        meter = Meter(spool, base.gate, numbers, base.telemetry, "bench", loop.time)
        shipper = Shipper(spool, base.book, base.gate, meter, base.telemetry)
        for start in range(0, _OUTCOMES, _GROUP):
            group = range(start, start + _GROUP)
            appended = [append(spool, numbers, keys[at % _KEYS]) for at in group]
            await asyncio.gather(*appended)
        began_s = time.perf_counter()
        shipped = 0
        while shipped < _OUTCOMES:
            shipped += await shipper.run_once()
        seconds = time.perf_counter() - began_s
        await shipper.say_goodbye()
        await spool.close()
    posted = await _posted(stack.database_url)
    assert posted == _OUTCOMES, posted
    return [("charges shipped per second, one process", ">= 5,000", f"{_OUTCOMES / seconds:,.0f}")]


def append(spool: Spool, numbers: AdmissionNumbers, key_id: int) -> asyncio.Future[None]:
    """One outcome into the spool; done when it is durable."""
    request_id, now_ms = new_request_id(), time.time_ns() // 1_000_000
    number = numbers.take()
    event = Event(
        request_id,
        CHARGE,
        key_id,
        "embeddings",
        7,
        7,
        100,
        "complete",
        "reported",
        200,
        number,
        now_ms,
        now_ms,
        "bench",
    )
    subject = f"k:{key_id}"
    settlement = Settlement(subject, tag_of(subject), "embeddings", request_id, 7)
    durable = spool.append(event.encode(), number, settlement)
    spool.delivered(number)
    return durable


async def _posted(dsn: str) -> int:
    line = await asyncpg.connect(dsn, ssl=False)
    try:
        return int(await line.fetchval("select count(*) from outcome where instance = 'bench'"))
    finally:
        await line.close()
