"""The port to PostgreSQL: bounded and lazy, whether the server is down, slow, frozen or killed."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.embedded.postgres_server import PostgresServer
from gateway.errors import PostgresUnavailable
from gateway.postgres import Postgres, PostgresRefused
from tests.ledger.conftest import Owner


@pytest.fixture
async def port(database: str) -> AsyncIterator[Postgres]:
    port = Postgres(database, pool_size=1, command_deadline_ms=1_000, application_name="port-test")
    yield port
    await port.close()


async def test_session_is_of_the_runtime_role_and_says_who_it_is(port: Postgres) -> None:
    row = await port.row("select current_user, current_setting('application_name')")
    assert row is not None
    assert tuple(row.values()) == ("sluice_runtime", "port-test")


async def test_slow_statement_is_given_up_at_its_deadline_and_the_next_one_works(
    port: Postgres,
) -> None:
    began = time.monotonic()
    with pytest.raises(PostgresUnavailable, match="100 ms"):
        await port.rows("select pg_sleep(60)", deadline_ms=100)
    assert time.monotonic() - began < 30
    assert await port.value("select 1") == 1


async def test_statement_of_a_cut_line_ends_on_the_server(port: Postgres, owner: Owner) -> None:
    with pytest.raises(PostgresUnavailable):
        await port.rows("select pg_sleep(30)")
    running = "select count(*) from pg_stat_activity where query like '%sleep(30)' and state <> ''"
    for _ in range(250):
        if await owner.fetchval(f"{running} and pid <> pg_backend_pid()") == 0:
            break
        await asyncio.sleep(0.1)
    assert await owner.fetchval(f"{running} and pid <> pg_backend_pid()") == 0


async def test_waiting_for_a_connection_counts_for_the_deadline(port: Postgres) -> None:
    slow = asyncio.create_task(port.rows("select pg_sleep(60)"))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    with pytest.raises(PostgresUnavailable):
        await port.value("select 1", deadline_ms=100)
    assert time.monotonic() - began < 30
    with pytest.raises(PostgresUnavailable):
        await slow


async def test_cancelled_caller_leaves_the_pool_usable(port: Postgres) -> None:
    task = asyncio.create_task(port.rows("select pg_sleep(5)"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await port.value("select 1") == 1


@pytest.mark.parametrize("sql", ["selec 1", "select 1 / 0", "select * from nowhere"])
async def test_refused_statement_is_no_outage(port: Postgres, sql: str) -> None:
    with pytest.raises(PostgresRefused):
        await port.rows(sql)
    assert await port.value("select 1") == 1


async def test_value_of_the_wrong_type_is_refused_and_no_outage(port: Postgres) -> None:
    with pytest.raises(PostgresRefused):
        await port.rows("select $1::bigint", "text")


async def test_closed_port_is_unavailable(port: Postgres) -> None:
    await port.close()
    with pytest.raises(PostgresUnavailable):
        await port.value("select 1")


async def test_unknown_database_is_unavailable_with_its_name(pg_server: PostgresServer) -> None:
    port = Postgres(pg_server.dsn.replace("/sluice?", "/nowhere?"))
    with pytest.raises(PostgresUnavailable, match="nowhere"):
        await port.value("select 1")
    await port.close()


async def test_frozen_server_is_given_up_at_the_deadline_and_used_again_when_it_thaws(
    port: Postgres, pg_server: PostgresServer
) -> None:
    pids = [await port.value("select pg_backend_pid()"), pg_server.pid]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(3):  # first the open line, then lines that can't be opened
            began = time.monotonic()
            with pytest.raises(PostgresUnavailable):
                await port.value("select 1")
            assert time.monotonic() - began < 30
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert await port.value("select 1", deadline_ms=60_000) == 1


async def test_port_made_before_its_server_works_once_it_is_there_and_after_a_kill(
    servers_folder: Path,
) -> None:
    server = PostgresServer(servers_folder / "late")
    port = Postgres(f"postgresql://postgres@/sluice?host={servers_folder}", role=None)
    with pytest.raises(PostgresUnavailable):
        await port.value("select 1")
    await port.close()
    await server.start()
    port = Postgres(server.dsn, role=None)
    try:
        assert await port.value("select 1") == 1
        os.kill(server.pid, signal.SIGKILL)
        await server.wait_dead()
        # A backend may answer once more before it sees that its postmaster is gone.
        with pytest.raises(PostgresUnavailable):
            await _ask_for_a_second(port)
        await server.start()
        assert await port.value("select 1") == 1
    finally:
        await port.close()
        await server.stop()


async def _ask_for_a_second(port: Postgres) -> None:
    for _ in range(2_000):
        await port.value("select 1")
        await asyncio.sleep(0.01)
