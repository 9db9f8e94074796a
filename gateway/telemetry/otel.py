"""Spans to an OpenTelemetry collector; sole importer of opentelemetry, loaded only on demand.

Refuses to wait for the collector: spans that it does not take in time are dropped. Refuses to let
clients decide how many are made: of those that ask to be traced the same share is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.telemetry.tracing import Note

_SEND_S: Final = 3.0


class OtelTracer:
    """See gateway.telemetry.tracing.Tracer."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("sluice")
        self._context = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, name: str, parent: str, state: str) -> Iterator[Note]:
        """All of one request."""
        fields = {"traceparent": parent, "tracestate": state} if parent else {}
        above = self._context.extract(fields, Context())
        span = self._tracer.start_span(name, above, trace.SpanKind.SERVER)
        with _open(span) as note:
            yield note

    @contextmanager
    def part(self, name: str) -> Iterator[Note]:
        """A part of it."""
        with _open(self._tracer.start_span(name)) as note:
            yield note

    def headers(self) -> dict[str, str]:
        """The context of the span that is open."""
        fields: dict[str, str] = {}
        self._context.inject(fields)
        return fields

    def close(self) -> None:
        """Send what waits; blocks."""
        self._provider.shutdown()


@contextmanager
def _open(span: trace.Span) -> Iterator[Note]:
    # What an exception says may be what a client sent: only its type is told.
    with trace.use_span(
        span, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        try:
            yield span.set_attribute
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            raise


def tracer(url: str, one_in: int, node: str) -> OtelTracer:
    """Sends to the collector at this origin, in a thread of its own."""
    share = TraceIdRatioBased(1 / one_in)
    provider = TracerProvider(
        sampler=ParentBased(share, remote_parent_sampled=share),
        resource=Resource.create({"service.name": "sluice", "host.name": node}),
    )
    exporter = OTLPSpanExporter(f"{url}/v1/traces", timeout=_SEND_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OtelTracer(provider)
