"""A house on the run's servers, and one on servers that the test may kill."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.commands.migrate import bring_up_to_date
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from tests.crash.house import House
from tests.crash.stub import Stub, open_stub


@dataclass(frozen=True, slots=True)
class Own:
    """A house with servers of its own."""

    house: House
    postgres: PostgresServer
    redis: RedisServer
    stub: Stub


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with open_stub() as found:
        yield found


@pytest.fixture
async def house(tmp_path: Path, database: str, redis_url: str, stub: Stub) -> AsyncIterator[House]:
    """On the run's servers, which stay alive."""
    found = House(tmp_path, database, redis_url, stub.url)
    yield found
    await found.close()


@pytest.fixture
async def own(stub: Stub) -> AsyncIterator[Own]:
    """On servers that the test may kill."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-crash-"))
    folder.chmod(0o755)
    postgres, redis = PostgresServer(folder), RedisServer(folder)
    await asyncio.gather(postgres.start(), redis.start())
    await bring_up_to_date(postgres.dsn)
    house = House(folder / "house", postgres.dsn, redis.url, stub.url)
    yield Own(house, postgres, redis, stub)
    await house.close()
    await asyncio.gather(postgres.stop(), redis.stop())
    shutil.rmtree(folder)
