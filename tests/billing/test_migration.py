"""A database from before billing: who was suspended stays so, and by an operator."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from gateway.embedded.postgres_server import PostgresServer
from gateway.postgres import migrate
from gateway.sql import migration_files
from tests.databases import of_database


@pytest.fixture
async def old_database(pg_server: PostgresServer) -> AsyncIterator[str]:
    """A database with what there was before billing."""
    line = await asyncpg.connect(pg_server.dsn, ssl=False)
    await line.execute("create database before_billing")
    dsn = of_database(pg_server.dsn, "before_billing")
    await migrate(dsn, [path for path in migration_files() if path.name < "0005"])
    yield dsn
    await line.execute("drop database before_billing with (force)")
    await line.close()


async def test_a_suspended_key_stays_suspended_until_an_operator_says_otherwise(
    old_database: str,
) -> None:
    line = await asyncpg.connect(old_database, ssl=False)
    await line.execute("select mint_key(7, '\\x07', 'abcd', null, 5, 0)")
    await line.execute("select mint_key(8, '\\x08', 'abcd', null, 5, 0)")
    await line.execute("select set_key_status(7, 'suspended')")
    await migrate(old_database, migration_files())
    rows = await line.fetch("select key_id, cause from key_suspension where ended_at is null")
    assert [tuple(row) for row in rows] == [(7, "operator")]
    await line.execute("select set_key_status(7, 'active')")
    statuses = await line.fetch("select key_id, status from key_balance order by 1")
    assert [tuple(row) for row in statuses] == [(7, "active"), (8, "active")]
    await line.close()
