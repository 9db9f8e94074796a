"""Stripe's words and ours: what a session is made of, and what its objects say.

Refuses to call anything: it takes and gives plain dictionaries.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from gateway.billing.orders import Order
from gateway.billing.seen import EventSeen, IntentSeen, MoveSeen, SessionSeen

# What is asked of Stripe's list of events; a webhook endpoint needs the same.
EVENT_KINDS: Final = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "payment_intent.processing",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "invoice.paid",
)
_MOST_NAME: Final = 255
Json = Mapping[str, Any]
# What moves our balance because of a payment.
_MOVES: Final = frozenset(("charge", "refund", "dispute"))


def session_params(order: Order) -> Any:
    """What its session is made of: nothing but the row, so that a repeat is the same."""
    asked = order.request
    data = {
        "currency": order.currency,
        "unit_amount": order.price_minor,
        "tax_behavior": asked["tax"],
        "product_data": {"name": asked["title"]},
    }
    names = {"order_id": order.order_id}
    payment: dict[str, Any] = {"metadata": names}
    if asked["save"]:
        payment["setup_future_usage"] = "off_session"
    params: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": order.order_id,
        "metadata": names,
        "line_items": [{"quantity": 1, "price_data": data}],
        "allow_promotion_codes": True,
        "automatic_tax": {"enabled": asked["automatic_tax"]},
        "invoice_creation": {"enabled": True, "invoice_data": {"metadata": names}},
        "payment_intent_data": payment,
        "success_url": asked["success_url"],
        "cancel_url": asked["cancel_url"],
        "expires_at": order.expires_s,
    }
    if asked["customer"]:
        params["customer"] = asked["customer"]
        if asked["automatic_tax"]:
            params["customer_update"] = {"address": "auto"}
    else:
        params["customer_creation"] = "always"
        if asked["email"]:
            params["customer_email"] = asked["email"]
    return params


def session_name(order: Order) -> str:
    """Stripe's idempotency key for the session: another one where the request had to change."""
    return f"{order.order_id}/anew" if order.request.get("anew") else order.order_id


def return_name(order: Order) -> str:
    """Stripe's idempotency key for giving the payment back.

    What was refused is refused again under the same key, so each turn of a dispute has another one.
    No money can go twice: without an amount Stripe gives what is left, and nothing if nothing is.
    """
    turns = [f"{name}={how}" for name, (_, how) in sorted(order.facts["disputes"].items())]
    return "/".join((order.order_id, "return", *turns))[:_MOST_NAME]


def _id_of(value: Any) -> str | None:
    """A reference, whether it is only a name or was expanded."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if _is_name(found) else None


def _is_name(text: Any) -> bool:
    """Whether it can be one of Stripe's names: what a database cannot keep is none."""
    if not isinstance(text, str) or not 0 < len(text) <= _MOST_NAME:
        return False
    return text.isascii() and text.isprintable()


def order_named(thing: Json) -> str:
    """The id of the order that we wrote on it."""
    return str((thing.get("metadata") or {}).get("order_id", ""))


def session_of(told: Json) -> SessionSeen:
    """A checkout session."""
    details = told.get("total_details") or {}
    intent, invoice = told.get("payment_intent"), told.get("invoice")
    return SessionSeen(
        told["id"],
        told.get("url"),
        told.get("status") or "open",
        told.get("payment_status") or "unpaid",
        # Not client_reference_id: a payment link lets its buyer write that.
        order_named(told),
        told["livemode"],
        told.get("currency") or "",
        told.get("amount_subtotal") or 0,
        details.get("amount_discount") or 0,
        details.get("amount_tax") or 0,
        told.get("amount_total") or 0,
        _id_of(intent),
        _id_of(told.get("customer")),
        invoice.get("hosted_invoice_url") if isinstance(invoice, dict) else None,
        intent_of(intent) if isinstance(intent, dict) else None,
    )


def intent_of(told: Json) -> IntentSeen:
    """A payment."""
    error = told.get("last_payment_error") or {}
    return IntentSeen(
        told["id"],
        told["status"],
        order_named(told),
        told["livemode"],
        told["currency"],
        told["amount"],
        told.get("amount_received") or 0,
        _id_of(told.get("customer")),
        _id_of(told.get("payment_method")),
        str(error.get("decline_code") or error.get("code") or ""),
        _uuid(order_named(told)),
        _turned(told.get("latest_charge")),
    )


def _turned(charge: Any) -> bool:
    """Whether money of it may have gone back; a charge that did not come along may tell so."""
    if not isinstance(charge, dict):
        return True
    return charge.get("amount_refunded") != 0 or charge.get("disputed") is not False


def move_of(told: Json) -> MoveSeen | None:
    """A movement of the balance with its source in it; None if it is about no payment."""
    source = told.get("source")
    if not isinstance(source, Mapping) or source.get("object") not in _MOVES:
        return None
    payment_id = _id_of(source.get("payment_intent"))
    if payment_id is None:
        return None
    amount = told["amount"]
    if told["currency"] != source["currency"]:
        # Paid out in another currency: what the payer saw is what his order says.
        whole = source.get("amount_captured") or source["amount"]
        amount = whole if amount > 0 else -whole
    kind = source["object"]
    return MoveSeen(payment_id, kind, amount, source["currency"], told["created"])


def event_of(told: Json) -> EventSeen | None:
    """An event; None if that is none."""
    data = told.get("data")
    thing = data.get("object") if isinstance(data, dict) else None
    name, kind, created = told.get("id"), told.get("type"), told.get("created")
    if not isinstance(thing, dict) or type(created) is not int:
        return None
    if not isinstance(name, str) or not isinstance(kind, str):
        return None
    if not _is_name(name) or not _is_name(kind):
        return None
    is_session = thing.get("object") == "checkout.session"
    is_intent = thing.get("object") == "payment_intent"
    metadata = thing.get("metadata")
    named = metadata.get("order_id") if isinstance(metadata, dict) else None
    if is_session:
        named = thing.get("client_reference_id") or named
    return EventSeen(
        name,
        kind,
        told.get("livemode") is True,
        _id_of(told.get("account")),
        created,
        _uuid(named),
        _id_of(thing.get("id")) if is_session else None,
        _id_of(thing.get("id") if is_intent else thing.get("payment_intent")),
    )


def _uuid(text: Any) -> str | None:
    try:
        return str(UUID(text)) if isinstance(text, str) else None
    except ValueError:
        return None
