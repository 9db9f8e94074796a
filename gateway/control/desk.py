"""The doors of the control API: finds the handler, identifies the key, sends the reply.

Refuses unknown names at start: every control door of the router has a handler here.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway.control import dash, owner, pages
from gateway.control.call import Call, Reply, body_of, query_of
from gateway.control.desk_parts import DeskParts
from gateway.control.minting import mint
from gateway.edge import refusals
from gateway.edge.doors import Kind
from gateway.edge.exchange import Exchange
from gateway.edge.hosts import Route
from gateway.edge.passing import cors_lines
from gateway.edge.pipeline import Door, refuse
from gateway.errors import Problem

__all__ = ["Desk", "DeskParts"]

Handler = Callable[[DeskParts, Call], Awaitable[Reply | Problem]]


@dataclass(frozen=True, slots=True)
class _Entry:
    handler: Handler
    needs_key: bool = False


_ENTRIES: Mapping[str, _Entry] = {
    "keys.mint": _Entry(mint),
    "keys.show": _Entry(owner.show, needs_key=True),
    "keys.revoke": _Entry(owner.revoke, needs_key=True),
    "keys.usage": _Entry(owner.usage, needs_key=True),
    "requests.show": _Entry(owner.request, needs_key=True),
    "dash.mint": _Entry(mint),
    "dash.user": _Entry(dash.user_by_query),
    "dash.authorization": _Entry(dash.user_by_bearer, needs_key=True),
    "dash.models": _Entry(dash.models),
}


class Desk:
    """Answers CONTROL, PROBE, INDEX and WEB."""

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts

    def doors(self) -> Mapping[Kind, Door]:
        """For the pipeline."""
        return {
            Kind.CONTROL: self.control,
            Kind.PROBE: self.probe,
            Kind.INDEX: self.index,
            Kind.WEB: self.web,
        }

    async def control(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """One call of the JSON API."""
        entry = _ENTRIES.get(route.name)
        if entry is None:
            await self._send(exchange, route, request_id, _not_configured(route.name))
            return
        key_id = None
        if entry.needs_key:
            subject = await self._parts.identifier.subject(exchange, route.family, needs_key=True)
            if isinstance(subject, Problem):
                await self._send(exchange, route, request_id, subject)
                return
            key_id = subject.key_id
        body = await body_of(exchange)
        if isinstance(body, Problem):
            await self._send(exchange, route, request_id, body)
            return
        query = query_of(exchange.target)
        call = Call(exchange, route, request_id, key_id, query, body)
        await self._send(exchange, route, request_id, await entry.handler(self._parts, call))

    async def probe(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """Whether this door answers; readiness with its reasons is on the operations listener."""
        document = "pone" if route.name == "ping" else {"status": "ok"}
        await self._send(exchange, route, request_id, Reply(200, document))

    async def index(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """The front page of r. and s., which is also the oldest way to read a balance."""
        subject = await self._parts.identifier.subject(exchange, route.family, needs_key=False)
        if isinstance(subject, Problem):
            await self._send(exchange, route, request_id, subject)
            return
        reply = await pages.index(self._parts, exchange, subject.key_id)
        await self._send(exchange, route, request_id, reply)

    async def web(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """The front page of a bare host: what is here, in plain text."""
        await self._send(exchange, route, request_id, pages.front(self._parts, exchange))

    async def _send(
        self, exchange: Exchange, route: Route, request_id: str, reply: Reply | Problem
    ) -> None:
        if isinstance(reply, Problem):
            await refuse(exchange, reply, route.family, request_id)
            return
        lines, body = reply.encode(request_id)
        lines += cors_lines(exchange.headers.get("Origin"))
        await exchange.send(reply.status, lines, body)


def _not_configured(name: str) -> Problem:
    if name.startswith(("billing.", "dash.")):
        return refusals.billing_not_configured()
    return refusals.not_deployed(name)
