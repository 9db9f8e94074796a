"""Gateways for the tests of the control plane, each on a fresh database and an empty Redis."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from aiohttp import web

from tests.control.rig import COST_TOKENS, Door, gateway, settings_for

Open = Callable[..., AbstractAsyncContextManager[Door]]


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


@pytest.fixture
def open_door(tmp_path: Path, database: str, redis_url: str, service: str) -> Open:
    """Opens a gateway; settings by name, `with_worker` for the background work."""

    def opened(*, with_worker: bool = False, **more: str) -> AbstractAsyncContextManager[Door]:
        settings = settings_for(tmp_path, database, redis_url, service, more)
        return gateway(settings, with_worker=with_worker)

    return opened


@pytest.fixture
async def door(open_door: Open) -> AsyncIterator[Door]:
    """One gateway."""
    async with open_door() as opened:
        yield opened
