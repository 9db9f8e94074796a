"""What was charged and paid, and whether the books agree."""

from typing import Final

from ops.grafana.panels import RATE, Page, Panel, query, stat

_AGED: Final = "time() - max by (scope) (sluice_reconcile_timestamp_seconds)"

PAGE: Final = Page(
    "money",
    "Sluice: money",
    "What was charged and what was paid, and whether the books agree.",
    (
        stat("Differences", "Of the proofs.", "sum(sluice_reconcile_differences)", 1),
        stat("Set aside", "Refused outcomes.", "sum(sluice_outcomes_set_aside_total)", 1),
        stat("Events waiting", "Of Stripe.", "max(sluice_billing_inbox_open)", 100),
        stat("Oldest", "Event of Stripe.", "max(sluice_billing_inbox_age_seconds)", 120, "s"),
        stat("Orders held", "For a person.", "max(sluice_orders_held)", 1),
        stat("Refunds under way", "To buyers.", "max(sluice_orders_returning)", 1),
        Panel(
            "Tokens charged",
            "An hour.",
            query("sum by (product) (increase(sluice_tokens_total[1h]))", "{{product}}"),
            stacked=True,
            width=12,
        ),
        Panel(
            "Tokens owed",
            "By keys whose payment was taken back after use.",
            query("max(sluice_owner_debt_tokens)", "owed"),
            width=12,
        ),
        Panel(
            "Webhooks",
            "Of Stripe, by what was done with them.",
            query(f"sum by (verdict) (rate(sluice_webhooks_total{RATE}))", "{{verdict}}"),
            "reqps",
        ),
        Panel("Age of the proofs", "By what they look at.", query(_AGED, "{{scope}}"), "s"),
        Panel(
            "Since the last closed day",
            "A day and ten minutes at most.",
            query("time() - max(sluice_closed_until_timestamp_seconds)", "closed"),
            "s",
        ),
        Panel(
            "Differences by check",
            "Each is told in sql/queries/reconcile.sql.",
            query("max by (check, scope) (sluice_reconcile_differences) > 0"),
            kind="table",
            width=12,
        ),
        Panel(
            "Checks without an end",
            "Of the last proof.",
            query("max by (scope) (sluice_reconcile_unfinished)", "{{scope}}"),
            width=6,
        ),
        Panel(
            "Resolved after a death",
            "For the customer.",
            query(f"sum by (kind) (rate(sluice_orphans_total{RATE}))", "{{kind}}"),
            "reqps",
            width=6,
        ),
    ),
    {},
)
