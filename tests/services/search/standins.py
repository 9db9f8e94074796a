"""Stand-ins that speak the providers' own languages, and misbehave on demand."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from tests.services.site import end_the_rest

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """One request that a stand-in got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None


@dataclass
class Standin:
    """One server for all providers, in a thread of its own. `answers` by path, or by path and q."""

    answers: dict[str, Any] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    port: int = 0

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.port = self._runner.addresses[0][1]

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        asyncio.run_coroutine_threadsafe(end_the_rest(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, query: str) -> list[Seen]:
        """The requests whose query was `query`."""
        return [
            one for one in self.seen if query in (one.query.get("q"), (one.body or {}).get("q"))
        ]

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._reply)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read() or b"null")
        query = dict(request.query)
        self.seen.append(Seen(request.method, request.path, query, dict(request.headers), body))
        word = query.get("q") or (body or {}).get("q") or ""
        answer = self.answers.get(f"{request.path} {word}", self.answers.get(request.path))
        match answer:
            case "429":
                return web.Response(status=429, text="slow down")
            case "500":
                return web.Response(status=500, text="<h1>oops</h1>")
            case "silent":
                await asyncio.sleep(30)
                return web.Response()
            case "redirect":
                return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})
            case "huge":
                return web.Response(body=b"[" + b" " * 3_000_000 + b"]")
            case "cut":
                response = web.StreamResponse(headers={"Content-Length": "5000"})
                await response.prepare(request)
                await response.write(b'{"results": [')
                assert request.transport is not None
                request.transport.close()
                return response
            case bytes():
                return web.Response(body=answer, content_type="application/json")
            case None:
                return web.Response(status=404)
        return web.Response(body=orjson.dumps(answer), content_type="application/json")


def searxng(*rows: dict[str, Any]) -> dict[str, Any]:
    """An answer of SearXNG with these rows."""
    return {
        "query": "q",
        "number_of_results": 0,
        "results": list(rows),
        "answers": [],
        "corrections": [],
        "infoboxes": [],
        "suggestions": [],
        "unresponsive_engines": [["bing", "timeout"]],
    }


def row(url: str, title: str = "T", content: str = "C", **more: Any) -> dict[str, Any]:
    """One result of SearXNG."""
    return {"url": url, "title": title, "content": content, "engine": "duckduckgo", **more}
