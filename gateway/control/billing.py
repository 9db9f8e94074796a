"""`/v1/billing/...`: what can be bought, a checkout, Stripe's door, and a key's orders.

Refuses to word anything of Stripe's own: who buys here reads what this installation says.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.billing.checkout import Asked
from gateway.billing.house import Billing
from gateway.billing.orders import Order, StripeUnavailable
from gateway.billing.packs import Pack, price_id
from gateway.billing.port import EventUnreadable, SignatureWrong
from gateway.control.call import Call, Reply
from gateway.control.desk_parts import DeskParts
from gateway.control.owner import iso
from gateway.edge import refusals
from gateway.edge.repeat_name import repeat_name
from gateway.errors import Problem
from gateway.units import MS_PER_S

_MOST_ADDRESS: Final = 2_048
_MOST_EMAIL: Final = 254
# Letters of any script; of the signs those that a mailbox may have without quotes.
_EMAIL: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[^\W_](?:[\w-]*\.[^\W_])+[\w-]*")
_FIELDS: Final = frozenset(
    ("pack", "currency", "email", "success_url", "cancel_url", "save_payment_method")
)
_MOST_ORDERS: Final = 200


async def packs(parts: DeskParts, _call: Call) -> Reply | Problem:
    """What can be bought; prices in the minor unit of each currency."""
    found = of(parts)
    items = [
        {
            "pack": pack.pack,
            "name": pack.title,
            "tokens": pack.tokens,
            "prices": dict(pack.prices_minor),
        }
        for pack in found.packs.packs.values()
    ]
    return Reply(200, {"items": items, "tax": found.packs.tax})


async def checkout(parts: DeskParts, call: Call) -> Reply | Problem:
    """`{"pack", "currency"}` and, if wished, `email`, `success_url`, `cancel_url`,
    `save_payment_method`: where to pay. The same Idempotency-Key gives the same order."""
    assert call.key_id is not None
    unknown = sorted(set(call.body) - _FIELDS)
    if unknown:
        text = f"{unknown[0][:64]!r} is not known here; {', '.join(sorted(_FIELDS))} are"
        return refusals.invalid_field(unknown[0][:64], text)
    pack = pack_of(of(parts), call.body)
    if isinstance(pack, Problem):
        return pack
    mistake = _wrong_words(call.body)
    if mistake is not None:
        return mistake
    return await _opened(parts, call, pack, call.body)


async def open_checkout(
    parts: DeskParts, call: Call, pack: Pack, words: Mapping[str, Any]
) -> Order | Problem:
    """The order with its session; `words` are checked."""
    assert call.key_id is not None
    name = repeat_name(call.exchange.headers)
    if isinstance(name, Problem):
        return name
    asked = Asked(
        call.key_id,
        name or "",
        pack,
        words["currency"],
        words.get("email"),
        words.get("success_url"),
        words.get("cancel_url"),
        bool(words.get("save_payment_method")),
    )
    try:
        order = await of(parts).checkout.open(asked)
    except StripeUnavailable:
        return _stripe_away(named=name is not None)
    return order if isinstance(order, Order) else _refused(order)


async def _opened(
    parts: DeskParts, call: Call, pack: Pack, words: Mapping[str, Any]
) -> Reply | Problem:
    order = await open_checkout(parts, call, pack, words)
    if isinstance(order, Problem):
        return order
    document = {"url": order.session_url, "order_id": order.order_id, "state": order.state}
    return Reply(200, document)


async def webhook(parts: DeskParts, call: Call) -> Reply | Problem:
    """What Stripe sends: 200 once it is kept, and for what is none of ours."""
    found = of(parts)
    if not found.takes_webhooks:
        return Problem(
            "WEBHOOK_NOT_CONFIGURED",
            503,
            "Webhooks are not configured on this deployment: set SLUICE_STRIPE_WEBHOOK_SECRET",
        )
    try:
        said = await found.inbox.receive(call.raw, call.exchange.headers.get("Stripe-Signature"))
    except SignatureWrong:
        parts.telemetry.webhooks.labels("forged").inc()
        return Problem(
            "WEBHOOK_SIGNATURE",
            400,
            "The signature does not match the body, or is older than five minutes",
        )
    except EventUnreadable as unreadable:
        parts.telemetry.webhooks.labels("unreadable").inc()
        return refusals.body_unreadable(str(unreadable))
    parts.telemetry.webhooks.labels(said).inc()
    return Reply(200, {"received": True, "event": said})


async def orders(parts: DeskParts, call: Call) -> Reply | Problem:
    """The key's orders, newest first, with what became of each."""
    assert call.key_id is not None
    limit = call.number("limit", 50, _MOST_ORDERS)
    if isinstance(limit, Problem):
        return limit
    till = of(parts).till
    found = await till.orders_of(call.key_id, limit)
    items = [order_document(order) for order in found]
    return Reply(200, {"items": items, "owed_tokens": await till.debt(call.key_id)})


def order_document(order: Order) -> dict[str, Any]:
    """An order as its owner reads it."""
    return {
        "order_id": order.order_id,
        "origin": order.origin,
        "state": order.state,
        "pack": order.pack,
        "tokens": order.tokens,
        "granted_tokens": order.granted_tokens,
        "currency": order.currency,
        "price": order.price_minor,
        "paid": order.paid_minor,
        "refunded": order.refunded_minor,
        "disputed": order.disputed_minor,
        "created_at": iso(order.created_s * MS_PER_S),
        "expires_at": iso(order.expires_s * MS_PER_S),
        "url": order.session_url if order.state == "awaiting" else None,
        "invoice_url": order.invoice_url,
        "note": order.note,
    }


def of(parts: DeskParts) -> Billing:
    """The billing that is there: without it the desk answers before any handler."""
    assert parts.billing is not None
    return parts.billing


def pack_of(found: Billing, body: Mapping[str, Any]) -> Pack | Problem:
    """The pack that is named, if it has a price in the currency that is."""
    name, currency = body.get("pack"), body.get("currency")
    pack = found.packs.packs.get(name) if isinstance(name, str) else None
    if pack is None:
        offered = ", ".join(found.packs.packs)
        return refusals.invalid_field("pack", f"must be one of {offered}")
    if not isinstance(currency, str) or currency not in pack.prices_minor:
        offered = ", ".join(pack.prices_minor)
        return refusals.invalid_field("currency", f"{pack.pack} can be paid in {offered}")
    return pack


def _wrong_words(body: Mapping[str, Any]) -> Problem | None:
    email = body.get("email")
    if email is not None and not _is_email(email):
        return refusals.invalid_field("email", "must be an e-mail address")
    for name in ("success_url", "cancel_url"):
        if body.get(name) is not None and not is_address(body[name]):
            text = f"must be a whole http or https address of at most {_MOST_ADDRESS} characters"
            return refusals.invalid_field(name, text)
    if not isinstance(body.get("save_payment_method"), bool | None):
        return refusals.invalid_field("save_payment_method", "must be true or false")
    return None


def _is_email(text: object) -> bool:
    return isinstance(text, str) and len(text) <= _MOST_EMAIL and bool(_EMAIL.fullmatch(text))


def is_address(text: object) -> bool:
    """Whether a browser can be sent there."""
    if not isinstance(text, str) or not 8 <= len(text) <= _MOST_ADDRESS or not text.isprintable():
        return False
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname)
        # A name or password in it would be shown to whoever sees the browser.
        return whole and "@" not in parts.netloc and " " not in text
    except ValueError:
        return False


def _stripe_away(*, named: bool) -> Problem:
    again = "Please repeat it with the same Idempotency-Key" if named else "Please try it again"
    text = f"Payments cannot be taken at the moment; nothing was bought. {again}"
    return Problem("PAYMENTS_UNAVAILABLE", 503, text, 5_000)


def _refused(why: str) -> Problem:
    if why == "SUSPENDED":
        return refusals.suspended()
    if why in ("REVOKED", "UNKNOWN_KEY"):
        return refusals.revoked()
    if why == "OTHER_BODY":
        return refusals.idempotency_key_reused()
    if why == "TOO_MANY":
        text = "Too many orders of this key wait for their payment; pay one or let it expire"
        return Problem("ORDERS_TOO_MANY", 429, text, 600_000)
    if why == "ORDER_OVER":
        text = "The order under this Idempotency-Key is over; please use a new Idempotency-Key"
        return Problem("ORDER_OVER", 409, text)
    if why == "TOO_MUCH":
        return Problem("TOPUP_TOO_MUCH", 409, "No balance can hold that many tokens")
    return Problem("CHECKOUT_REFUSED", 502, "Stripe did not take this order; nothing was bought")


async def dash_products(parts: DeskParts, _call: Call) -> Reply | Problem:
    """The same packs for older clients: one entry per price."""
    found = of(parts)
    items = [
        {
            "price_id": price_id(pack.pack, currency),
            "name": pack.title,
            "quantity": pack.tokens,
            "currency": currency,
            "unit_amount": price,
        }
        for pack in found.packs.packs.values()
        for currency, price in pack.prices_minor.items()
    ]
    return Reply(200, items)


async def dash_checkout(parts: DeskParts, call: Call) -> Reply | Problem:
    """`{"price_id", "success_url", "cancel_url"}` of older clients; answers `{"url"}`."""
    name = call.body.get("price_id")
    pack_name, _, currency = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    words = {**call.body, "pack": pack_name, "currency": currency}
    pack = pack_of(of(parts), words)
    if isinstance(pack, Problem):
        return refusals.invalid_field("price_id", "must be a price_id of GET /api/v1/product")
    mistake = _wrong_words(words)
    if mistake is not None:
        return mistake
    kept = {name: words.get(name) for name in ("currency", "success_url", "cancel_url")}
    order = await open_checkout(parts, call, pack, kept)
    return order if isinstance(order, Problem) else Reply(200, {"url": order.session_url})
