"""The operations listener: metrics, probes and the admin API; never public.

Refuses every admin call without the bearer token, compared in constant time, before it reads
anything else of the request.
"""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, Final

import orjson
from aiohttp import web

from gateway.control.admin import Admin
from gateway.control.admin_billing import AdminBilling
from gateway.control.admin_books import AdminBooks
from gateway.control.admin_catalogue import AdminCatalogue
from gateway.control.call import Reply, Stream
from gateway.control.ops_parts import OpsParts
from gateway.edge import refusals
from gateway.edge.problems import render
from gateway.edge.request_ids import new_request_id
from gateway.errors import Fault, PostgresUnavailable, Problem, RedisUnavailable
from gateway.products.product import Family
from gateway.telemetry.exposition import CONTENT_TYPE
from gateway.units import KIB

_MOST_BYTES: Final = 64 * KIB
_RETRY_MS: Final = 1_000
_SCHEME: Final = "bearer"
_OFFERED: Final = ("/metrics", "/ready", "/health", "/live", "/admin/... (README, Operate)")
Answer = Callable[[Mapping[str, str], Mapping[str, str], Any], Awaitable[Reply | Stream | Problem]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def operations(parts: OpsParts) -> AsyncIterator[int]:
    """Listen on OPS_BIND:OPS_PORT while the context is open; yields the port."""
    runner = web.AppRunner(_application(parts), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, parts.settings.ops_bind, parts.settings.ops_port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _application(parts: OpsParts) -> web.Application:
    probes, admin, books = _Probes(parts), Admin(parts), AdminBooks(parts.book)
    billing = AdminBilling(parts.till)
    catalogue = AdminCatalogue(parts.reload, parts.held)
    application = web.Application(client_max_size=_MOST_BYTES, middlewares=[_in_json])
    calls: tuple[tuple[str, str, Answer], ...] = (
        ("POST", "/admin/keys", admin.mint),
        ("GET", "/admin/keys", admin.find),
        ("GET", "/admin/keys/{key_id}", admin.show),
        ("POST", "/admin/keys/{key_id}/credit", admin.credit),
        ("PUT", "/admin/keys/{key_id}/limits", admin.limits),
        ("PUT", "/admin/keys/{key_id}/status", admin.status),
        ("PUT", "/admin/keys/{key_id}/owner", admin.owner),
        ("GET", "/admin/reconcile", admin.reconcile),
        ("GET", "/admin/keys/{key_id}/usage/export", books.export),
        ("GET", "/admin/keys/{key_id}/usage/days", books.days),
        ("GET", "/admin/closed-days", books.published),
        ("GET", "/admin/canary", books.canary),
        ("GET", "/admin/catalogue", catalogue.show),
        ("POST", "/admin/catalogue/reload", catalogue.reload),
        ("GET", "/admin/billing", billing.show),
        ("POST", "/admin/billing/orders/{order_id}/release", billing.release),
    )
    application.router.add_get("/metrics", probes.metrics)
    application.router.add_get("/live", probes.live)
    application.router.add_get("/health", probes.ready)
    application.router.add_get("/ready", probes.ready)
    for method, path, answer in calls:
        application.router.add_route(method, path, _guarded(parts, answer))
    return application


class _Probes:
    def __init__(self, parts: OpsParts) -> None:
        self._parts = parts

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._parts.metrics(), headers={"content-type": CONTENT_TYPE})

    async def live(self, _request: web.Request) -> web.Response:
        return _reply(Reply(200, {"status": "ok"}))

    async def ready(self, _request: web.Request) -> web.Response:
        found = await self._parts.readiness.look()
        return _reply(Reply(found.http_status, found.document()))


def _guarded(parts: OpsParts, answer: Answer) -> Handler:
    token = parts.settings.admin_token

    async def handle(request: web.Request) -> web.StreamResponse:
        if not token or not _may(request.headers.get("Authorization", ""), token):
            return _problem(Problem("AUTH_ADMIN", 401, "The admin token is missing or wrong"))
        body = await _body(request)
        if isinstance(body, Problem):
            return _problem(body)
        try:
            answered = await answer(request.match_info, request.query, body)
            first = await anext(answered.pieces, b"") if isinstance(answered, Stream) else b""
        except (PostgresUnavailable, RedisUnavailable) as fault:
            text = f"Please repeat it, which is harmless: {fault}"
            return _problem(Problem("SERVICE_DEGRADED", 503, text, _RETRY_MS))
        except Fault as fault:
            return _problem(Problem("INTERNAL_ERROR", 500, f"It was refused: {fault}"))
        if isinstance(answered, Stream):
            return await _stream(request, answered, first)
        return _problem(answered) if isinstance(answered, Problem) else _reply(answered)

    return handle


def _may(header: str, token: str) -> bool:
    scheme, _, sent = header.partition(" ")
    # Digests, so that the time of the comparison tells nothing of the token's length either.
    given = sha256(sent.strip().encode("utf-8", "surrogateescape")).digest()
    right = sha256(token.encode("utf-8", "surrogateescape")).digest()
    return hmac.compare_digest(given, right) and scheme.lower() == _SCHEME


async def _body(request: web.Request) -> Any:
    """The JSON that was sent. An absent body is an empty object, which is not the same as null."""
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return refusals.body_unreadable(str(error))


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allow = ", ".join(sorted(error.allowed_methods))
        return _problem(
            refusals.method_not_allowed(request.method, request.rel_url.raw_path, allow)
        )
    except web.HTTPRequestEntityTooLarge:
        return _problem(refusals.body_too_large(_MOST_BYTES))
    except web.HTTPNotFound:
        return _problem(refusals.unknown_path(request.method, request.rel_url.raw_path, _OFFERED))
    except web.HTTPException as error:
        return _problem(Problem("OPERATIONS", error.status, error.reason))


async def _stream(request: web.Request, stream: Stream, first: bytes) -> web.StreamResponse:
    headers = {"cache-control": "no-store", "content-type": stream.content_type, **stream.headers}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    try:
        await response.write(first)
        async for piece in stream.pieces:
            await response.write(piece)
    except PostgresUnavailable:
        # The end is missing, which the reader sees: chunks without a last one.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _reply(reply: Reply) -> web.Response:
    return web.Response(
        body=orjson.dumps(reply.document),
        status=reply.status,
        content_type="application/json",
        headers={"cache-control": "no-store"},
    )


def _problem(problem: Problem) -> web.Response:
    status, headers, body = render(problem, Family.API, new_request_id())
    return web.Response(body=body, status=status, headers=headers)
