"""Lets requests that came all at once start one by one, so that the loop is never held by a crowd.

It refuses nobody: everybody gets through, in the order of arrival, within a moment.
"""

import asyncio


class Turnstile:
    """One passes, and the loop turns once, before the next one does."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def through(self) -> None:
        async with self._lock:
            await asyncio.sleep(0)
