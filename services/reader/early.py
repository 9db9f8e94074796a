"""Frames of a stream before the last one: a page as it was early, taken apart while it settles.

It refuses to make anybody wait: what is not ready when the page itself is, is dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from services.reader.forms import Reading
from services.reader.refusals import Refusal

Progress = Callable[[Reading], None]
Take = Callable[[str], Awaitable[Reading | Refusal]]


class Early:
    """Within its block, whatever `hear` is told goes through `take` to `progress`."""

    def __init__(self, take: Take, progress: Progress) -> None:
        self._take = take
        self._progress = progress
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hear(self, html: str) -> None:
        """Begins to take `html` apart."""
        self._tasks.append(asyncio.create_task(self._go(html)))

    async def _go(self, html: str) -> None:
        reading = await self._take(html)
        if not isinstance(reading, Refusal):
            self._progress(reading)
