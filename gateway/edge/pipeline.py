"""THE REQUEST PATH: route, identify, admit, forward, price, record; read this first.

    1 route      host + method + path -> Route             memory
    2 identify   key or address -> Subject                 memory; on a miss one PostgreSQL query
    3 measure    body in memory if small -> Product, hold  pure
    4 admit      all limits and the hold                   ONE Redis round trip
    5 forward    to the product's service                  streamed beyond 1 MiB
    6 relay      price, record, durable, last byte         relay.py and metering/

Refuses to lose an admitted request: whatever happens after step 4, in whatever way this task ends,
its passage is decided exactly once (`_finish`), without waiting for anything.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.edge import refusals
from gateway.edge.admitting import Admitted, Admitter, Refused
from gateway.edge.authority import Authorities
from gateway.edge.crossing import Crossing
from gateway.edge.doors import Kind
from gateway.edge.exchange import BodyBrokenError, Exchange
from gateway.edge.forwarder import Forwarder
from gateway.edge.hosts import Route, Router
from gateway.edge.identify import Identifier, Subject
from gateway.edge.malformed import Malformed
from gateway.edge.measure import Measurer
from gateway.edge.passing import cors_lines
from gateway.edge.problems import render
from gateway.edge.quoting import Quoter, quote_lines, wants_dry_run
from gateway.edge.relay import Relay
from gateway.edge.repeat_name import HEADER
from gateway.edge.repeats import Repeats, Replay
from gateway.edge.request_ids import RequestIds
from gateway.edge.shedding import Shedder
from gateway.edge.telling import OUTCOME_OF, told
from gateway.edge.token_field import NAME as TOKEN
from gateway.edge.token_field import TokenField
from gateway.errors import Fault, PostgresUnavailable, Problem, RedisUnavailable
from gateway.metering.meter import Meter, Verdict
from gateway.metering.outcomes import Outcome
from gateway.products.product import Family
from gateway.telemetry import Telemetry

Door = Callable[[Exchange, Route, str], Awaitable[None]]

_FREE: Final = b"x-usage-tokens: 0\r\n"
_AWAY_KINDS: Final = {"SERVICE_UNAVAILABLE": "breaker_open", "SERVICE_OVERLOADED": "service_full"}
_APPLIED: Final = b"preference-applied: dry-run\r\nvary: Prefer\r\n"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pipeline is made of; built by the composition root."""

    router: Router
    identifier: Identifier
    measurer: Measurer
    admitter: Admitter
    forwarder: Forwarder
    relay: Relay
    quoter: Quoter
    tokens: TokenField
    meter: Meter
    doors: Mapping[Kind, Door]
    telemetry: Telemetry
    repeats: Repeats
    shedder: Shedder


async def refuse(
    exchange: Exchange, problem: Problem, family: Family, request_id: str, lines: bytes = b""
) -> None:
    """Tell a refusal in the envelope of the host; it costs nothing."""
    status, headers, body = render(problem, family, request_id)
    text = "".join(f"{name}: {value}\r\n" for name, value in headers)
    cors = cors_lines(exchange.headers.get("Origin"))
    await exchange.send(status, text.encode("latin-1", "replace") + cors + lines, body)


class Pipeline:
    """Handles one exchange after another; holds no state of any of them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._hosts = Authorities()
        self._ids = RequestIds()

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request, whatever it is."""
        request_id = exchange.request_id = self._ids.new()
        host = exchange.headers.get("Host", "")
        if TOKEN in exchange.target:
            self._take_token(exchange, host)
        route = self._parts.router.route(host, exchange.method, exchange.target)
        if host not in self._hosts.known and not self._hosts.accepts(host):
            route = refusals.malformed_http("the Host header must be a name or an address")
        if isinstance(route, Problem):
            family = self._parts.router.family(host, exchange.target)
            await self._refuse(exchange, route, family, request_id)
            return
        shedder = self._parts.shedder
        shed = shedder.refusal(exchange, route) if shedder.level else None
        if shed is not None:
            await self._refuse(exchange, shed, route.family, request_id, _FREE)
        elif route.kind is Kind.PRODUCT:
            try:
                if "Prefer" in exchange.headers and wants_dry_run(exchange.headers):
                    await self._dry_run(exchange, route, request_id)
                else:
                    await self._product(exchange, route, request_id)
            finally:
                if exchange.tap is not None:
                    exchange.tap.over()
                if exchange.room_bytes:
                    self._parts.measurer.room.give_back(exchange)
        else:
            await self._other(exchange, route, request_id)

    def _take_token(self, exchange: Exchange, host: str) -> None:
        if self._parts.router.family(host, exchange.target) is Family.READER:
            self._parts.tokens.take(exchange)

    async def malformed(self, exchange: Exchange, what: Malformed) -> None:
        """Answer bytes that are no HTTP request."""
        family = self._parts.router.family(what.host, what.target)
        await self._refuse(exchange, what.problem, family, self._ids.new())

    async def failed(self, exchange: Exchange) -> None:
        """Answer after a bug of ours; what was admitted has been recorded already."""
        family = self._parts.router.family(exchange.headers.get("Host", ""), exchange.target)
        # The id that the log tells of it.
        request_id = exchange.request_id or self._ids.new()
        await self._refuse(exchange, refusals.internal_error(), family, request_id, _FREE)

    async def overloaded(self, exchange: Exchange) -> None:
        """Answer a client for whom there is no place, before it has said anything."""
        await self._refuse(exchange, refusals.overloaded(), Family.API, self._ids.new())

    async def _other(self, exchange: Exchange, route: Route, request_id: str) -> None:
        try:
            await self._parts.doors[route.kind](exchange, route, request_id)
        except PostgresUnavailable:
            away = self._without("ledger_away", refusals.ledger_away())
            await self._refuse(exchange, away.problem, route.family, request_id)
        except RedisUnavailable:
            away = self._without("limits_away", refusals.degraded())
            await self._refuse(exchange, away.problem, route.family, request_id)

    async def _dry_run(self, exchange: Exchange, route: Route, request_id: str) -> None:
        try:
            found = await self._parts.quoter.dry_run(exchange, route)
        except PostgresUnavailable:
            found = self._without("unknown_key", refusals.key_not_known_now()).problem
        except RedisUnavailable:
            found = self._without("no_ledger_no_redis", refusals.stores_away()).problem
        if isinstance(found, Problem):
            await self._refuse(exchange, found, route.family, request_id, _FREE)
            return
        lines = quote_lines(request_id, exchange.headers.get("Origin"), _APPLIED)
        await exchange.send(200, lines, orjson.dumps(found))

    async def _refuse(
        self,
        exchange: Exchange,
        problem: Problem,
        family: Family,
        request_id: str,
        lines: bytes = b"",
    ) -> None:
        self._parts.telemetry.refusals.labels(problem.code).inc()
        await refuse(exchange, problem, family, request_id, lines)

    async def _product(self, exchange: Exchange, route: Route, request_id: str) -> None:
        started_s = self._parts.meter.now_s()
        try:
            admitted = await self._admit(exchange, route, request_id, started_s)
        except PostgresUnavailable:
            admitted = self._without("unknown_key", refusals.key_not_known_now())
        except RedisUnavailable:
            # Without Redis this process decides alone; here it could not, as the ledger is away.
            admitted = self._without("no_ledger_no_redis", refusals.stores_away())
        if isinstance(admitted, Replay):
            await admitted.tell(exchange)
            return
        if isinstance(admitted, Refused):
            problem = admitted.problem
            await self._refuse(exchange, problem, route.family, request_id, admitted.lines + _FREE)
            return
        passage = exchange.passage = admitted.passage
        if exchange.tap is not None:
            exchange.tap.admitted(passage)
        lines = b"x-request-id: %b\r\n" % passage.request_id.encode("ascii")
        lines += admitted.lines + cors_lines(exchange.headers.get("Origin"))
        crossing = Crossing(exchange, passage, admitted.measured, lines)
        try:
            await self._cross(admitted, crossing)
        finally:
            self._finish(crossing)

    async def _admit(
        self, exchange: Exchange, route: Route, request_id: str, started_s: float
    ) -> Admitted | Refused | Replay:
        """Steps 2 to 4; whatever refuses here costs nothing."""
        parts = self._parts
        if not parts.meter.healthy:
            return self._without("disk_full", refusals.disk_away())
        family, identifier = route.family, parts.identifier
        subject: Subject | Problem | None = identifier.at_once(exchange, family)
        if subject is None:
            subject = await identifier.subject(exchange, family, needs_key=route.needs_key)
        if isinstance(subject, Problem):
            return Refused(subject)
        keyed = subject.key_id is not None
        if keyed and parts.meter.short_of_room:
            return self._without("disk_short", refusals.disk_short())
        measured = parts.measurer.at_once(exchange, route)
        if measured is None:
            measured = await parts.measurer.measure(exchange, route, keyed=keyed)
        if isinstance(measured, Problem):
            return Refused(measured)
        product = measured.product
        body = measured.body if product.family is Family.READER else None
        if body and parts.tokens.in_body(body):
            return Refused(refusals.token_in_body())
        if subject.key_id is None and product.needs_key:
            return Refused(refusals.missing_key())
        if subject.key_id is not None and HEADER in exchange.headers:
            try:
                known = await parts.repeats.claim(exchange, subject.key_id, measured, request_id)
            except PostgresUnavailable:
                return self._without("unknown_repeat", refusals.repeat_not_known_now())
            if known is not None:
                return Refused(known) if isinstance(known, Problem) else known
        # Last: an answer that is kept needs no service, and "go on" may be meant for a trial.
        away = parts.forwarder.refusal(product)
        if away is not None:
            return self._away(away)
        admitted = await parts.admitter.admit(subject, measured, request_id, started_s)
        if isinstance(admitted, Refused):
            parts.forwarder.untried(product)
        return admitted

    def _away(self, problem: Problem) -> Refused:
        """The service is not asked now: counted, and nothing of the limits is touched."""
        kind = _AWAY_KINDS.get(problem.code)
        return Refused(problem) if kind is None else self._without(kind, problem)

    def _without(self, kind: str, problem: Problem) -> Refused:
        """Refused for what is away, and counted."""
        self._parts.telemetry.degraded.labels(kind).inc()
        return Refused(problem)

    async def _cross(self, admitted: Admitted, crossing: Crossing) -> None:
        """Steps 5 and 6; a failure of the service is told, recorded, and costs nothing."""
        parts, exchange, passage = self._parts, crossing.exchange, crossing.passage
        product = crossing.measured.product
        try:
            answer = await parts.forwarder.forward(exchange, admitted)
            try:
                problem = await parts.relay.relay(crossing, answer.answer)
            finally:
                answer.release()
        except Fault as fault:
            problem = told(fault, product)
        except BodyBrokenError as broken:
            problem = broken.problem
            exchange.keep_alive = False
        if problem is None:
            return
        if not passage.decided:
            outcome = OUTCOME_OF.get(problem.code, Outcome.CLIENT_BODY_FAILED)
            await parts.meter.settle_failed(passage, Verdict(outcome, problem.status))
        if exchange.started:
            exchange.break_off()
        else:
            lines = admitted.lines + _FREE
            await refuse(exchange, problem, product.family, passage.request_id, lines)

    def _finish(self, crossing: Crossing) -> None:
        """However the task ended: the passage is decided, and what was not delivered is free."""
        meter, exchange, passage = self._parts.meter, crossing.exchange, crossing.passage
        if not passage.decided:
            failed = Verdict(Outcome.GATEWAY_FAILED, 500)
            meter.decide(passage, crossing.left() if exchange.left else failed)
            meter.delivered(passage)
        elif passage.ended:
            return
        elif exchange.sent_bytes and exchange.left:
            # The answer was whole and on its way: whoever hangs up on its last bytes has had it.
            meter.delivered(passage)
        else:
            meter.undelivered(passage)
