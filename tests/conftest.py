"""Fixtures of the suite: one embedded PostgreSQL and Redis per run, a fresh database per test.

`database` is the DSN of a database of its own with sql/schema.sql applied; making one copies a
template that is filled once per run. `redis_url` is the run's Redis, emptied.
"""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import redis_command

SCHEMA = Path(__file__).resolve().parent.parent / "sql" / "schema.sql"
TEMPLATE = "sluice_template"


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A short folder for the run's servers: the path of a socket may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-test-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def pg_server(servers_folder: Path) -> Iterator[PostgresServer]:
    """The run's PostgreSQL, with a template database that has the schema."""
    server = PostgresServer(servers_folder)
    asyncio.run(server.start())
    try:
        asyncio.run(_make_template(server.dsn))
        yield server
    finally:
        asyncio.run(server.stop())


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path) -> Iterator[RedisServer]:
    """The run's Redis: a single server on a unix socket."""
    server = RedisServer(servers_folder)
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture(scope="session")
def _database_numbers() -> Iterator[int]:
    return itertools.count()


@pytest.fixture
async def database(
    pg_server: PostgresServer, _database_numbers: Iterator[int]
) -> AsyncIterator[str]:
    """DSN of a fresh database with the schema; dropped afterwards, with whoever is connected."""
    name = f"test_{next(_database_numbers)}"
    await _execute(pg_server.dsn, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield of_database(pg_server.dsn, name)
    await _execute(pg_server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def redis_url(redis_server: RedisServer) -> str:
    """URL of the run's Redis, emptied of data and scripts."""
    reader, writer = await asyncio.open_unix_connection(str(redis_server.socket))
    assert await redis_command(reader, writer, "FLUSHALL") == "OK"
    assert await redis_command(reader, writer, "SCRIPT", "FLUSH") == "OK"
    writer.close()
    await writer.wait_closed()
    return redis_server.url


def of_database(dsn: str, name: str) -> str:
    """The same server's DSN with another database."""
    return dsn.replace("/sluice?", f"/{name}?", 1)


async def _make_template(dsn: str) -> None:
    await _execute(dsn, f"CREATE DATABASE {TEMPLATE}")
    if SCHEMA.exists():
        await _execute(of_database(dsn, TEMPLATE), SCHEMA.read_text(encoding="utf-8"))


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
