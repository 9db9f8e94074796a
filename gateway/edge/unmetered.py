"""What passes without being metered: lists that a service answers, and browsers' preflights.

Refuses to serve a key that may not be used; otherwise it neither counts nor charges.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from gateway.edge import refusals
from gateway.edge.answer import Answer
from gateway.edge.doors import Kind
from gateway.edge.exchange import Exchange
from gateway.edge.foreign import NOT_LET_IN, is_envelope, refused_by_service
from gateway.edge.forward import Signer, request_head
from gateway.edge.hosts import Route
from gateway.edge.identify import Identifier, Subject
from gateway.edge.passing import cors_lines, service_lines
from gateway.edge.pipeline import Door, refuse
from gateway.edge.reports import is_json
from gateway.edge.trace_context import trace_lines
from gateway.edge.upstream import Upstream, Upstreams
from gateway.errors import (
    AnswerBroken,
    Problem,
    ServiceFault,
    ServiceTimeout,
    ServiceUnreachable,
)
from gateway.ledger.book import Book
from gateway.units import MIB

_DEADLINE_MS: Final = 30_000
_MOST_BYTES: Final = 8 * MIB


class Unmetered:
    """The doors FORWARD and PREFLIGHT."""

    def __init__(
        self, upstreams: Upstreams, signer: Signer, identifier: Identifier, book: Book
    ) -> None:
        self._upstreams = upstreams
        self._signer = signer
        self._identifier = identifier
        self._book = book

    def doors(self) -> Mapping[Kind, Door]:
        """For the pipeline."""
        return {Kind.FORWARD: self.forward, Kind.PREFLIGHT: self.preflight}

    async def preflight(self, exchange: Exchange, _route: Route, request_id: str) -> None:
        """A browser may send what any other client may."""
        asked = exchange.headers.get("Access-Control-Request-Headers", "")
        allowed = asked if asked.isascii() and asked.isprintable() and len(asked) < 2_000 else ""
        lines = (
            f"x-request-id: {request_id}\r\n"
            "access-control-allow-methods: GET, POST, DELETE, OPTIONS\r\n"
            f"access-control-allow-headers: {allowed or 'authorization, content-type'}\r\n"
            "access-control-max-age: 25200\r\n"
        )
        cors = cors_lines(exchange.headers.get("Origin"))
        await exchange.send(204, lines.encode("ascii") + cors, b"")

    async def forward(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """Pass one small request on and its answer back."""
        subject = await self._subject(exchange, route)
        problem = subject if isinstance(subject, Problem) else None
        if isinstance(subject, Subject):
            problem = await self._pass(exchange, route, request_id, subject)
        if problem is not None:
            await refuse(exchange, problem, route.family, request_id)

    async def _subject(self, exchange: Exchange, route: Route) -> Subject | Problem:
        if not route.needs_key:
            return self._identifier.anonymous(exchange)
        subject = await self._identifier.subject(exchange, route.family, needs_key=True)
        if isinstance(subject, Problem) or subject.key_id is None:
            return subject
        row = await self._book.load_balance(subject.key_id)
        if row is None or row.status == "revoked":
            return refusals.revoked()
        return refusals.suspended() if row.status == "suspended" else subject

    async def _pass(
        self, exchange: Exchange, route: Route, request_id: str, subject: Subject
    ) -> Problem | None:
        upstream = self._upstreams.get(route.service or "")
        if upstream is None:
            return refusals.not_deployed(route.service or route.name)
        away = upstream.refusal(route.name)
        if away is not None:
            return away
        path = upstream.base_path + route.upstream_path
        signature = self._signer.lines(
            exchange.method, path, b"", request_id, time.time_ns() // 1_000_000, subject.text
        )
        head = request_head(
            exchange.method,
            path,
            upstream.host_header,
            trace_lines(exchange.headers),
            signature,
            None,
            has_body=False,
        )
        try:
            answer, body = await _answer(upstream, head, subject.text)
        except ServiceUnreachable:
            return refusals.service_unreachable(route.name)
        except ServiceTimeout:
            return refusals.service_timeout(route.name, _DEADLINE_MS)
        except ServiceFault:
            return refusals.service_broke_off(route.name)
        if not 200 <= answer.status < 300 and not _is_ours(route, answer, body):
            return _refused(route, answer, body)
        lines = b"x-request-id: %b\r\n" % request_id.encode("ascii")
        cors = cors_lines(exchange.headers.get("Origin"))
        lines += service_lines(answer.headers) + cors
        await exchange.send(answer.status, lines, body)
        return None


async def _answer(upstream: Upstream, head: bytes, subject: str) -> tuple[Answer, bytes]:
    """A whole answer and its body; raises ServiceFault when it is none, or too long to be one."""
    connection = await upstream.connection(fresh=True)
    connection.subject = subject
    body = b""
    try:
        answer = await connection.begin(head, _DEADLINE_MS, _DEADLINE_MS)
        while piece := await answer.read():
            body += piece
            if len(body) > _MOST_BYTES:
                raise AnswerBroken("a list that does not end")
    except BaseException:
        connection.close()
        raise
    return answer, body


def _is_ours(route: Route, answer: Answer, body: bytes) -> bool:
    """A refusal that is worded for the clients of this host already, with a code of its own."""
    if not 400 <= answer.status < 500 or answer.status in NOT_LET_IN:
        return False
    return is_json(answer) and is_envelope(body, route.family)


def _refused(route: Route, answer: Answer, body: bytes) -> Problem:
    """The service's 4xx with its own sentence; anything else is its failure."""
    if not 400 <= answer.status < 500 or answer.status in NOT_LET_IN:
        return refusals.service_failed(route.name, answer.status)
    problem = refused_by_service(route.name, answer.status, body)
    # Their 404 is of what the path names: it is not there, or another's.
    return replace(problem, code="RESOURCE_NOT_FOUND") if answer.status == 404 else problem
