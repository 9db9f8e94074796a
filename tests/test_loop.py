"""What repeats for ever: it survives what fails, and its log stays short while a store is away."""

import asyncio
import logging

import pytest

from gateway.errors import PostgresUnavailable
from gateway.loop import forever


async def test_a_fault_that_lasts_is_told_ever_more_rarely_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "sluice.loop")
    tries, failed, over = 0, 0, asyncio.Event()

    async def run_once() -> int:
        nonlocal tries
        tries += 1
        if tries <= 9:
            raise PostgresUnavailable("no answer")
        over.set()
        return 0

    def count() -> None:
        nonlocal failed
        failed += 1

    task = asyncio.create_task(
        forever(run_once, name="shipper", idle_ms=1, failed=count, longest_pause_ms=2)
    )
    async with asyncio.timeout(20):
        await over.wait()
    task.cancel()
    await asyncio.wait([task])
    assert failed == 9
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        *(f"shipper: PostgresUnavailable: no answer (failure {n})" for n in (1, 2, 4, 8)),
        "shipper: works again, after 9 failures",
    ]
