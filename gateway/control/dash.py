"""The older dashboard calls that published clients make, answered from the same ledger.

Refuses to show more than those clients read: the wallet, and where they are premium.
"""

from typing import Any, Final

from gateway.control.call import Call, Reply
from gateway.control.desk_parts import DeskParts
from gateway.control.owner import iso, settled
from gateway.edge import refusals
from gateway.errors import Problem
from gateway.keys.format import format_key_id
from gateway.ledger.rows import KeyView
from gateway.ledger.shelf import MAX_USAGE_DAYS

# `speed_level` of the wire contract: 2 and more is premium.
_SPEED_LEVELS = {"key": 1, "premium": 2}
_PURCHASES: Final = 1_000


async def user_by_query(parts: DeskParts, call: Call) -> Reply | Problem:
    """`?api_key=`: the key as a query parameter, as those clients send it."""
    key = call.query.get("api_key")
    if not key:
        return refusals.invalid_query("api_key", "field required")
    key_id = await parts.keys.find(key)
    return refusals.invalid_key() if key_id is None else await _brief(parts, key_id)


async def user_by_bearer(parts: DeskParts, call: Call) -> Reply | Problem:
    """The same with the key in the Authorization header."""
    assert call.key_id is not None
    return await _brief(parts, call.key_id)


async def transactions(parts: DeskParts, call: Call) -> Reply | Problem:
    """What came in, and per day and product what was used; the newest first."""
    assert call.key_id is not None
    await settled(parts, call.key_id)
    came = [
        _transaction(
            "purchase" if move.bucket == "paid" else "trial", move.tokens, iso(move.posted_ms), {}
        )
        for move in await parts.shelf.receipts(call.key_id, _PURCHASES)
    ]
    used = [
        _transaction("consume", row.tokens, f"{row.day}T00:00:00.000Z", {"product": row.product})
        for row in await parts.shelf.usage(call.key_id, MAX_USAGE_DAYS)
        if row.tokens
    ]
    both = sorted((*came, *used), key=lambda each: str(each["updated_at"]), reverse=True)
    return Reply(200, both)


def _transaction(
    kind: str, quantity: int, updated_at: str, names: dict[str, str | None]
) -> dict[str, Any]:
    metadata = {"product_name": names["product"]} if names else {}
    return {"type": kind, "quantity": quantity, "updated_at": updated_at, "metadata": metadata}


async def models(parts: DeskParts, _call: Call) -> Reply | Problem:
    """The products that run here, as the cards that older clients list."""
    names = sorted(parts.settings.service_urls)
    return Reply(200, [{"name": name, "rank": 0, "meta_data": {}} for name in names])


async def _brief(parts: DeskParts, key_id: int) -> Reply | Problem:
    await settled(parts, key_id)
    view = await parts.shelf.key_view(key_id)
    if view is None or view.balance.status == "revoked":
        return refusals.invalid_key()
    document = _document(view)
    if parts.billing is not None:
        livemode = parts.billing.port.livemode
        customer = await parts.billing.till.customer(key_id, livemode=livemode)
        allowed = await parts.billing.recharge_till.allowed(key_id)
        document["customer_id"] = None if customer is None else customer[0]
        document["metadata"]["auto_recharge"] = allowed is not None and allowed.enabled
        if allowed is not None:
            document["metadata"]["threshold"] = allowed.wish.threshold_tokens
    return Reply(200, document)


def _document(view: KeyView) -> dict[str, Any]:
    row = view.balance
    return {
        "user_id": format_key_id(view.key_id),
        "email": None,
        "full_name": view.owner or None,
        "customer_id": None,
        "wallet": {
            "trial_balance": row.trial,
            "trial_start": iso(view.created_at_ms),
            "trial_end": None,
            "regular_balance": row.paid,
            "total_balance": row.trial + row.paid,
        },
        "metadata": {"speed_level": _SPEED_LEVELS[row.tier]},
    }
