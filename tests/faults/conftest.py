"""A house that one cell after another may break, and a new one after a cell that went wrong."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio

from tests.faults.house import FaultHouse, open_house


class Houses:
    """At most one house at a time."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._house: FaultHouse | None = None

    async def house(self) -> FaultHouse:
        """The one that stands, else a new one."""
        if self._house is None:
            self._house = await self._stack.enter_async_context(open_house())
        return self._house

    async def close(self) -> None:
        """None stands."""
        self._house = None
        await self._stack.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def houses() -> AsyncIterator[Houses]:
    found = Houses()
    yield found
    await found.close()
