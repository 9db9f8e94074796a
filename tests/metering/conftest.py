"""A shop on the run's servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.metering.shop import Shop, open_shop


@pytest.fixture
async def shop(tmp_path: Path, database: str, redis_url: str) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path, database, redis_url) as found:
        yield found
