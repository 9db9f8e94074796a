"""Gateways in this process on servers that a test may kill, freeze, fill or make read-only."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway import app
from gateway.commands.migrate import bring_up_to_date
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from tests.control.rig import COST_TOKENS, Door, gateway, settings_for, until
from tests.embedded.processes import family

__all__ = ["Stage", "frozen", "until"]
# By itself, after the fault's end.
RECOVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Own servers, and gateways on them; nodes of one machine share `folder`."""

    folder: Path
    postgres: PostgresServer
    redis: RedisServer
    service: str

    def open(
        self, *, with_worker: bool = False, node: str = "house", dsn: str = "", **more: str
    ) -> AbstractAsyncContextManager[Door]:
        """A gateway with its operations listener; another `node` has a folder of its own."""
        more = {"CANARY_EVERY_MS": "0", "REDIS_DEADLINE_MS": "500", **more}
        folder = self.folder / node
        settings = settings_for(
            folder, dsn or self.postgres.dsn, self.redis.url, self.service, more
        )
        return gateway(settings, with_worker=with_worker)

    @asynccontextmanager
    async def worker(self, node: str = "house") -> AsyncIterator[app.Ground]:
        """Only what one process of a machine does beside the gateways."""
        more = {"CANARY_EVERY_MS": "0"}
        folder = self.folder / node
        settings = settings_for(folder, self.postgres.dsn, self.redis.url, self.service, more)
        async with app.ground(settings, "worker") as base, app.background(base):
            yield base


@pytest.fixture
async def service() -> AsyncIterator[str]:
    """A service that answers everything and reports COST_TOKENS."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="a page", headers={"x-usage-tokens": str(COST_TOKENS)})

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture(scope="session")
def migrated() -> Iterator[Path]:
    """The folder of a PostgreSQL that has the schema and does not run, to be copied."""

    async def make(folder: Path) -> None:
        server = PostgresServer(folder)
        await server.start()
        await bring_up_to_date(server.dsn)
        await server.stop()

    folder = Path(tempfile.mkdtemp(prefix="sluice-migrated-"))
    folder.chmod(0o755)
    asyncio.run(make(folder))
    yield folder
    shutil.rmtree(folder)


async def copied(source: Path, target: Path) -> None:
    """All of a server's folder, with its owners."""
    words = ("cp", "-a", str(source / "postgres"), str(target))
    process = await asyncio.create_subprocess_exec(*words)
    assert await process.wait() == 0


@pytest.fixture
async def stage(service: str, migrated: Path) -> AsyncIterator[Stage]:
    """PostgreSQL with the schema, Redis, a service."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-degraded-"))
    folder.chmod(0o755)
    await copied(migrated, folder)
    postgres, redis = PostgresServer(folder), RedisServer(folder)
    await asyncio.gather(postgres.start(), redis.start())
    yield Stage(folder, postgres, redis, service)
    await asyncio.gather(postgres.stop(), redis.stop())
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A server with its children stands still: its sockets stay open and nobody answers."""
    everybody = [pid, *(seen.pid for seen in family(pid))]
    for each in everybody:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in everybody:
            os.kill(each, signal.SIGCONT)


async def ready(door: Door) -> tuple[int, dict[str, Any]]:
    """What the operations listener says."""
    told = await door.ops("GET", "/ready", token=None)
    return told.status, told.json()
