"""What Stripe said of a payment, as records of ours, and what that is for one order.

Refuses to believe it: currency, price, mode and sums are compared with the order first. Promotion
codes and tax change what is paid in the end, so the price is compared before both, and the sum
must be the price less the discount, with or without the tax on top.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.billing.facts import Dispute, Facts, Payment, Refund
from gateway.billing.orders import Order

# Nothing was withdrawn: a bank only asked.
_INQUIRIES: Final = frozenset(
    ("warning_needs_response", "warning_under_review", "warning_closed", "prevented")
)
_REFUNDS: Final = {
    "succeeded": Refund.SETTLED,
    "failed": Refund.FAILED,
    "canceled": Refund.FAILED,
}


@dataclass(frozen=True, slots=True)
class IntentSeen:
    """A payment. `order_uuid` is `order_id` if that can be one of ours.

    `turned` is False where no refund or dispute of it was ever made.
    """

    payment_id: str
    status: str
    order_id: str
    livemode: bool
    currency: str
    amount_minor: int
    received_minor: int
    customer_id: str | None
    payment_method: str | None
    decline: str
    order_uuid: str | None = None
    turned: bool = True


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """A checkout session; amounts in minor units, `subtotal` before discounts and tax.

    `intent` is its payment where that came along.
    """

    session_id: str
    url: str | None
    status: str
    payment_status: str
    order_id: str
    livemode: bool
    currency: str
    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    payment_id: str | None
    customer_id: str | None
    invoice_url: str | None
    intent: IntentSeen | None = None


@dataclass(frozen=True, slots=True)
class MoveSeen:
    """A movement of our balance at Stripe because of a payment, in the payment's currency.

    `kind` is charge, refund or dispute; `amount_minor` is below 0 where money went back.
    """

    payment_id: str
    kind: str
    amount_minor: int
    currency: str
    created_s: int


@dataclass(frozen=True, slots=True)
class RefundSeen:
    """One refund of a payment."""

    refund_id: str
    amount_minor: int
    status: str


@dataclass(frozen=True, slots=True)
class DisputeSeen:
    """One dispute of a payment."""

    dispute_id: str
    amount_minor: int
    currency: str
    status: str


@dataclass(frozen=True, slots=True)
class EventSeen:
    """An event that was signed by Stripe, or is in its list: what it is about, and no more."""

    event_id: str
    kind: str
    livemode: bool
    account: str | None
    created_s: int
    order_id: str | None
    session_id: str | None
    payment_id: str | None


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that was fetched for one order at one look."""

    session: SessionSeen | None
    intent: IntentSeen | None
    refunds: Sequence[RefundSeen] = ()
    disputes: Sequence[DisputeSeen] = ()


def facts_of(order: Order, sight: Sight) -> Facts:
    """What this look says of the order."""
    payment = _payment(sight.session, sight.intent)
    if payment is not Payment.PAID:
        return Facts(payment)
    received = _received(sight)
    return Facts(
        payment,
        received,
        mismatch(order, sight),
        {
            r.refund_id: (r.amount_minor, _REFUNDS.get(r.status, Refund.PENDING))
            for r in sight.refunds
        },
        {d.dispute_id: (_disputed(d, order, received), _dispute(d.status)) for d in sight.disputes},
    )


def mismatch(order: Order, sight: Sight) -> str:
    """Why this payment is not the one that the order asked for; empty if it is."""
    session, intent = sight.session, sight.intent
    wrong: list[str] = []
    for told in (session, intent):
        if told is None:
            continue
        if told.livemode != order.livemode:
            wrong.append(f"livemode is {told.livemode}")
        if told.order_id != order.order_id:
            wrong.append("it names another order")
        if told.currency != order.currency:
            wrong.append(f"currency is {told.currency}")
    if session is None:
        if intent is not None and intent.amount_minor != order.price_minor:
            wrong.append(f"amount is {intent.amount_minor}")
    else:
        net = session.subtotal_minor - session.discount_minor
        if session.subtotal_minor != order.price_minor:
            wrong.append(f"price is {session.subtotal_minor}")
        if session.discount_minor < 0 or session.tax_minor < 0:
            wrong.append("a discount or tax is negative")
        if session.total_minor not in (net, net + session.tax_minor):
            wrong.append(f"total {session.total_minor} is not price less discount plus tax")
    asked = order.price_minor if session is None else session.total_minor
    if intent is None and asked != 0:
        wrong.append("there is no payment")
    if intent is not None and intent.received_minor != asked:
        wrong.append(f"received is {intent.received_minor}")
    return "; ".join(dict.fromkeys(wrong))


def _payment(session: SessionSeen | None, intent: IntentSeen | None) -> Payment:
    status = "" if intent is None else intent.status
    if status == "succeeded":
        return Payment.PAID
    if session is None:
        if not status:
            return Payment.OPEN
        return Payment.PENDING if status == "processing" else Payment.FAILED
    if session.status == "expired":
        return Payment.EXPIRED
    if session.status != "complete":
        return Payment.OPEN
    if session.payment_status == "no_payment_required":
        return Payment.PAID
    if status in ("requires_payment_method", "canceled"):
        return Payment.FAILED
    return Payment.PENDING


def _received(sight: Sight) -> int:
    if sight.intent is not None:
        return sight.intent.received_minor
    return 0


def _disputed(dispute: DisputeSeen, order: Order, received_minor: int) -> int:
    """A dispute in another currency cannot be a share of ours: it is about all of it."""
    return dispute.amount_minor if dispute.currency == order.currency else received_minor


def _dispute(status: str) -> Dispute:
    if status in _INQUIRIES:
        return Dispute.INQUIRY
    if status.startswith("appeal_"):
        # It was lost, and the money is away until the appeal is won.
        return Dispute.LOST
    return {"won": Dispute.WON, "lost": Dispute.LOST}.get(status, Dispute.OPEN)
