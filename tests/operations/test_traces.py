"""Spans at a real collector's door, in its own format; and none without one."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.edge.forwarder import Forwarder
from gateway.edge.pipeline import Pipeline
from gateway.errors import ConfigurationFault
from gateway.metering.meter import Meter
from gateway.telemetry import tracing as tracing_module
from gateway.telemetry.tracing import tracing
from tests.control.conftest import Open
from tests.control.rig import COST_TOKENS, Door, settings_for
from tests.operations.conftest import Asked

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Spans = list[Any]


@pytest.fixture
def spans() -> Spans:
    """Filled by the collector."""
    return []


@pytest.fixture
async def collector(spans: Spans) -> AsyncIterator[str]:
    """Takes OTLP over HTTP."""

    async def take(request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await request.read())
        for resource in told.resource_spans:
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return web.Response()

    application = web.Application()
    application.router.add_post("/v1/traces", take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def _noted(span: Any) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


async def _call(door: Door, **headers: str) -> str:
    told = await door.ask("GET", "/https://a.example/secret", host="r.localhost", headers=headers)
    assert told.status == 200
    return told["x-request-id"]


async def test_a_request_is_a_span_with_its_parts_below_the_clients_context(
    open_door: Open, collector: str, spans: Spans, asked: Asked
) -> None:
    async with open_door(OTLP_URL=collector, TRACE_ONE_IN="1") as door:
        request_id = await _call(door, traceparent=PARENT, tracestate="a=1")
    named = {span.name: span for span in spans}
    assert set(named) == {"GET reader", "admit", "forward", "record"}
    whole = named["GET reader"]
    assert whole.parent_span_id.hex() == "b7ad6b7169203331"
    for span in spans:
        assert span.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
        assert span is whole or span.parent_span_id == whole.span_id
        assert b"secret" not in span.SerializeToString()
    noted = _noted(whole)
    assert noted["sluice.request_id"] == request_id
    assert noted["http.response.status_code"] == 200
    assert (noted["sluice.product"], noted["sluice.tokens"]) == ("reader", 0)
    assert _noted(named["record"])["sluice.outcome"] == "complete"
    # What the service does is below our span, not beside it.
    (seen,) = asked
    expected = f"00-{whole.trace_id.hex()}-{named['forward'].span_id.hex()}-01"
    assert (seen["traceparent"], seen["tracestate"]) == (expected, "a=1")


async def test_a_refusal_is_a_span_with_its_code_and_a_charge_with_its_tokens(
    open_door: Open, collector: str, spans: Spans
) -> None:
    async with open_door(OTLP_URL=collector, TRACE_ONE_IN="1") as door:
        key = (await door.mint())["api_key"]
        await door.ask("GET", "/https://a.example/", host="r.localhost", bearer="wrong")
        await door.spend(key)
    refused, charged = (span for span in spans if span.name == "GET reader")
    assert _noted(refused)["http.response.status_code"] == 401
    assert _noted(charged)["sluice.tokens"] == COST_TOKENS
    codes = [_noted(span).get("sluice.code") for span in spans if span.name == "admit"]
    assert codes == ["AUTH_INVALID_API_KEY", None]
    assert key.encode() not in b"".join(span.SerializeToString() for span in spans)


async def test_a_client_that_asks_for_traces_gets_no_more_than_the_share(
    open_door: Open, collector: str, spans: Spans, asked: Asked
) -> None:
    async with open_door(OTLP_URL=collector, TRACE_ONE_IN="1000000") as door:
        for _ in range(5):
            await _call(door, traceparent=PARENT.replace("0af7", "fff7").replace("319c", "ffff"))
    assert spans == []
    assert {each["traceparent"][-2:] for each in asked} == {"00"}


async def test_without_a_collector_the_plain_request_path_runs(door: Door) -> None:
    pipeline = door.node.pipeline
    assert (type(pipeline), type(door.node.meter)) == (Pipeline, Meter)
    assert type(pipeline._parts.forwarder) is Forwarder
    assert door.node.server.handlers is pipeline


async def test_a_collector_that_is_away_disturbs_nobody(open_door: Open, asked: Asked) -> None:
    async with open_door(OTLP_URL="http://127.0.0.1:9", TRACE_ONE_IN="1") as door:
        for _ in range(3):
            await _call(door)
    assert len(asked) == 3


async def test_without_the_extra_the_setting_is_a_mistake_told_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(tracing_module, "find_spec", lambda _: None)
    settings = settings_for(
        tmp_path, "postgres:///x", "redis://x", "http://x", {"OTLP_URL": "http://c"}
    )
    with pytest.raises(ConfigurationFault, match="SLUICE_OTLP_URL needs the extra `otel`"):
        async with tracing(settings):
            pass
