"""Fixtures of admission: the scripts on an empty Redis, and a cluster of three."""

from collections.abc import AsyncIterator

import pytest

from tests.admission.asking import Direct, open_direct


@pytest.fixture
async def direct(redis_url: str) -> AsyncIterator[Direct]:
    """The scripts with N = 240 on an emptied Redis."""
    found = await open_direct(redis_url)
    yield found
    await found.link.close()
