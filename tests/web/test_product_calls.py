"""Products called from a page by its session: the same door as with the key, and no other one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.control.rig import COST_TOKENS, Door
from tests.web.browser import Browser

READ = "/web/call/r/https://example.com/"


@pytest.fixture
async def streaming() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A deepsearch that says something and goes on only when it is told to."""
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        told = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await told.prepare(request)
        await told.write(b'data: {"choices": [{"delta": {"content": "think"}}]}\n\n')
        await go_on.wait()
        await told.write(b'data: {"choices": [], "usage": {"total_tokens": 90}}\n\n')
        return told

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", go_on
    await runner.cleanup()


@pytest.mark.parametrize("host", ["", "dash.localhost"])
async def test_call_of_a_page_is_charged_to_the_key_of_its_session(door: Door, host: str) -> None:
    key = (await door.mint())["api_key"]
    browser = Browser(door.port, host=host)
    await browser.enter(key)
    told = await browser.call("GET", READ)
    assert (told.status, told.text) == (200, "a page")
    assert told["x-usage-tokens"] == str(COST_TOKENS)
    told = await browser.call("POST", "/web/call/v1/segment", {"content": "x"})
    assert (told.status, told["x-usage-tokens"]) == (200, "0")
    balance = (await door.me(key))["balance"]
    assert balance["trial"] == 10_000_000 - COST_TOKENS
    recent = (await browser.call("GET", "/web/overview")).json()["recent"]
    assert {each["product"] for each in recent} == {"reader", "segment"}


async def test_limits_of_the_key_count_calls_of_its_pages_and_its_own_together(
    door: Door,
) -> None:
    minted = await door.mint()
    limits = {"reader": {"rpm": 3}}
    await door.ops("PUT", f"/admin/keys/{minted['key_id']}/limits", document=limits)
    browser = Browser(door.port)
    await browser.enter(minted["api_key"])
    await door.spend(minted["api_key"])
    assert (await browser.call("GET", READ)).status == 200
    assert (await browser.call("GET", READ))["x-ratelimit-remaining-requests"] == "0"
    told = await browser.call("GET", READ)
    assert (told.status, told.json()["reason"]) == (429, "RATE_REQUEST_LIMIT_EXCEEDED")
    await door.spend(minted["api_key"], expected=429)


async def test_without_session_token_or_own_origin_a_page_calls_nothing(
    door: Door, browser: Browser
) -> None:
    key = (await door.mint())["api_key"]
    told = await door.ask("GET", READ, bearer=key)
    assert (told.status, told.json()["reason"]) == (401, "SESSION_NEEDED")
    await browser.enter(key)
    good = {"X-Csrf-Token": str(browser.token)}
    for headers in ({}, {"X-Csrf-Token": "0"}, {**good, "Origin": "https://evil.example"}):
        told = await browser.bare("GET", READ, **headers)
        assert (told.status, told.json()["reason"]) == (403, "SESSION_ORIGIN_REFUSED")
    # A browser sends no Origin with a GET to its own origin.
    assert (await browser.bare("GET", READ, **good)).status == 200
    # Anywhere else a session is nobody.
    told = await browser.call("POST", "/v1/embeddings", {"input": ["x"], "model": "m"}, **good)
    assert told.status == 401
    assert (await door.me(key))["balance"]["trial"] == 10_000_000 - COST_TOKENS


async def test_only_products_are_called_that_way(door: Door, browser: Browser) -> None:
    await browser.enter((await door.mint())["api_key"])
    for method, path in (
        ("DELETE", "/web/call/v1/keys/me"),
        ("GET", "/web/call/v1/keys/me"),
        ("GET", "/web/call/web/call/r/https://example.com/"),
        ("GET", "/web/call" * 1500 + "/"),
        ("GET", "/web/call/"),
        ("GET", "/web/call/web/session"),
        ("GET", "/web/callr/https://example.com/"),
    ):
        told = await browser.call(method, path)
        assert told.status == 404, (path, told)
    assert (await browser.call("GET", "/web/call/v1/price")).status == 405
    priced = await browser.call(
        "GET", READ, None, **{"Prefer": "dry-run", "X-Csrf-Token": str(browser.token)}
    )
    assert (priced.status, priced["x-usage-tokens"]) == (200, "0")
    assert priced.json()["product"] == "reader"


async def test_answers_stream_to_the_page(open_door: Any, streaming: Any) -> None:
    url, go_on = streaming
    async with open_door(SERVICE_DEEPSEARCH_URL=url) as door:
        key = (await door.mint())["api_key"]
        browser = Browser(door.port)
        await browser.enter(key)
        body = b'{"stream": true, "messages": [{"role": "user", "content": "why?"}]}'
        lines = (
            f"POST /web/call/v1/chat/completions HTTP/1.1\r\nHost: {browser.name}\r\n"
            f"Origin: http://{browser.name}\r\nX-Csrf-Token: {browser.token}\r\n"
            f"Cookie: sluice_session={browser.jar['sluice_session']}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        try:
            writer.write(lines.encode() + body)
            async with asyncio.timeout(60):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert b"think" in await reader.readuntil(b"\n\n")
                # The rest is not even made yet.
                go_on.set()
                assert await reader.readuntil(b"total_tokens")
                await reader.readuntil(b"\r\n0\r\n")
        finally:
            writer.close()
        assert (await door.me(key))["balance"]["trial"] == 10_000_000 - 90


async def test_revoked_key_calls_nothing_from_its_page(door: Door, browser: Browser) -> None:
    key = (await door.mint())["api_key"]
    await browser.enter(key)
    assert (await browser.call("GET", READ)).status == 200
    assert (await door.ask("DELETE", "/v1/keys/me", bearer=key)).status == 200
    told = await browser.call("GET", READ)
    assert (told.status, told.json()["reason"]) == (401, "AUTH_API_KEY_REVOKED")


async def test_service_sees_neither_cookie_nor_token(open_door: Any) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(f"{request.raw_path} {sorted(request.headers.items())}")
        return web.Response(text="a page", headers={"x-usage-tokens": "1"})

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with open_door(SERVICE_READER_URL=f"http://127.0.0.1:{runner.addresses[0][1]}") as door:
        browser = Browser(door.port)
        await browser.enter((await door.mint())["api_key"])
        assert (await browser.call("GET", READ)).status == 200
        (told,) = seen
        assert told.startswith("/https://example.com/ ")
        for secret in (browser.jar["sluice_session"], str(browser.token), "/web/call"):
            assert secret not in told
    await runner.cleanup()


async def test_what_a_service_answers_never_runs_as_a_script_of_ours(
    open_door: Any,
) -> None:
    async def page(_request: web.Request) -> web.Response:
        text = "<script>fetch('/web/session')</script>"
        return web.Response(text=text, content_type="text/html", headers={"x-usage-tokens": "1"})

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", page)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with open_door(SERVICE_READER_URL=url) as door:
        told = await door.ask("GET", "/r/https://evil.example/")
        assert told.status == 200
        assert told["content-security-policy"] == "sandbox"
        assert told["x-content-type-options"] == "nosniff"
    await runner.cleanup()
