"""The arrival log of one gateway process, opened and closed with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.arrivals.log import RUN_EVERY_MS, ArrivalLog
from gateway.arrivals.pseudonym import pseudonyms
from gateway.arrivals.segments import Caps, SegmentWriter
from gateway.loop import forever
from gateway.settings import Settings
from gateway.telemetry import Telemetry
from gateway.units import MIB


def arrivals_root(settings: Settings) -> Path:
    """Where the logs of all nodes are; each machine writes into a folder of its own name."""
    return settings.data_dir / "arrivals"


@asynccontextmanager
async def arrival_log(
    settings: Settings, telemetry: Telemetry, pepper: bytes, instance: str
) -> AsyncIterator[ArrivalLog | None]:
    """None where none is to be kept."""
    if not settings.arrivals_mib:
        yield None
        return
    caps = Caps(settings.arrivals_mib * MIB, settings.arrivals_days)
    node = instance.rpartition("-")[0].rpartition("-")[0] or instance
    writer = SegmentWriter(arrivals_root(settings) / node, instance, caps, telemetry)
    log = ArrivalLog(pseudonyms(pepper), writer, telemetry)
    running = asyncio.create_task(forever(log.run_once, name="arrivals", idle_ms=RUN_EVERY_MS))
    try:
        yield log
    finally:
        running.cancel()
        await asyncio.wait([running])
        await log.close()
