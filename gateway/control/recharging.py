"""`/v1/billing/auto-recharge`: what the owner of a key allows to be bought by itself.

Refuses to be on without a saved way to pay, a cap per month, and his own word.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from gateway.billing.guard import is_allowed
from gateway.billing.notify import AddressRefused, refuse_private
from gateway.billing.recharge import DEFAULT_THRESHOLD_TOKENS
from gateway.billing.recharge_till import Allowed, Wish
from gateway.control.billing import is_address, of, pack_of
from gateway.control.call import Call, Reply
from gateway.control.desk_parts import DeskParts
from gateway.control.owner import iso
from gateway.edge import refusals
from gateway.errors import Problem
from gateway.units import MS_PER_S

_FIELDS: Final = frozenset(("pack", "currency", "threshold_tokens", "monthly_cap", "notify_url"))
_MOST_TOKENS: Final = 10**12
_MOST_MINOR: Final = 10**12
_SECRET_BYTES: Final = 24


async def show(parts: DeskParts, call: Call) -> Reply | Problem:
    """What is allowed now."""
    assert call.key_id is not None
    return Reply(200, _document(await of(parts).recharge_till.allowed(call.key_id)))


async def allow(parts: DeskParts, call: Call) -> Reply | Problem:
    """`{"pack", "currency", "threshold_tokens", "monthly_cap", "notify_url"}`: on from now.

    The secret of the webhook is told when it is made, which is when the address is new.
    """
    assert call.key_id is not None
    row = await parts.book.load_balance(call.key_id)
    if row is not None and row.status == "suspended":
        return refusals.suspended()
    wish = _wish(parts, call.body)
    if isinstance(wish, Problem):
        return wish
    if of(parts).terms.automatic_tax:
        return Problem(
            "RECHARGE_NOT_WITH_TAX",
            409,
            "Recharges are not possible here, because tax is computed at each checkout",
        )
    secret = os.urandom(_SECRET_BYTES).hex()
    livemode = of(parts).port.livemode
    if not await of(parts).recharge_till.allow(call.key_id, wish, secret, livemode=livemode):
        return Problem(
            "RECHARGE_NEEDS_PAYMENT_METHOD",
            409,
            "There is no saved way to pay: buy a pack with save_payment_method first",
        )
    allowed = await of(parts).recharge_till.allowed(call.key_id)
    document = _document(allowed)
    if allowed is not None and allowed.notify_secret == secret:
        document["notify_secret"] = secret
    return Reply(200, document)


async def stop(parts: DeskParts, call: Call) -> Reply | Problem:
    """Off from now; a recharge that is in flight runs to its end."""
    assert call.key_id is not None
    await of(parts).recharge_till.stop(call.key_id, "owner")
    return Reply(200, _document(await of(parts).recharge_till.allowed(call.key_id)))


def _wish(parts: DeskParts, body: Mapping[str, Any]) -> Wish | Problem:
    unknown = sorted(set(body) - _FIELDS)
    if unknown:
        text = f"{unknown[0][:64]!r} is not known here; {', '.join(sorted(_FIELDS))} are"
        return refusals.invalid_field(unknown[0][:64], text)
    pack = pack_of(of(parts), body)
    if isinstance(pack, Problem):
        return pack
    price = pack.prices_minor[body["currency"]]
    threshold = body.get("threshold_tokens", DEFAULT_THRESHOLD_TOKENS)
    if type(threshold) is not int or not 1 <= threshold <= _MOST_TOKENS:
        text = f"must be a whole number from 1 to {_MOST_TOKENS}"
        return refusals.invalid_field("threshold_tokens", text)
    cap = body.get("monthly_cap")
    if type(cap) is not int or not price <= cap <= _MOST_MINOR:
        text = f"must be a whole number of minor units, at least the price of the pack: {price}"
        return refusals.invalid_field("monthly_cap", text)
    url = body.get("notify_url")
    if url is not None and not _may_be_told(parts, url):
        return refusals.invalid_field("notify_url", "must be a public http or https address")
    return Wish(pack.pack, body["currency"], threshold, cap, url)


def _may_be_told(parts: DeskParts, url: object) -> bool:
    """Names are looked up at each delivery: what they stand for may change."""
    if not is_address(url):
        return False
    try:
        if not is_allowed(str(url), parts.settings.notify_allow):
            refuse_private(str(url))
    except AddressRefused:
        return False
    return True


def _document(allowed: Allowed | None) -> dict[str, Any]:
    if allowed is None:
        return {"enabled": False}
    wish = allowed.wish
    return {
        "enabled": allowed.enabled,
        "stopped": allowed.stopped,
        "pack": wish.pack,
        "currency": wish.currency,
        "threshold_tokens": wish.threshold_tokens,
        "monthly_cap": wish.monthly_cap_minor,
        "notify_url": wish.notify_url,
        "declines": allowed.failures,
        "not_before": iso(allowed.next_s * MS_PER_S),
        "order_in_flight": allowed.in_flight,
    }
