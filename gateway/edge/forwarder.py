"""Step 5: one request to the product's service, its body untouched.

Refuses to send a body twice: only a body in memory is tried again, and only when a pooled
connection turned out to be closed before any byte of an answer.
"""

import asyncio
import time

from gateway.edge.admitting import Admitted
from gateway.edge.answer import Answer
from gateway.edge.connection import Connection
from gateway.edge.exchange import Exchange
from gateway.edge.forward import HeaderFilter, Signer, budgeted_lines, request_head
from gateway.edge.refusals import not_deployed
from gateway.edge.trace_context import PARENT, trace_lines
from gateway.edge.upload import Upload
from gateway.edge.upstream import Upstream, Upstreams
from gateway.errors import Problem, StaleConnection
from gateway.products.product import Product
from gateway.record import record


@record
class Forwarded:
    """An answer that has begun, on a connection that is this request's until `release`."""

    answer: Answer
    connection: Connection

    def release(self) -> None:
        """Nobody reads on: an answer that is not whole ends its connection, and the work."""
        if not self.answer.ended:
            self.connection.close()


class Forwarder:
    """Sends requests to services; None of them is retried once it may have been begun."""

    def __init__(self, upstreams: Upstreams, signer: Signer, body_deadline_ms: int) -> None:
        self._upstreams = upstreams
        self._signer = signer
        self._filter = HeaderFilter()
        self._body_deadline_ms = body_deadline_ms

    def deployed(self, product: Product) -> bool:
        """Whether a service stands behind the product."""
        return self._upstreams.get(product.service) is not None

    def refusal(self, product: Product) -> Problem | None:
        """Why no request for it can be taken now, before it costs anything; None: go on.

        None may be the order to try a service that has failed: ask right before admission.
        """
        upstream = self._upstreams.get(product.service)
        if upstream is None:
            return not_deployed(product.name)
        return upstream.refusal(product.name)

    def untried(self, product: Product) -> None:
        """It could go on, and was refused for its own sake."""
        upstream = self._upstreams.get(product.service)
        if upstream is not None:
            upstream.breaker.untried(asyncio.get_running_loop().time())

    async def forward(self, exchange: Exchange, admitted: Admitted) -> Forwarded:
        """The service's answer from its head on.

        Raises ServiceFault when there is none, BodyBrokenError when the client's body broke off.
        """
        upstream = self._upstreams.get(admitted.measured.product.service)
        assert upstream is not None, "checked before admission"
        head, body = self._head(exchange, admitted, upstream), admitted.measured.body
        if body is None:
            return await self._stream(exchange, admitted, upstream, head)
        request = head + body if body else head
        try:
            connection = upstream.pooled() or await upstream.connection(fresh=True)
            return await _send(connection, request, admitted)
        except StaleConnection:
            return await _send(await upstream.connection(fresh=True), request, admitted)

    def _head(self, exchange: Exchange, admitted: Admitted, upstream: Upstream) -> bytes:
        measured, passage = admitted.measured, admitted.passage
        path = upstream.base_path + measured.upstream_path
        signature = self._signer.lines(
            exchange.method,
            path,
            measured.body,
            passage.request_id,
            time.time_ns() // 1_000_000,
            passage.subject,
        )
        length = exchange.content_length if measured.body is None else len(measured.body)
        product, budget = measured.product, measured.budget_tokens
        fields = (
            self._forwarded(exchange, product)
            if budget is None
            else budgeted_lines(product, exchange.raw_headers, budget)
        )
        return request_head(
            exchange.method,
            path,
            upstream.host_header,
            fields + self.context_lines(exchange),
            signature,
            length,
            has_body=exchange.has_body,
        )

    def _forwarded(self, exchange: Exchange, product: Product) -> bytes:
        """The client's headers that the service may see; of a head that came before, as then."""
        same = exchange.same
        if same is None:
            return self._filter.lines(product, exchange.raw_headers)
        known = same.forwarded
        if known is None or known[0] is not product:
            known = same.forwarded = product, self._filter.lines(product, exchange.raw_headers)
        return known[1]

    def context_lines(self, exchange: Exchange, /) -> bytes:
        """The trace context that the service is told: the client's."""
        return trace_lines(exchange.headers) if PARENT in exchange.headers else b""

    async def _stream(
        self, exchange: Exchange, admitted: Admitted, upstream: Upstream, head: bytes
    ) -> Forwarded:
        connection = await upstream.connection(fresh=True)
        connection.subject = admitted.passage.subject
        upload = Upload(exchange, admitted.measured, connection, self._body_deadline_ms)
        try:
            return Forwarded(await upload.send(head), connection)
        except BaseException:
            connection.close()
            raise


async def _send(connection: Connection, request: bytes, admitted: Admitted) -> Forwarded:
    product = admitted.measured.product
    connection.subject = admitted.passage.subject
    head = connection.begin(request, product.first_byte_ms, product.deadline_ms)
    try:
        return Forwarded(await head, connection)
    except BaseException:
        # Also when the client leaves: the service sees the close and can stop its work.
        connection.close()
        raise
