"""Is everything well: one look."""

from typing import Final

from ops.grafana.panels import RATE, Page, Panel, Query, query, stat

_FAILED: Final = "max(sluice:failures:ratio_rate5m) or vector(0)"

PAGE: Final = Page(
    "overview",
    "Sluice: overview",
    "Is everything well? Red stands for somebody who is refused or for money that may be wrong.",
    (
        stat("Alerts", "That fire now.", 'count(ALERTS{alertstate="firing"}) or vector(0)', 1),
        stat("Worst product", "Share of failures.", _FAILED, 0.0144, "percentunit"),
        stat(
            "Canary",
            "Checks, as a customer makes them, that are not right.",
            "count(sluice_canary_ok == 0) or vector(0)",
            1,
        ),
        stat(
            "Books",
            "Differences that the last proofs found.",
            "sum(sluice_reconcile_differences) or vector(0)",
            1,
        ),
        stat("Spool", "Outcomes not in the ledger yet.", "sum(sluice_spool_depth)", 5000),
        stat(
            "Without a store",
            "Decisions a second without Redis or PostgreSQL.",
            f"sum(rate(sluice_degraded_decisions_total{RATE})) or vector(0)",
            0.001,
            "reqps",
        ),
        Panel(
            "Requests",
            "Admitted requests that ended.",
            query(f"sum by (product) (rate(sluice_requests_total{RATE}))", "{{product}}"),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Refusals of the gateway",
            "By error code; the runbook has a heading for each.",
            query(f"sum by (code) (rate(sluice_refusals_total{RATE})) > 0", "{{code}}"),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Failures that are ours",
            "Of admitted requests, nothing of which is charged; the allowance is 0.1 %.",
            query("sluice:failures:ratio_rate5m", "{{product}}"),
            "percentunit",
        ),
        Panel(
            "Time to the last byte, 95 %",
            "From the head of a request on.",
            query("sluice:request_seconds:p95_5m", "{{product}}"),
            "s",
        ),
        Panel(
            "Tokens charged",
            "A second.",
            query(f"sum by (product) (rate(sluice_tokens_total{RATE}))", "{{product}}"),
            stacked=True,
        ),
        Panel(
            "Running",
            "Clients connected and requests under way.",
            (
                Query("sum(sluice_open_connections)", "connections"),
                Query("sum(sluice_open_requests)", "requests"),
            ),
        ),
    ),
    {},
)
