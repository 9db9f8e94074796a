"""Fixtures of the suite: one embedded PostgreSQL and Redis per run, a fresh database per test.

`database` is the DSN of a database of its own with sql/schema.sql applied: a copy of a template
that is filled once per run (see databases.py). `redis_url` is the run's Redis, emptied.
"""

import asyncio
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from gateway.edge.overload import Overload
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import redis_command
from tests.databases import Databases, execute, of_database
from tests.faults.quarter import quarter_of_today

# A test that hangs fails, instead of the whole run. The longest takes 20 s, on a busy machine 50.
_LONGEST_S = 300
SCHEMA = Path(__file__).resolve().parent.parent / "sql" / "schema.sql"
TEMPLATE = "sluice_template"


def pytest_configure() -> None:
    """No clock decides about an example: 200 ms of a busy machine say nothing about it.

    New examples are looked for by whoever works here; CI asks whether a change broke something.
    """
    settings.register_profile(
        "suite",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
        derandomize="CI" in os.environ,
    )
    settings.load_profile("suite")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which cells of the fault matrix this run was for."""
    terminalreporter.write_line(f"fault matrix: FAULTS_QUARTER={quarter_of_today()}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """What a test needs is there in time, or it fails."""
    with _ending(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Every test ends."""
    with _ending(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """So does the tidying up behind it; what a failed one has left open fails no other one."""
    if hasattr(sys, "last_value"):
        # Its frames would go only when the next test begins, with all that they hold.
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            if hasattr(sys, name):
                delattr(sys, name)
        gc.collect()
    with _ending(item):
        yield


@contextmanager
def _ending(item: pytest.Item) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"{item.nodeid} has not ended after {_LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(_LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session", autouse=True)
def unhurried() -> Iterator[None]:
    """A gateway inside a test's process sheds nobody because the process is late.

    It shares its loop, or its interpreter, with the test, whose work is not its overload. Those in
    processes of their own measure as ever.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Overload, "_tick", Overload._arm)
        yield


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
def databases(pg_server: PostgresServer) -> Databases:
    """The run's databases."""
    made = Databases(pg_server.dsn, TEMPLATE)
    asyncio.run(made.look())
    return made


@pytest.fixture
async def database(pg_server: PostgresServer, databases: Databases) -> AsyncIterator[str]:
    """DSN of a database with the schema and nothing else; whoever is connected at the end goes."""
    name = await databases.take()
    yield of_database(pg_server.dsn, name)
    await databases.give_back(name)


@pytest.fixture
async def redis_url(redis_server: RedisServer) -> str:
    """URL of the run's Redis, emptied of data and scripts."""
    reader, writer = await asyncio.open_unix_connection(str(redis_server.socket))
    assert await redis_command(reader, writer, "FLUSHALL") == "OK"
    assert await redis_command(reader, writer, "SCRIPT", "FLUSH") == "OK"
    writer.close()
    await writer.wait_closed()
    return redis_server.url


async def _make_template(dsn: str) -> None:
    await execute(dsn, f"CREATE DATABASE {TEMPLATE}")
    if SCHEMA.exists():
        await execute(of_database(dsn, TEMPLATE), SCHEMA.read_text(encoding="utf-8"))
