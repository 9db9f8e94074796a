"""A trace goes through a service to those that it asks, and ends with its request."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
from aiohttp import web

from services import trace_context
from services.deepsearch.neighbours import Caller, Neighbour
from services.serving import build_app
from services.settings import load
from tests.services.asking import SECRET, signed_headers

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def _listening(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def outer() -> AsyncIterator[str]:
    """A service that asks another one, from a task of its own, and tells what that one saw."""

    async def see(request: web.Request) -> web.Response:
        seen = {name: request.headers.get(name) for name in ("traceparent", "tracestate")}
        return web.json_response(seen, headers={"x-usage-tokens": "1"})

    inner = web.Application()
    inner.router.add_post("/", see)
    runner, base = await _listening(inner)
    near = Neighbour("reader", base, SECRET.encode())

    async def ask(_request: web.Request) -> web.Response:
        caller = Caller("k:7", "0192f7c8-5e1f-7cc0-8d8e-2f3d5c6b7a89")
        asking = asyncio.create_task(near.post("/", {}, caller, time.monotonic() + 5))
        return web.json_response((await asking).document)

    def envelope(_request: web.Request, status: int, text: str) -> web.Response:
        return web.Response(status=status, text=text)

    app = build_app(load({"SLUICE_INTERNAL_SECRET": SECRET}), ask, envelope, 1_024)
    outside, address = await _listening(app)
    yield address
    await outside.cleanup()
    await near.close()
    await runner.cleanup()


async def _seen(session: aiohttp.ClientSession, base: str, context: Mapping[str, str]) -> object:
    headers = {**signed_headers("GET", "/"), **context}
    async with session.get(f"{base}/", headers=headers) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


async def test_the_context_goes_on_and_the_next_request_has_none_of_it(outer: str) -> None:
    context = {"traceparent": PARENT, "tracestate": "a=1"}
    nothing = {"traceparent": None, "tracestate": None}
    # One connection, so that both requests run in the same task of the server.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        assert await _seen(session, outer, context) == context
        assert await _seen(session, outer, {}) == nothing
        assert await _seen(session, outer, {"traceparent": PARENT}) == {
            **nothing,
            "traceparent": PARENT,
        }
    assert trace_context.passed_on() == {}
