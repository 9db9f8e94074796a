"""Who is refused by a limit, and whether the limiter is well."""

from typing import Final

from ops.grafana.panels import RATE, Page, Panel, Query, query

_RATES: Final = 'code=~"RATE_.*|AUTHZ_INSUFFICIENT_BALANCE"'

PAGE: Final = Page(
    "limits",
    "Sluice: limits",
    "Who is refused by a limit, and whether the limiter itself is well.",
    (
        Panel(
            "Refused by a limit",
            "By error code.",
            query(f"sum by (code) (rate(sluice_refusals_total{{{_RATES}}}{RATE}))", "{{code}}"),
            "reqps",
            stacked=True,
            width=12,
        ),
        Panel(
            "Decisions by product",
            "Everything but ADMITTED.",
            query(
                "sum by (product, code) "
                f'(rate(sluice_admissions_total{{code!="ADMITTED"}}{RATE})) > 0',
                "{{product}} {{code}}",
            ),
            "reqps",
            stacked=True,
            width=12,
        ),
        Panel(
            "Share let in",
            "Of all decisions.",
            query(
                "sum by (product) "
                f'(rate(sluice_admissions_total{{code="ADMITTED"}}{RATE})) '
                f"/ sum by (product) (rate(sluice_admissions_total{RATE}))",
                "{{product}}",
            ),
            "percentunit",
        ),
        Panel(
            "Would be refused in shadow",
            "Share of the requests that a limit in shadow was tried on.",
            query(
                "sum by (product, tier, dimension) "
                f"(rate(sluice_shadow_refused_total{RATE})) "
                f"/ sum by (product, tier, dimension) (rate(sluice_shadow_looked_total{RATE}))",
                "{{product}} {{tier}} {{dimension}}",
            ),
            "percentunit",
        ),
        Panel(
            "Catalogue",
            "Processes by version; changes of its file; processes that refuse it.",
            (
                Query("count by (version) (sluice_catalogue_since_seconds)", "{{version}}"),
                Query(
                    f"sum by (result) (increase(sluice_catalogue_reloads_total{RATE}))",
                    "{{result}}",
                ),
                Query("sum(sluice_catalogue_refused)", "refuse it"),
            ),
            "short",
        ),
        Panel(
            "Arrival log",
            "Written, lost to the disk, dropped before it.",
            query(f"sum by (kind) (rate(sluice_arrivals_total{RATE}))", "{{kind}}"),
            "ops",
        ),
        Panel(
            "Keys refused",
            "Unknown, revoked, suspended, malformed.",
            query(
                f'sum by (code) (rate(sluice_refusals_total{{code=~"AUTH.*"}}{RATE}))',
                "{{code}}",
            ),
            "reqps",
        ),
        Panel(
            "Without a store",
            "By kind.",
            query(f"sum by (kind) (rate(sluice_degraded_decisions_total{RATE}))", "{{kind}}"),
            "reqps",
        ),
        Panel(
            "Asked again",
            "Requests with an Idempotency-Key, by what was known.",
            query(f"sum by (known) (rate(sluice_idempotent_requests_total{RATE}))", "{{known}}"),
            "reqps",
        ),
        Panel(
            "Revocation",
            "From the call until the front door refused the key.",
            query("max(sluice_canary_revocation_seconds)", "seconds"),
            "s",
        ),
        Panel(
            "Redis",
            "Batches of commands, and connections lost.",
            (
                Query(f"sum(rate(sluice_redis_round_trips_total{RATE}))", "round trips"),
                Query(f"sum(rate(sluice_redis_failures_total{RATE}))", "lost"),
            ),
            "ops",
        ),
    ),
    {},
)
