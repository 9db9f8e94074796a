"""The operations listener: metrics, probes and the admin API; never public.

Refuses every admin call without the bearer token, compared in constant time.
"""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from aiohttp import web

from gateway.control.admin import Admin, Answered
from gateway.control.ops_parts import OpsParts
from gateway.errors import PostgresUnavailable, Problem, RedisUnavailable
from gateway.telemetry import exposition
from gateway.units import KIB

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MOST_BYTES: Final = 64 * KIB
Call = Callable[[Mapping[str, str], Mapping[str, str], Any], Awaitable[Answered]]


@asynccontextmanager
async def operations(parts: OpsParts) -> AsyncIterator[None]:
    """Listen on OPS_BIND:OPS_PORT while the context is open."""
    runner = web.AppRunner(_application(parts), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, parts.settings.ops_bind, parts.settings.ops_port)
        await site.start()
        yield
    finally:
        await runner.cleanup()


def _application(parts: OpsParts) -> web.Application:
    probes, admin = _Probes(parts), Admin(parts)
    application = web.Application(client_max_size=_MOST_BYTES)
    routes: list[tuple[str, str, Call]] = [
        ("POST", "/admin/keys/{key_id}/credit", admin.credit),
        ("PUT", "/admin/keys/{key_id}/limits", admin.limits),
        ("PUT", "/admin/keys/{key_id}/status", admin.status),
        ("GET", "/admin/keys", admin.find),
        ("GET", "/admin/keys/{key_id}", admin.show),
        ("GET", "/admin/reconcile", admin.reconcile),
    ]
    application.router.add_get("/metrics", probes.metrics)
    application.router.add_get("/live", probes.live)
    application.router.add_get("/ready", probes.ready)
    application.router.add_get("/health", probes.live)
    for method, path, call in routes:
        application.router.add_route(method, path, _guarded(parts, call))
    application.middlewares.append(_in_json)
    return application


class _Probes:
    def __init__(self, parts: OpsParts) -> None:
        self._parts = parts

    async def metrics(self, _request: web.Request) -> web.Response:
        text = exposition(self._parts.settings.metrics_dir, self._parts.telemetry)
        return web.Response(body=text, headers={"content-type": _METRICS_TYPE})

    async def live(self, _request: web.Request) -> web.Response:
        return _reply({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """503 only when nothing could be answered: both stores are away (or none is known)."""
        redis, postgres = "ok" if self._parts.link.is_up else self._parts.link.reason, "ok"
        try:
            await self._parts.postgres.value("select 1")
        except PostgresUnavailable as fault:
            postgres = str(fault) or "unavailable"
        down = [name for name, state in (("redis", redis), ("postgres", postgres)) if state != "ok"]
        status = {0: "ok", 1: "degraded"}.get(len(down), "not ready")
        document = {"status": status, "redis": redis, "postgres": postgres}
        return _reply(document, 503 if len(down) > 1 else 200)


def _guarded(parts: OpsParts, call: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
    token = (parts.settings.admin_token or "").encode()

    async def handle(request: web.Request) -> web.Response:
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        if not token or not hmac.compare_digest(sent, token):
            return _problem(Problem("AUTH_ADMIN", 401, "The admin token is missing or wrong"))
        body = await _body(request)
        if isinstance(body, Problem):
            return _problem(body)
        try:
            answered = await call(request.match_info, request.query, body)
        except (PostgresUnavailable, RedisUnavailable) as fault:
            return _problem(Problem("SERVICE_DEGRADED", 503, f"Please retry: {fault}", 1_000))
        return _problem(answered) if isinstance(answered, Problem) else _reply(answered)

    return handle


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return Problem("INPUT_INVALID", 400, f"The body is no JSON: {error}")


@web.middleware
async def _in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        text = f"{request.method} {request.path}: {error.reason}"
        return _problem(Problem("OPERATIONS", error.status, text))


def _reply(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


def _problem(problem: Problem) -> web.Response:
    return _reply({"detail": problem.detail, "code": problem.code}, problem.status)
