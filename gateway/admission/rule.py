"""The rule of the limits, apart from keys, balances and holds: what a request meets in its windows.

Refuses to record: whoever asks counts what it admits. `model` decides by it beside Redis,
`shadow` for limits that are only tried, `gateway.arrivals.replay` for those of another plan.
"""

from dataclasses import dataclass

from gateway.admission.ask import Code
from gateway.admission.window import View, Window
from gateway.products.product import Limits, Shadow


@dataclass(frozen=True, slots=True)
class Sight:
    """Both windows of one subject and product at a time, and how many requests are open."""

    requests: Window
    request_view: View
    tokens: Window
    token_view: View
    open_requests: int


def never(limits: Limits | Shadow, tpm_cost: int) -> Code | None:
    """The limit of 0 that no waiting helps against."""
    if limits.rpm is not None and limits.rpm < 1:
        return Code.RPM
    if limits.tpm == 0 and tpm_cost > 0:
        return Code.TPM
    if limits.concurrency is not None and limits.concurrency < 1:
        return Code.CONCURRENCY
    return None


def refusal(limits: Limits | Shadow, seen: Sight, tpm_cost: int) -> tuple[Code, int] | None:
    """Which limit refuses a request that `never` does not, and for how many microseconds.

    The longer wait is told; a place becomes free nobody knows when: 0.
    """
    requests_us = tokens_us = 0
    if limits.rpm is not None:
        requests_us = seen.requests.wait_us(seen.request_view, 1, limits.rpm)
    if limits.tpm is not None:
        # A job larger than the limit runs in an empty window.
        cost = min(tpm_cost, limits.tpm)
        tokens_us = seen.tokens.wait_us(seen.token_view, cost, limits.tpm)
    if tokens_us > requests_us:
        return Code.TPM, tokens_us
    if requests_us > 0:
        return Code.RPM, requests_us
    if limits.concurrency is not None and seen.open_requests >= limits.concurrency:
        return Code.CONCURRENCY, 0
    return None
