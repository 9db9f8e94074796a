"""Every metric, declared once, with bounded labels; sole importer of prometheus_client.

Refuses labels that a client could choose: products, outcomes and codes come from closed sets.
Several processes share their values through files in one directory (the library's multi-process
mode); the operations listener adds them up.
"""

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.values import MutexValue, get_value_class

# From 1 ms (a refusal) to 10 min (a long deepsearch); each bucket costs memory per product.
_LATENCY_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600)
_LAG_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300)


class Telemetry:
    """The metrics of one process.

    Hot callers ask for a bound child once (`requests.labels(...)` is cached here) and then only
    increment. Values are counts, seconds or tokens, as the name of the metric says.
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry(auto_describe=True)
        self.requests = Counter(
            "sluice_requests",
            "Requests by product and outcome",
            ["product", "outcome"],
            registry=registry,
        )
        self.tokens = Counter(
            "sluice_tokens", "Tokens charged by product", ["product"], registry=registry
        )
        self.latency = Histogram(
            "sluice_request_seconds",
            "Head received until last byte handed over",
            ["product"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.admissions = Counter(
            "sluice_admissions",
            "Decisions of the limiter by product and code",
            ["product", "code"],
            registry=registry,
        )
        self.refusals = Counter(
            "sluice_refusals",
            "Requests refused before admission by code",
            ["code"],
            registry=registry,
        )
        self.degraded = Counter(
            "sluice_degraded_decisions",
            "Decisions taken without a dependency",
            ["kind"],
            registry=registry,
        )
        self.usage_alarms = Counter(
            "sluice_usage_alarms",
            "Answers whose usage was missing or above the hold",
            ["product", "kind"],
            registry=registry,
        )
        self.orphans = Counter(
            "sluice_orphans",
            "Requests resolved after a crash, for the customer",
            ["kind"],
            registry=registry,
        )
        self.shipped = Counter("sluice_shipped_outcomes", "Outcomes posted", registry=registry)
        self.ship_failures = Counter(
            "sluice_ship_failures", "Shipments that PostgreSQL did not take", registry=registry
        )
        self.ship_lag = Histogram(
            "sluice_ship_lag_seconds", "Durable until posted", buckets=_LAG_S, registry=registry
        )
        self.redis_round_trips = Counter(
            "sluice_redis_round_trips", "Batches written to Redis", registry=registry
        )
        self.open_requests = self._gauge("sluice_open_requests", "Admitted and not yet decided")
        self.spool_depth = self._gauge("sluice_spool_depth", "Outcomes durable and not yet posted")
        self.spool_bytes = self._gauge("sluice_spool_bytes", "Bytes of spool not yet posted")
        self.open_connections = self._gauge("sluice_open_connections", "Client connections")
        self.reconcile_differences = Gauge(
            "sluice_reconcile_differences",
            "Rows that a check of the proof found",
            ["check"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._requests: dict[tuple[str, str], Counter] = {}
        self._latency: dict[str, Histogram] = {}
        self._tokens: dict[str, Counter] = {}
        self._admissions: dict[tuple[str, str], Counter] = {}

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry, multiprocess_mode="livesum")

    def finished(self, product: str, outcome: str, tokens: int, seconds: float) -> None:
        """Count one admitted request with its outcome, charge and duration."""
        counter = self._requests.get((product, outcome))
        if counter is None:
            counter = self._requests[product, outcome] = self.requests.labels(product, outcome)
        counter.inc()
        histogram = self._latency.get(product)
        if histogram is None:
            histogram = self._latency[product] = self.latency.labels(product)
            self._tokens[product] = self.tokens.labels(product)
        histogram.observe(seconds)
        if tokens:
            self._tokens[product].inc(tokens)

    def admission(self, product: str, code: str) -> None:
        """Count one decision of the limiter."""
        counter = self._admissions.get((product, code))
        if counter is None:
            counter = self._admissions[product, code] = self.admissions.labels(product, code)
        counter.inc()


def exposition(metrics_dir: Path | None, own: Telemetry) -> bytes:
    """The text that Prometheus scrapes: all processes that share the directory, or this one."""
    if metrics_dir is None:
        return generate_latest(own.registry)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(metrics_dir))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget_process(metrics_dir: Path, pid: int) -> None:
    """Drop the live gauges of a process that has ended."""
    mark_process_dead(pid, path=str(metrics_dir))  # type: ignore[no-untyped-call]


def shares_files() -> bool:
    """Whether this process writes its metrics where others can add them up."""
    return get_value_class() is not MutexValue  # type: ignore[no-untyped-call]
