"""An order as the database keeps it.

Refuses to know how it is stored, and what Stripe calls anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.errors import Fault

CHECKOUT: Final = "checkout"
RECHARGE: Final = "recharge"
# Nothing was decided about the money yet: worth asking Stripe again.
OPEN_STATES: Final = frozenset(("created", "awaiting", "pending", "returning"))


class StripeUnavailable(Fault):
    """Stripe did not answer, or not in time, or asked us to wait."""


class StripeRefused(Fault):
    """Stripe understood the request and refused it; `code` is its own word for why, and `param`
    names the part of the request that it is about, if any."""

    def __init__(self, code: str, detail: str, param: str = "") -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.param = param
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked to be bought, at which price, and what became of it.

    `request` is what the session is made of besides: the same for every repeat of the call.
    `facts` is what `facts.Facts` was made into. Times are unix seconds. `granted_tokens` is what
    the key has of this order now. `released` is what an operator decided about money that was
    held: `credit`, `return`, or nothing yet.
    """

    order_id: str
    key_id: int
    origin: str
    pack: str
    tokens: int
    currency: str
    price_minor: int
    livemode: bool
    request: Mapping[str, Any] = field(repr=False)
    state: str
    version: int
    session_id: str | None
    session_url: str | None = field(repr=False)
    payment_id: str | None
    customer_id: str | None
    payment_method: str | None
    invoice_url: str | None = field(repr=False)
    facts: Mapping[str, Any]
    paid_minor: int | None
    refunded_minor: int
    disputed_minor: int
    topped_up: bool
    return_due: bool
    released: str
    granted_tokens: int
    note: str
    created_s: int
    expires_s: int
