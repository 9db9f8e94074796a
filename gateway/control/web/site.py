"""The doors of the web side: finds the handler, the session and the language, sends the answer.

1. A write must come from a page of ours (Origin), and with a session's own token where it has one.
2. A key that was revoked elsewhere ends its session here.
3. Nothing that is sent names a key, but the one answer that shows a new one.

Refuses to be read by another origin: no answer of these doors has a CORS header.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from gateway.control.call import Reply, Stream, body_of
from gateway.control.desk_parts import DeskParts
from gateway.control.web import (
    account_calls,
    headers,
    key_calls,
    opening,
    refusals,
    sign_in,
    views,
)
from gateway.control.web.cookies import is_same_origin
from gateway.control.web.page_door import PageDoor
from gateway.control.web.sessions import may_write
from gateway.control.web.statics import StaticFile
from gateway.control.web.visit import Visit, Web, visit_of
from gateway.edge import refusals as of_all
from gateway.edge.exchange import Exchange
from gateway.edge.hosts import Route
from gateway.edge.problems import render
from gateway.errors import PostgresUnavailable, Problem
from gateway.products.product import Family

Handler = Callable[[Visit], Awaitable[Reply | Stream | Problem]]
_YEAR_S: Final = 31_536_000
_SAFE: Final = frozenset(("GET", "HEAD"))


class Needs(IntEnum):
    """Who must be signed in."""

    NOBODY = 0
    SESSION = 1
    KEY = 2
    ACCOUNT = 3


@dataclass(frozen=True, slots=True)
class _Entry:
    handler: Handler
    needs: Needs = Needs.NOBODY
    needs_billing: bool = False


async def _status(visit: Visit) -> Reply:
    return Reply(200, await views.status_document(visit))


async def _limits(visit: Visit) -> Reply:
    return Reply(200, views.limits_document(visit))


_ENTRIES: Final[Mapping[str, _Entry]] = {
    "web.session.show": _Entry(opening.show),
    "web.session.open": _Entry(opening.by_key),
    "web.session.choose": _Entry(opening.choose, Needs.ACCOUNT),
    "web.session.close": _Entry(opening.close, Needs.SESSION),
    "web.mint": _Entry(opening.mint),
    "web.sign_in.start": _Entry(sign_in.start),
    "web.sign_in.finish": _Entry(sign_in.finish),
    "web.sign_in.provider": _Entry(sign_in.back),
    "web.overview": _Entry(key_calls.overview, Needs.KEY),
    "web.usage": _Entry(key_calls.usage, Needs.KEY),
    "web.export": _Entry(key_calls.export, Needs.KEY),
    "web.request": _Entry(key_calls.request, Needs.KEY),
    "web.budget": _Entry(key_calls.budget, Needs.KEY),
    "web.transfer": _Entry(key_calls.transfer, Needs.KEY),
    "web.revoke": _Entry(key_calls.revoke, Needs.KEY),
    "web.packs": _Entry(key_calls.packs, needs_billing=True),
    "web.orders": _Entry(key_calls.orders, Needs.KEY, needs_billing=True),
    "web.checkout": _Entry(key_calls.checkout, Needs.KEY, needs_billing=True),
    "web.recharge.show": _Entry(key_calls.recharge, Needs.KEY, needs_billing=True),
    "web.recharge.allow": _Entry(key_calls.allow_recharge, Needs.KEY, needs_billing=True),
    "web.recharge.stop": _Entry(key_calls.stop_recharge, Needs.KEY, needs_billing=True),
    "web.account.show": _Entry(account_calls.show, Needs.ACCOUNT),
    "web.account.drop": _Entry(account_calls.drop, Needs.ACCOUNT),
    "web.account.add": _Entry(account_calls.add, Needs.ACCOUNT),
    "web.account.change": _Entry(account_calls.change, Needs.ACCOUNT),
    "web.account.forget": _Entry(account_calls.forget, Needs.ACCOUNT),
    "web.status": _Entry(_status),
    "web.limits": _Entry(_limits),
}


class Site:
    """Answers Kind.WEB."""

    def __init__(self, parts: DeskParts, web: Web) -> None:
        self._parts = parts
        self._web = web
        self._pages = PageDoor(parts, web)

    async def answer(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """One request of a browser."""
        if route.name == "web.static":
            await self._static(exchange, route, request_id)
        elif route.name.startswith("page."):
            await self._pages.answer(exchange, route, request_id)
        else:
            await self._call(exchange, route, request_id)

    async def _static(self, exchange: Exchange, route: Route, request_id: str) -> None:
        found = self._web.statics.find(route.parameters[0])
        if found is None:
            await self._refuse(exchange, of_all.not_found("file", route.parameters[0]), request_id)
            return
        first = f"x-request-id: {request_id}\r\n".encode("ascii")
        lines, body = _static_lines(exchange, found)
        unchanged = exchange.headers.get("If-None-Match") == found.etag
        await exchange.send(
            304 if unchanged else 200,
            first + lines + headers.of_data(exchange),
            b"" if unchanged else body,
        )

    async def _call(self, exchange: Exchange, route: Route, request_id: str) -> None:
        told, visit = await self._told(exchange, route, request_id)
        if isinstance(told, Problem):
            await self._refuse(exchange, told, request_id)
            return
        more = headers.of_data(exchange)
        if isinstance(told, Stream):
            await _stream(exchange, told, told.lines(request_id) + more)
            return
        if visit is not None and visit.session is not None and "set-cookie" not in told.headers:
            # Being used keeps a session alive, in the browser too.
            kept = opening.cookie_of(visit, visit.session)
            told = replace(told, headers={**told.headers, **kept})
        lines, body = told.encode(request_id)
        await exchange.send(told.status, lines + more, body)

    async def _told(
        self, exchange: Exchange, route: Route, request_id: str
    ) -> tuple[Reply | Stream | Problem, Visit | None]:
        entry = _ENTRIES[route.name]
        writes = exchange.method not in _SAFE
        if writes and not is_same_origin(exchange):
            return refusals.foreign_origin(), None
        visit = await visit_of(self._parts, self._web, exchange, route, request_id)
        problem = await self._unfit(visit, entry, writes=writes)
        if problem is None and entry.needs_billing and self._parts.billing is None:
            problem = of_all.billing_not_configured()
        if problem is not None:
            return problem, None
        if writes:
            body = await body_of(exchange)
            if isinstance(body, Problem):
                return body, None
            visit = replace(visit, body=body)
        return await entry.handler(visit), visit

    async def _unfit(self, visit: Visit, entry: _Entry, *, writes: bool) -> Problem | None:
        if entry.needs is Needs.NOBODY:
            return None
        session = visit.session
        if session is None:
            return refusals.session_needed()
        if writes and not may_write(visit.exchange, session):
            return refusals.foreign_origin()
        if entry.needs is Needs.ACCOUNT and session.account_id is None:
            return refusals.account_needed()
        if entry.needs is not Needs.KEY:
            return None
        if session.key_id is None:
            return refusals.key_needed()
        row = await self._parts.book.load_balance(session.key_id)
        if row is not None and row.status != "revoked":
            return None
        await key_calls.without_key(visit, Reply(200, None))
        return of_all.revoked()

    async def _refuse(self, exchange: Exchange, problem: Problem, request_id: str) -> None:
        self._parts.telemetry.refusals.labels(problem.code).inc()
        status, pairs, body = render(problem, Family.API, request_id)
        more = headers.of_data(exchange)
        await exchange.send(status, headers.lines(pairs) + more, body)


async def _stream(exchange: Exchange, stream: Stream, lines: bytes) -> None:
    """The pieces as they come. A fault before the first is told, one after it cuts the answer."""
    first = await anext(stream.pieces, b"")
    await exchange.start(200, lines, None)
    await exchange.write(first)
    try:
        async for piece in stream.pieces:
            await exchange.write(piece)
    except PostgresUnavailable:
        exchange.break_off()
        return
    await exchange.finish()


def _static_lines(exchange: Exchange, found: StaticFile) -> tuple[bytes, bytes]:
    pairs = [
        ("content-type", found.content_type),
        ("cache-control", f"public, max-age={_YEAR_S}, immutable"),
        ("etag", found.etag),
        ("vary", "Accept-Encoding"),
    ]
    if found.packed is not None and headers.takes_gzip(exchange):
        return headers.lines([*pairs, ("content-encoding", "gzip")]), found.packed
    return headers.lines(pairs), found.body
