"""The doors of the control API: finds the handler, identifies the key, sends the reply.

Refuses a revoked key everywhere; a suspended one may still be looked at by its owner.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.billing.inbox import MOST_BYTES as MOST_WEBHOOK_BYTES
from gateway.control import billing, dash, exporting, giving, owner, pages, recharging
from gateway.control.call import Call, Reply, Stream, body_of, query_of, raw_body_of
from gateway.control.desk_parts import DeskParts
from gateway.control.documents.papers import Papers
from gateway.control.minting import mint
from gateway.control.web.site import Site
from gateway.edge import refusals
from gateway.edge.doors import Kind
from gateway.edge.exchange import Exchange
from gateway.edge.hosts import Route
from gateway.edge.passing import cors_lines
from gateway.edge.pipeline import Door, refuse
from gateway.errors import PostgresUnavailable, Problem

__all__ = ["Desk", "DeskParts"]

# /live says only that the process answers.
_READY: Final = ("ready", "health")
Handler = Callable[[DeskParts, Call], Awaitable[Reply | Stream | Problem]]


@dataclass(frozen=True, slots=True)
class _Entry:
    handler: Handler
    needs_key: bool = False
    takes_body: bool = False
    # The body as it came, at most so many bytes: what it says is worth only with its signature.
    takes_raw_bytes: int = 0
    needs_billing: bool = False
    # Answers also while the ledger is away; whose key it is must be known here by then.
    without_ledger: bool = False


_ENTRIES: Mapping[str, _Entry] = {
    "keys.mint": _Entry(mint, takes_body=True),
    "keys.show": _Entry(owner.show, needs_key=True),
    "keys.revoke": _Entry(giving.revoke, needs_key=True, takes_body=True, without_ledger=True),
    "keys.transfer": _Entry(giving.transfer, needs_key=True, takes_body=True),
    "keys.usage": _Entry(owner.usage, needs_key=True),
    "keys.export": _Entry(exporting.export, needs_key=True),
    "keys.days": _Entry(exporting.days, needs_key=True),
    "closed_days": _Entry(exporting.published),
    "requests.show": _Entry(owner.request, needs_key=True),
    "dash.mint": _Entry(mint, takes_body=True),
    "dash.user": _Entry(dash.user_by_query),
    "dash.authorization": _Entry(dash.user_by_bearer, needs_key=True),
    "dash.transactions": _Entry(dash.transactions, needs_key=True),
    "dash.models": _Entry(dash.models),
    "dash.products": _Entry(billing.dash_products, needs_billing=True),
    "dash.checkout": _Entry(
        billing.dash_checkout, needs_key=True, takes_body=True, needs_billing=True
    ),
    "billing.packs": _Entry(billing.packs, needs_billing=True),
    "billing.checkout": _Entry(
        billing.checkout, needs_key=True, takes_body=True, needs_billing=True
    ),
    "billing.orders": _Entry(billing.orders, needs_key=True, needs_billing=True),
    "billing.recharge.show": _Entry(recharging.show, needs_key=True, needs_billing=True),
    "billing.recharge.allow": _Entry(
        recharging.allow, needs_key=True, takes_body=True, needs_billing=True
    ),
    "billing.recharge.stop": _Entry(recharging.stop, needs_key=True, needs_billing=True),
    "billing.webhook": _Entry(
        billing.webhook, takes_raw_bytes=MOST_WEBHOOK_BYTES, needs_billing=True
    ),
}


class Desk:
    """Answers CONTROL, PROBE, INDEX, WEB and DOCUMENT."""

    def __init__(self, parts: DeskParts, site: Site) -> None:
        self._parts = parts
        self._site = site
        self._papers = Papers(parts.settings, parts.catalogue)

    def doors(self) -> Mapping[Kind, Door]:
        """For the pipeline."""
        return {
            Kind.CONTROL: self.control,
            Kind.PROBE: self.probe,
            Kind.INDEX: self.index,
            Kind.WEB: self.web,
            Kind.DOCUMENT: self._papers.answer,
        }

    async def control(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """One call of the JSON API."""
        entry = _ENTRIES.get(route.name)
        answered = (
            _not_configured(route.name)
            if entry is None
            else await self._answer(entry, exchange, route, request_id)
        )
        await self._send(exchange, route, request_id, answered)

    async def _answer(
        self, entry: _Entry, exchange: Exchange, route: Route, request_id: str
    ) -> Reply | Stream | Problem:
        if entry.needs_billing and self._parts.billing is None:
            return refusals.billing_not_configured()
        key_id, away = None, False
        if entry.needs_key:
            try:
                found = await self._key(exchange, route, needs_key=True, is_change=entry.takes_body)
            except PostgresUnavailable:
                if not entry.without_ledger:
                    raise
                away = True
                found = await self._subject(exchange, route, needs_key=True)
            if isinstance(found, Problem):
                return found
            key_id = found
        body = await body_of(exchange) if entry.takes_body else {}
        if isinstance(body, Problem):
            return body
        most = entry.takes_raw_bytes
        raw = await raw_body_of(exchange, most) if most else b""
        if isinstance(raw, Problem):
            return raw
        query = query_of(exchange.target)
        call = Call(exchange, route, request_id, key_id, query, body, raw, without_ledger=away)
        return await entry.handler(self._parts, call)

    async def _key(
        self, exchange: Exchange, route: Route, *, needs_key: bool, is_change: bool = False
    ) -> int | Problem | None:
        """The id of the key that asks; whether it is revoked is read from the ledger each time.

        What changes something is also refused to a key that was revoked without the ledger.
        """
        key_id = await self._subject(exchange, route, needs_key=needs_key)
        if not isinstance(key_id, int):
            return key_id
        row = await self._parts.book.load_balance(key_id)
        if row is None:
            return refusals.invalid_key()
        ended = is_change and await self._parts.revocations.is_ended(key_id)
        return refusals.revoked() if ended or row.status == "revoked" else key_id

    async def _subject(
        self, exchange: Exchange, route: Route, *, needs_key: bool
    ) -> int | Problem | None:
        subject = await self._parts.identifier.subject(exchange, route.family, needs_key=needs_key)
        return subject if isinstance(subject, Problem) else subject.key_id

    async def probe(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """Whether this door answers; readiness tells its reasons on the operations listener."""
        if route.name in _READY:
            ready = await self._parts.readiness.look()
            reply = Reply(ready.http_status, ready.public())
        else:
            reply = Reply(200, "pone" if route.name == "ping" else {"status": "ok"})
        await self._send(exchange, route, request_id, reply)

    async def index(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """The front page of r. and s., which is also the oldest way to read a balance."""
        key_id = await self._key(exchange, route, needs_key=False)
        if isinstance(key_id, Problem):
            await self._send(exchange, route, request_id, key_id)
            return
        reply = await pages.index(self._parts, exchange, key_id)
        await self._send(exchange, route, request_id, reply)

    async def web(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """The web pages; a client that wants no page gets the front page in plain text."""
        if route.name == pages.FRONT and "text/html" not in exchange.headers.get("Accept", ""):
            await self._send(exchange, route, request_id, pages.front(self._parts, exchange))
            return
        await self._site.answer(exchange, route, request_id)

    async def _send(
        self, exchange: Exchange, route: Route, request_id: str, reply: Reply | Stream | Problem
    ) -> None:
        if isinstance(reply, Problem):
            self._parts.telemetry.refusals.labels(reply.code).inc()
            await refuse(exchange, reply, route.family, request_id)
            return
        if isinstance(reply, Stream):
            await _stream(exchange, reply, request_id)
            return
        lines, body = reply.encode(request_id)
        lines += cors_lines(exchange.headers.get("Origin"))
        await exchange.send(reply.status, lines, body)


async def _stream(exchange: Exchange, stream: Stream, request_id: str) -> None:
    """The pieces as they come. A fault before the first is told, one after it cuts the answer."""
    first = await anext(stream.pieces, b"")
    lines = stream.lines(request_id) + cors_lines(exchange.headers.get("Origin"))
    await exchange.start(200, lines, None)
    await exchange.write(first)
    try:
        async for piece in stream.pieces:
            await exchange.write(piece)
    except PostgresUnavailable:
        exchange.break_off()
        return
    await exchange.finish()


def _not_configured(name: str) -> Problem:
    assert name.startswith(("billing.", "dash.")), f"nobody answers {name}"
    return refusals.billing_not_configured()
