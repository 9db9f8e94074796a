"""What stands by in a gateway process for the time without Redis, put together.

Wires, never handles.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from gateway.admission.alone import Alone
from gateway.admission.comeback import Comeback
from gateway.admission.reads import BalanceReads
from gateway.admission.roll import Roll
from gateway.errors import Fault
from gateway.ground import Ground, ended
from gateway.ledger.rows import BalanceRow
from gateway.loop import forever
from gateway.metering.meter import Meter
from gateway.metering.shipper import Shipper

_COUNT_EVERY_MS: Final = 1_000
_TRY_AGAIN_MS: Final = 50
_LONGEST_PAUSE_MS: Final = 1_000


@asynccontextmanager
async def standby(base: Ground, meter: Meter, shipper: Shipper) -> AsyncIterator[Alone]:
    """Before the first request it is known how many share the limits, and Redis is trusted."""
    book, telemetry = base.book, base.telemetry
    breaker, now_s = base.pools.breaker, asyncio.get_running_loop().time
    roll = Roll(book.count_gateways, base.settings.workers, now_s, lambda: breaker.why)
    load = base.revocations.over(book.load_balances)
    reads = BalanceReads(load, roll, base.settings.postgres_deadline_ms)

    async def changes(limit: int) -> Sequence[BalanceRow]:
        await shipper.note_untold()
        return await book.take_outbox(limit)

    comeback = Comeback(base.link, base.gate, roll, meter, changes)
    base.conditions.watch("redis_doubted", comeback.trouble)
    with suppress(Fault):
        await roll.run_once()
    if base.link.is_up:
        with suppress(Fault):
            await comeback.run_once()
    tasks = [
        asyncio.create_task(forever(roll.run_once, name="roll", idle_ms=_COUNT_EVERY_MS)),
        asyncio.create_task(
            forever(
                comeback.run_once,
                name="comeback",
                idle_ms=_TRY_AGAIN_MS,
                longest_pause_ms=_LONGEST_PAUSE_MS,
            )
        ),
    ]
    try:
        yield Alone(
            base.gate, reads, roll, meter, lambda kind: telemetry.degraded.labels(kind).inc()
        )
    finally:
        for task in tasks:
            await ended(task)
        await reads.close()
