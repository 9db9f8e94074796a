"""Every metric, declared once, with bounded labels; sole importer of prometheus_client.

Counting is adding to an integer of this process (`series`); about twice a second each process
writes its numbers into a folder that all processes of the machine share (`snapshots`), and the
operations listener adds them up (`exposition`).

Refuses labels that a client could choose: products, outcomes and codes come from closed sets.
"""

from typing import Final

from gateway.telemetry.degraded import DEGRADED_KINDS
from gateway.telemetry.limit_metrics import LimitMetrics
from gateway.telemetry.series import Latest, Level, Spread, Tally

__all__ = ["Latest", "Level", "Spread", "Tally", "Telemetry"]

# From 2 ms (a refusal) to 10 min (a long deepsearch).
LATENCY_S: Final = (
    0.002,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    180,
    600,
)
LAG_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300)


class Telemetry(LimitMetrics):
    """The metrics of one process. Values are counts, bytes, seconds or tokens, as the name says.

    Each attribute is a family (`labels(...)` gives the series) or, without labels, its series.
    """

    def __init__(self) -> None:
        super().__init__()
        # The series of `finished`, by product and outcome.
        self._ended: dict[tuple[str, str], tuple[Tally, Spread]] = {}
        self._declare_requests()
        self._declare_load()
        self._declare_shipping()
        self._declare_stores()
        self._declare_limits()
        self._declare_proofs()
        self._declare_billing()
        self._declare_machine()
        # There from the start, so that the first one is an increase that can be seen.
        self.refusals.labels("INTERNAL_ERROR")
        for kind in DEGRADED_KINDS:
            self.degraded.labels(kind)

    def _declare_requests(self) -> None:
        self.requests = self._tally(
            "sluice_requests", "Admitted requests that have ended", "product", "outcome"
        )
        self.tokens = self._tally("sluice_tokens", "Tokens charged", "product")
        self.latency = self._spread(
            "sluice_request_seconds",
            "Head received until last byte handed over, of admitted requests",
            LATENCY_S,
            "product",
        )
        self.admissions = self._tally(
            "sluice_admissions", "Decisions of the limiter", "product", "code"
        )
        self.refusals = self._tally(
            "sluice_refusals", "Requests refused by the gateway itself, by error code", "code"
        )
        self.degraded = self._tally(
            "sluice_degraded_decisions",
            "Decisions taken without what they need (telemetry/degraded.py lists the kinds)",
            "kind",
        )
        self.repeats = self._tally(
            "sluice_idempotent_requests",
            "Requests with an Idempotency-Key, by what was known of it",
            "known",
        )
        self.usage_alarms = self._tally(
            "sluice_usage_alarms",
            "Answers whose usage was missing or above the hold",
            "product",
            "kind",
        )
        self.orphans = self._tally(
            "sluice_orphans", "Requests resolved after a crash, for the customer", "kind"
        )
        self.open_requests = self._level(
            "sluice_open_requests", "Holds of this machine: admitted and not yet decided"
        )
        self.open_connections = self._level("sluice_open_connections", "Client connections")

    def _declare_load(self) -> None:
        self.shed = self._tally(
            "sluice_shed_requests", "Requests let go because the event loop was late", "rank"
        )
        self.service_breakers = self._levels(
            "sluice_service_breaker",
            "Whether a service is left alone: 0 no, 1 its next request is a trial, 2 yes; a sum "
            "over the gateway processes",
            "service",
        )

    def _declare_shipping(self) -> None:
        self.shipped = self._tally("sluice_shipped_outcomes", "Outcomes posted").labels()
        self.ship_failures = self._tally(
            "sluice_ship_failures", "Shipments that PostgreSQL did not take"
        ).labels()
        self.set_aside = self._tally(
            "sluice_outcomes_set_aside", "Outcomes that the ledger refused, kept for a person"
        ).labels()
        self.ship_lag = self._spread(
            "sluice_ship_lag_seconds", "Durable until posted", LAG_S
        ).labels()
        self.spool_depth = self._level("sluice_spool_depth", "Outcomes durable and not yet posted")
        self.spool_bytes = self._level("sluice_spool_bytes", "Bytes of spool not yet posted")
        self.spool_failing = self._level(
            "sluice_spool_failing", "Gateway processes whose disk does not take outcomes"
        )
        self.gateways = self._level("sluice_gateways", "Gateway processes that run")
        self.conditions = self._levels(
            "sluice_condition", "Processes that do worse than they should, by what it is", "name"
        )

    def _declare_stores(self) -> None:
        self.redis_round_trips = self._tally(
            "sluice_redis_round_trips", "Batches of commands written to Redis"
        ).labels()
        self.redis_failures = self._tally(
            "sluice_redis_failures", "Connections to Redis lost while somebody waited"
        ).labels()
        self.redis_restarts = self._tally(
            "sluice_redis_restarts", "Redis servers that came back without what they had in memory"
        ).labels()
        self.postgres_queries = self._tally(
            "sluice_postgres_queries", "Statements sent to PostgreSQL"
        ).labels()

    def _declare_billing(self) -> None:
        self.webhooks = self._tally(
            "sluice_webhooks", "Webhooks of Stripe by what was done with them", "verdict"
        )
        self.inbox_open = self._level(
            "sluice_billing_inbox_open", "Events of Stripe that are not worked at yet"
        )
        self.inbox_age = self._level(
            "sluice_billing_inbox_age_seconds", "How long the oldest of them has waited"
        )
        self.orders_held = self._level(
            "sluice_orders_held", "Orders whose money is not what was asked, for a person"
        )
        self.orders_returning = self._level(
            "sluice_orders_returning", "Orders whose money is on its way back to the buyer"
        )
        self.debt_tokens = self._level("sluice_owner_debt_tokens", "Tokens that keys owe")

    def _declare_machine(self) -> None:
        self.gateways_wanted = self._latest(
            "sluice_gateways_wanted", "Gateway processes that should run on this machine"
        )
        self.background_workers = self._level(
            "sluice_background_workers", "Processes that do the work beside the gateways"
        )
        self.disk_free = self._latest(
            "sluice_disk_free_bytes", "What may still be written to the disk of the spool"
        )
        self.disk_size = self._latest("sluice_disk_size_bytes", "How much that disk holds")
        self.memory = self._level("sluice_memory_bytes", "Resident memory of these processes")
        self.cpu = self._tally("sluice_cpu_seconds", "CPU time of these processes").labels()
        self.loop_lag = self._spread(
            "sluice_loop_lag_seconds", "How late an event loop came to a task that was due", LAG_S
        ).labels()

    def _declare_proofs(self) -> None:
        self.reconcile_differences = self._latest(
            "sluice_reconcile_differences",
            "Differences that a check of the proof found when it last ran, by what it looked at",
            "check",
            "scope",
        )
        self.reconcile_unfinished = self._latest(
            "sluice_reconcile_unfinished", "Checks that the last proof could not end", "scope"
        )
        self.reconcile_time = self._latest(
            "sluice_reconcile_timestamp_seconds", "When the proof last ran (unix)", "scope"
        )
        self.closed_until = self._latest(
            "sluice_closed_until_timestamp_seconds", "The end of the last closed day (unix)"
        )
        self.canary_ok = self._latest(
            "sluice_canary_ok",
            "Whether the canary's last check of a product, or of something else, was right",
            "subject",
        )
        self.canary_seconds = self._latest(
            "sluice_canary_seconds", "How long that check took", "subject"
        )
        self.canary_success_time = self._latest(
            "sluice_canary_success_timestamp_seconds",
            "When that check was right the last time (unix)",
            "subject",
        )
        self.canary_revocation = self._latest(
            "sluice_canary_revocation_seconds",
            "From the call to revoke a key until the front door refused it",
        )

    def finished(self, product: str, outcome: str, tokens: int, seconds: float) -> None:
        """Count one admitted request with its outcome, charge and duration."""
        known = self._ended.get((product, outcome))
        if known is None:
            known = self.requests.labels(product, outcome), self.latency.labels(product)
            self._ended[product, outcome] = known
        known[0].inc()
        known[1].observe(seconds)
        if tokens:
            self.tokens.labels(product).inc(tokens)

    def admission(self, product: str, code: str) -> None:
        """Count one decision of the limiter."""
        self.admissions.labels(product, code).inc()
