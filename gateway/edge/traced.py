"""The request path with spans: admit, forward, record, below one span of the whole request.

Used only where there is a collector; without one the plain classes run, and nothing is asked.
Refuses to tell a target, a header or a body: a span has product, status, tokens and request id.
"""

from typing import Any

from gateway.edge.admitting import Admitted, Refused
from gateway.edge.exchange import Exchange
from gateway.edge.forwarder import Forwarded, Forwarder
from gateway.edge.hosts import Route
from gateway.edge.pipeline import Parts, Pipeline
from gateway.edge.repeats import Replay
from gateway.edge.trace_context import trace_parent, trace_state
from gateway.metering.meter import Meter, Passage, Verdict
from gateway.telemetry.tracing import Tracer


class TracedPipeline(Pipeline):
    """A span for each request to a product, one for its admission."""

    def __init__(self, parts: Parts, tracer: Tracer) -> None:
        super().__init__(parts)
        self._tracer = tracer

    async def _product(self, exchange: Exchange, route: Route, request_id: str) -> None:
        headers, name = exchange.headers, f"{exchange.method} {route.name}"
        with self._tracer.request(name, trace_parent(headers), trace_state(headers)) as note:
            try:
                await super()._product(exchange, route, request_id)
            finally:
                note("sluice.request_id", exchange.request_id)
                note("http.response.status_code", exchange.status)
                passage = exchange.passage
                if passage is not None:
                    note("sluice.product", passage.product)
                    note("sluice.tokens", passage.cost_tokens)

    async def _admit(
        self, exchange: Exchange, route: Route, request_id: str, started_s: float
    ) -> Admitted | Refused | Replay:
        with self._tracer.part("admit") as note:
            admitted = await super()._admit(exchange, route, request_id, started_s)
            if isinstance(admitted, Refused):
                note("sluice.code", admitted.problem.code)
            return admitted


class TracedForwarder(Forwarder):
    """A span until the service's answer has begun; the service sees it as its parent."""

    def __init__(self, tracer: Tracer, *parts: Any) -> None:
        super().__init__(*parts)
        self._tracer = tracer

    async def forward(self, exchange: Exchange, admitted: Admitted) -> Forwarded:
        """See Forwarder."""
        with self._tracer.part("forward") as note:
            forwarded = await super().forward(exchange, admitted)
            note("http.response.status_code", forwarded.answer.status)
            return forwarded

    def context_lines(self, _exchange: Exchange, /) -> bytes:
        """Ours instead of the client's: our spans are between the two."""
        found = self._tracer.headers().items()
        return "".join(f"{name}: {value}\r\n" for name, value in found).encode("ascii")


class TracedMeter(Meter):
    """A span until an outcome is durable."""

    def __init__(self, tracer: Tracer, *parts: Any) -> None:
        super().__init__(*parts)
        self._tracer = tracer

    async def settle_now(self, passage: Passage, verdict: Verdict) -> None:
        """See Meter."""
        with self._tracer.part("record") as note:
            note("sluice.outcome", verdict.outcome.value)
            await super().settle_now(passage, verdict)
