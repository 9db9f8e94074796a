"""Gateways with web pages, and browsers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from tests.control.conftest import open_door, service
from tests.control.rig import Door
from tests.web.browser import Browser

__all__ = ["open_door", "service"]

Open = Callable[..., AbstractAsyncContextManager[Door]]


@pytest.fixture
async def door(open_door: Open) -> AsyncIterator[Door]:
    """One gateway."""
    async with open_door() as opened:
        yield opened


@pytest.fixture
def browser(door: Door) -> Browser:
    """A browser that nobody is signed in with."""
    return Browser(door.port)
