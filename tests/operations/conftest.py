"""The gateways of the tests of the control plane, for what operators read of them."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from multidict import CIMultiDict

from tests.control.conftest import door, open_door
from tests.control.rig import COST_TOKENS

__all__ = ["door", "open_door"]


class Asked(list[CIMultiDict[str]]):
    """The headers of every request that the service got."""


@pytest.fixture
def asked() -> Asked:
    """Filled by the service."""
    return Asked()


@pytest.fixture
async def service(asked: Asked) -> AsyncIterator[str]:
    """A service that answers everything, reports COST_TOKENS, and remembers what it was told."""

    async def answer(request: web.Request) -> web.Response:
        asked.append(CIMultiDict(request.headers))
        if "fail" in request.path:
            return web.Response(status=500)
        return web.Response(text="a page", headers={"x-usage-tokens": str(COST_TOKENS)})

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
