"""What `sluice top` reads: two looks at the metrics, and the time between them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.commands.metrics_text import Between, look

TEXT = """\
# HELP sluice_requests_total Admitted requests that have ended
# TYPE sluice_requests_total counter
sluice_requests_total{outcome="served",product="reader"} %d.0
sluice_requests_total{outcome="void \\\\"x\\\\", y",product="reader"} 2.0
sluice_gateways 3.0
sluice_request_seconds_bucket{le="0.5",product="reader"} %d.0
sluice_request_seconds_bucket{le="1.0",product="reader"} %d.0
sluice_request_seconds_bucket{le="+Inf",product="reader"} %d.0
"""


def _between(first: int, then: int) -> Between:
    return Between(
        look(TEXT % (first, first, first, first), 10.0), look(TEXT % (then, then, then, then), 12.0)
    )


@settings(max_examples=25)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_rate_is_never_below_nothing_even_over_a_restart(first: int, then: int) -> None:
    rate = _between(first, then).per_s("sluice_requests_total", outcome="served")
    assert rate == (then - first if then >= first else then) / 2


def test_levels_labels_and_quantiles_are_read() -> None:
    between = _between(0, 10)
    assert between.after.total("sluice_gateways") == 3
    assert between.after.total("sluice_requests_total", product="reader") == 12
    assert between.after.values("sluice_requests_total", "outcome")[0] == "served"
    assert between.quantile_s("sluice_request_seconds", 0.5, product="reader") == 0.5
    assert between.quantile_s("sluice_request_seconds", 0.5, product="other") is None
    assert between.after.total("sluice_nothing") == 0
