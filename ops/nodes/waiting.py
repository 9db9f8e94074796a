"""Waiting for a condition, with a bound."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(what: Callable[[], Awaitable[object]], within_s: float, every_s: float) -> None:
    """Ask until it is so; TimeoutError when it takes longer than the bound."""
    async with asyncio.timeout(within_s):
        while True:
            if await what():
                return
            await asyncio.sleep(every_s)
