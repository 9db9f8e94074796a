"""What billing asks of Stripe, and who answers: the module with the `stripe` library.

That library costs each process tens of megabytes and a third of a second, so that module is
imported where a port is opened, which only happens with a key at Stripe.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from importlib import import_module
from typing import Protocol, cast

from gateway.billing.orders import Order
from gateway.billing.seen import (
    DisputeSeen,
    EventSeen,
    IntentSeen,
    MoveSeen,
    RefundSeen,
    SessionSeen,
)


class SignatureWrong(Exception):
    """What claims to come from Stripe does not."""


class EventUnreadable(Exception):
    """It was signed, and is no event."""


class Port(Protocol):
    """Calls to Stripe; faults are StripeUnavailable (ask again) and StripeRefused (do not)."""

    @property
    def livemode(self) -> bool: ...
    async def close(self) -> None: ...
    async def create_session(self, order: Order) -> SessionSeen: ...
    async def session(self, session_id: str) -> SessionSeen | None: ...
    async def session_of_payment(self, payment_id: str) -> SessionSeen | None: ...
    async def charge_saved(self, order: Order) -> IntentSeen: ...
    async def has_method(self, customer_id: str, method: str) -> bool: ...
    async def intent(self, payment_id: str) -> IntentSeen | None: ...
    async def intent_of_order(self, order: Order) -> IntentSeen | None: ...
    async def refunds(self, payment_id: str) -> list[RefundSeen]: ...
    async def disputes(self, payment_id: str) -> list[DisputeSeen]: ...
    async def return_payment(self, order: Order) -> None: ...
    async def events_since(self, since_s: int) -> list[EventSeen]: ...
    def balance_transactions(self, since_s: int) -> AsyncIterator[MoveSeen]: ...
    def signed_event(self, raw: bytes, header: str | None, secrets: Sequence[str]) -> EventSeen: ...


def open_port(
    secret_key: str,
    base: str | None,
    deadline_ms: int = 10_000,
    told: Callable[[str], None] = lambda _: None,
) -> Port:
    """Stripe under a secret key, at `base` (None: Stripe itself).

    Each call ends within the deadline; `told` hears why Stripe did not answer, or "" that it did.
    """
    module = import_module("gateway.billing.stripe_port")
    return cast(Port, module.StripePort(secret_key, base, deadline_ms, told))
