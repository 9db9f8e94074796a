"""One product: how its requests end, how long they take, what they cost."""

from typing import Final

from ops.grafana.panels import RATE, Page, Panel, Query, query

_CHOSEN: Final = 'product=~"$product"'
_SPREAD: Final = f"sum by (le) (rate(sluice_request_seconds_bucket{{{_CHOSEN}}}{RATE}))"
_QUANTILES: Final = ((0.5, "50 %"), (0.95, "95 %"), (0.99, "99 %"))

PAGE: Final = Page(
    "product",
    "Sluice: product",
    "One product, or several: how its requests end, how long they take, what they cost.",
    (
        Panel(
            "How requests end",
            "By outcome; ops/who-pays.md says which are charged.",
            query(
                f"sum by (outcome) (rate(sluice_requests_total{{{_CHOSEN}}}{RATE}))",
                "{{outcome}}",
            ),
            "reqps",
            width=12,
            stacked=True,
        ),
        Panel(
            "Time to the last byte",
            "Of admitted requests.",
            tuple(Query(f"histogram_quantile({q}, {_SPREAD})", name) for q, name in _QUANTILES),
            "s",
            width=12,
        ),
        Panel(
            "What the limiter says",
            "ADMITTED, or why not.",
            query(
                f"sum by (code) (rate(sluice_admissions_total{{{_CHOSEN}}}{RATE}))",
                "{{code}}",
            ),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Tokens a request",
            "Charged, of those that ended.",
            query(
                f"sum by (product) (rate(sluice_tokens_total{{{_CHOSEN}}}{RATE})) "
                f"/ sum by (product) (rate(sluice_requests_total{{{_CHOSEN}}}{RATE}))",
                "{{product}}",
            ),
        ),
        Panel(
            "Usage that is odd",
            "Missing, or above what was set aside.",
            query(
                f"sum by (product, kind) (rate(sluice_usage_alarms_total{{{_CHOSEN}}}{RATE}))",
                "{{product}} {{kind}}",
            ),
            "reqps",
        ),
        Panel(
            "The canary's time",
            "Of its last request.",
            query('max by (subject) (sluice_canary_seconds{subject=~"$product"})', "{{subject}}"),
            "s",
            width=12,
        ),
        Panel(
            "The canary's verdict",
            "1: as a customer, the product was right.",
            query('min by (subject) (sluice_canary_ok{subject=~"$product"})', "{{subject}}"),
            width=12,
        ),
    ),
    {"product": ("sluice_requests_total", "product")},
)
