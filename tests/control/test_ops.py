"""The operations listener: metrics that are true and bounded, and readiness that is true."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from prometheus_client.parser import text_string_to_metric_families

from gateway.admission.ask import Code
from gateway.conditions import Conditions
from gateway.control.readiness import troubles_of_machine
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from gateway.metering.outcomes import Outcome
from gateway.telemetry import Telemetry
from gateway.telemetry.snapshots import Publisher
from tests.control.conftest import Open
from tests.control.plain_http import Told, raw
from tests.control.rig import COST_TOKENS, TOKEN, Door, until
from tests.control.test_outages import frozen

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


class Listener(Protocol):
    """A gateway with an operations listener."""

    async def ops(self, method: str, path: str, *, token: str | None = TOKEN) -> Told:
        """Ask the operations listener."""


async def scrape(door: Listener) -> Samples:
    """Every sample by name and labels; the text must be a valid exposition."""
    told = await door.ops("GET", "/metrics", token=None)
    assert told.status == 200
    assert told["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(told.text))
    assert len({family.name for family in families}) == len(families)
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in families:
        assert family.documentation
        assert family.name.startswith("sluice_")
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert (sample.name, labels) not in found
            found[sample.name, labels] = sample.value
    return found


def value(samples: Samples, name: str, /, **labels: str) -> float:
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


async def counted(door: Door, name: str, wanted: float, /, **labels: str) -> Samples:
    """The samples once this one is as wanted: processes tell their numbers twice a second."""

    async def seen() -> Samples | None:
        samples = await scrape(door)
        return samples if value(samples, name, **labels) == wanted else None

    found: Samples = await until(seen)
    return found


async def test_every_number_that_is_promised_is_fed_by_requests(door: Door) -> None:
    minted = await door.mint()
    key = minted["api_key"]
    for _ in range(3):
        await door.spend(key)
    limits = {"reader": {"rpm": 3}}
    await door.ops("PUT", f"/admin/keys/{minted['key_id']}/limits", document=limits)
    await door.spend(key, expected=429)
    await door.ask("GET", "/https://a.example/", host="r.localhost", bearer="wrong")
    await door.ask("GET", "/v1/keys/me", bearer="wrong")
    await door.ask("GET", "/nothing")
    await door.ask("PUT", "/v1/keys")
    await raw(door.port, b"nonsense\r\n\r\n")
    await door.me(key)
    await counted(door, "sluice_refusals_total", 2, code="AUTH_INVALID_API_KEY")
    await counted(door, "sluice_shipped_outcomes_total", 3)
    # Both are told of a batch that is posted, one after the other.
    samples = await counted(door, "sluice_spool_depth", 0)
    done = {"product": "reader", "outcome": "complete"}
    assert value(samples, "sluice_requests_total", **done) == 3
    assert value(samples, "sluice_tokens_total", product="reader") == 3 * COST_TOKENS
    assert value(samples, "sluice_request_seconds_count", product="reader") == 3
    assert 0 < value(samples, "sluice_request_seconds_sum", product="reader") < 60
    buckets = "sluice_request_seconds_bucket"
    assert value(samples, buckets, product="reader", le="600.0") == 3
    assert value(samples, buckets, product="reader", le="+Inf") == 3
    assert value(samples, "sluice_admissions_total", product="reader", code="ADMITTED") == 3
    assert value(samples, "sluice_admissions_total", product="reader", code="RPM") == 1
    for code in (
        "RATE_REQUEST_LIMIT_EXCEEDED",
        "PATH_NOT_FOUND",
        "METHOD_NOT_ALLOWED",
        "HTTP_MALFORMED",
    ):
        assert value(samples, "sluice_refusals_total", code=code) == 1
    assert value(samples, "sluice_shipped_outcomes_total") == 3
    assert 1 <= value(samples, "sluice_ship_lag_seconds_count") <= 3
    assert value(samples, "sluice_redis_round_trips_total") >= 4
    assert value(samples, "sluice_postgres_queries_total") >= 4
    assert value(samples, "sluice_gateways") == 1
    for level in ("open_requests", "spool_depth", "spool_bytes", "spool_failing"):
        assert value(samples, f"sluice_{level}") == 0


async def test_labels_are_only_what_the_closed_sets_hold(door: Door) -> None:
    for path in ("/v1/x", "/r/https://a.example/?q=1", "/v1/keys/%00", "/" + "y" * 500):
        for host in ("r.localhost", "evil.example", "api.localhost", "s.localhost"):
            await door.ask("GET", path, host=host, bearer="Ω" * 9)
    await asyncio.sleep(0.6)
    products = set(door.node.ground.catalogue.products)
    allowed = {
        "product": products,
        "outcome": {outcome.value for outcome in Outcome},
        "code": {code.name for code in Code},
    }
    for name, labels in await scrape(door):
        for label, text in labels:
            if label in allowed and name != "sluice_refusals_total":
                assert text in allowed[label], (name, label)
            assert text.isascii()
            assert len(text) < 60


async def test_holds_spool_and_failed_shipments_show_while_postgresql_is_frozen(
    open_door: Open, pg_server: PostgresServer
) -> None:
    async with open_door(POSTGRES_DEADLINE_MS="2000") as door:
        key = (await door.mint())["api_key"]
        await door.spend(key)
        await door.me(key)
        with frozen(pg_server.pid):
            for _ in range(5):
                await door.spend(key)
            samples = await counted(door, "sluice_spool_depth", 5)
            assert value(samples, "sluice_spool_bytes") > 500
            ready = (await door.ops("GET", "/ready", token=None)).json()
            assert ready["status"] == "degraded"
            assert ready["redis"] == ready["spool"] == "ok"
            assert "no answer within" in ready["postgres"]
        samples = await counted(door, "sluice_spool_depth", 0)
        assert value(samples, "sluice_spool_bytes") == 0
        assert value(samples, "sluice_shipped_outcomes_total") == 6


async def test_decisions_without_redis_are_counted_by_kind(
    open_door: Open, redis_server: RedisServer
) -> None:
    async with open_door(REDIS_DEADLINE_MS="500") as door:
        key = (await door.mint())["api_key"]
        await door.spend(key)
        await door.me(key)
        with frozen(redis_server.pid):
            told = await door.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
            assert told.status == 200
            told = await door.ask("GET", "/https://a.example/", host="r.localhost")
            assert told.status == 200
            samples = await counted(door, "sluice_degraded_decisions_total", 1, kind="local_limits")
            assert value(samples, "sluice_degraded_decisions_total", kind="local_money") == 1
            assert value(samples, "sluice_redis_failures_total") >= 1
            await counted(door, "sluice_condition", 1, name="redis")
        await counted(door, "sluice_condition", 0, name="redis")


def test_a_service_that_another_process_leaves_alone_is_named(tmp_path: Path) -> None:
    told = Telemetry()
    told.service_breakers.labels("rerank").set(2)
    told.service_breakers.labels("reader").set(0)
    told.conditions.labels("service_breaker").set(1)
    publisher = Publisher(tmp_path)
    try:
        publisher.publish(told.counts(), told.standings())
        found = troubles_of_machine(Conditions(), tmp_path, "")
    finally:
        publisher.close()
    assert found["service_breaker"].startswith("rerank: a service is not asked")


async def _ready(door: Door, *wanted: object) -> dict[str, Any]:
    """What the operator is told, once both are told this: status and whole, ours and public."""

    async def told() -> dict[str, Any] | None:
        ops = await door.ops("GET", "/ready", token=None)
        public = await door.ask("GET", "/ready")
        found: dict[str, Any] = ops.json()
        seen = (ops.status, found["status"], public.status, public.json())
        return found if seen == wanted else None

    answer: dict[str, Any] = await until(told)
    return answer


async def test_ready_is_degraded_without_one_store_and_503_without_both(
    open_door: Open, pg_server: PostgresServer, redis_server: RedisServer
) -> None:
    async with open_door(REDIS_DEADLINE_MS="150") as door:
        well = (200, "ok", 200, {"status": "ok"})
        all_is_well = {"status": "ok", "redis": "ok", "postgres": "ok", "spool": "ok"}
        assert await _ready(door, *well) == all_is_well
        with frozen(redis_server.pid):
            shown = {"status": "degraded", "degraded": ["redis"]}
            found = await _ready(door, 200, "degraded", 200, shown)
            assert found["redis"] != "ok"
            assert found["postgres"] == "ok"
            with frozen(pg_server.pid):
                shown = {"status": "not ready", "degraded": ["postgres", "redis"]}
                found = await _ready(door, 503, "not ready", 503, shown)
                assert found["postgres"] != "ok"
                for ask in (partial(door.ops, token=None), door.ask):
                    assert (await ask("GET", "/live")).status == 200
                    assert (await ask("GET", "/health")).status == 503
        assert await _ready(door, *well) == all_is_well


async def test_ready_is_503_while_the_disk_takes_no_outcomes(door: Door) -> None:
    assert (await door.ops("GET", "/ready", token=None)).status == 200
    door.node.spool.healthy = False

    async def not_ready() -> Any:
        told = await door.ops("GET", "/ready", token=None)
        return told.json() if told.status == 503 else None

    found = await until(not_ready)
    assert found["spool"] == "1 of 1 gateway processes take no outcomes"
    assert (found["redis"], found["postgres"]) == ("ok", "ok")
    assert (await door.ask("GET", "/ready")).status == 503
    samples = await scrape(door)
    assert value(samples, "sluice_spool_failing") == 1
    door.node.spool.healthy = True

    async def ready() -> bool:
        return (await door.ops("GET", "/ready", token=None)).status == 200

    await until(ready)


async def test_ready_with_one_of_two_gateways_failing_is_degraded(open_door: Open) -> None:
    async with open_door() as here, open_door() as there:
        there.node.spool.healthy = False
        there.node.ground.vitals.publish()
        found = await here.ops("GET", "/ready", token=None)
        assert (found.status, found.json()["status"]) == (200, "degraded")
        assert found.json()["spool"] == "1 of 2 gateway processes take no outcomes"
        there.node.spool.healthy = True


async def test_numbers_of_two_gateways_are_added_and_outlive_them(open_door: Open) -> None:
    done = {"product": "reader", "outcome": "complete"}
    async with open_door() as here:
        key = (await here.mint())["api_key"]
        async with open_door() as there:
            await here.spend(key)
            await there.spend(key)
            await counted(here, "sluice_requests_total", 2, **done)
            # Who is silent for a moment, on a busy machine, is not counted as there.
            await counted(here, "sluice_gateways", 2)
            there.node.ground.telemetry.open_connections.inc(5)
        samples = await counted(here, "sluice_gateways", 1)
        assert value(samples, "sluice_open_connections") == 0
        assert value(samples, "sluice_requests_total", **done) == 2
        await here.spend(key)
        await counted(here, "sluice_requests_total", 3, **done)
