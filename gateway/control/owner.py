"""What the owner of a key sees of it and may do to it: `/v1/keys/me...`, `/v1/requests/{id}`.

Refuses to show another key's requests: an id that is not one's own is not found.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

from gateway.admission.ask import Remaining, Standing
from gateway.control.call import Call, Reply
from gateway.control.desk_parts import DeskParts
from gateway.edge import refusals
from gateway.errors import Problem, RedisUnavailable
from gateway.keys.format import format_key_id
from gateway.ledger.rows import BalanceRow, Refusal, RequestRow
from gateway.metering.outcomes import WHO_PAYS, Outcome
from gateway.units import MS_PER_S, WINDOW_S

# An outcome is posted some 20 ms after its reply; whoever asks at once should see it.
_PATIENCE_S: Final = 0.5
_POLL_S: Final = 0.02
_MAX_DAYS: Final = 366
_MAX_RECENT: Final = 1_000


async def show(parts: DeskParts, call: Call) -> Reply | Problem:
    """The key with its balance and what is left of its limits."""
    assert call.key_id is not None
    standing = await _settled_standing(parts, call.key_id)
    view = await parts.shelf.key_view(call.key_id)
    if view is None:
        return refusals.invalid_key()
    row = view.balance
    document = {
        "key_id": format_key_id(row.key_id),
        "last_characters": view.last_characters,
        "tier": row.tier,
        "status": row.status,
        "created_at": iso(view.created_at_ms),
        "balance": balance_of(row, standing.held_tokens if standing is not None else 0),
        "limits": _limits(parts, row, standing),
    }
    return Reply(200, document)


def balance_of(row: BalanceRow, held_tokens: int) -> dict[str, int]:
    """What is there, and how much of it is set aside for requests that run."""
    total = row.trial + row.paid
    return {"trial": row.trial, "paid": row.paid, "held": held_tokens, "total": total}


async def _settled_standing(parts: DeskParts, key_id: int) -> Standing | None:
    """What Redis knows, once requests that have ended are posted; None without Redis."""
    deadline_s = asyncio.get_running_loop().time() + _PATIENCE_S
    products = [(p.name, p.key, p.premium) for p in parts.catalogue.products.values()]
    try:
        while True:
            standing = await parts.gate.peek(f"k:{key_id}", products)
            if not standing.open_requests or asyncio.get_running_loop().time() > deadline_s:
                return standing
            await asyncio.sleep(_POLL_S)
    except RedisUnavailable:
        return None


def _limits(parts: DeskParts, row: BalanceRow, standing: Standing | None) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for product in parts.catalogue.products.values():
        own = row.limits.get(product.name, {})
        tier = product.premium if row.tier == "premium" else product.key
        rpm, tpm = own.get("rpm"), own.get("tpm")
        entry: dict[str, Any] = {"rpm": tier.rpm if rpm is None else rpm}
        if tpm is not None or tier.tpm is not None:
            entry["tpm"] = tier.tpm if tpm is None else tpm
        if standing is not None and product.name in standing.products:
            entry |= _left(standing.products[product.name])
        limits[product.name] = entry
    return limits


def _left(remaining: Remaining) -> dict[str, int]:
    left = {
        "remaining_requests": remaining.remaining_requests,
        "reset_requests_s": _seconds(remaining.requests_reset_ms),
    }
    if remaining.limit_tokens is not None:
        left["remaining_tokens"] = remaining.remaining_tokens
        left["reset_tokens_s"] = _seconds(remaining.tokens_reset_ms)
    return left


def _seconds(ms: int) -> int:
    return min(WINDOW_S, -(-ms // MS_PER_S))


async def revoke(parts: DeskParts, call: Call) -> Reply | Problem:
    """Ends the key for ever: in the ledger first, then in Redis, then 200."""
    assert call.key_id is not None
    if call.body.get("transfer_to_api_key") is not None:
        return refusals.not_deployed("transfer")
    row = await parts.book.revoke(call.key_id)
    if isinstance(row, Refusal):
        return refusals.invalid_key()
    # If this fails the client gets a 503 and asks again; the outbox tells Redis meanwhile.
    await parts.gate.put_balance(row)
    return Reply(200, {"key_id": format_key_id(row.key_id), "status": row.status})


async def usage(parts: DeskParts, call: Call) -> Reply | Problem:
    """`days` and `by=day,product`, or `recent=N` for the latest requests."""
    assert call.key_id is not None
    if "recent" in call.query:
        recent = call.number("recent", 50, _MAX_RECENT)
        if isinstance(recent, Problem):
            return recent
        rows = await parts.shelf.recent(call.key_id, recent)
        return Reply(200, {"items": [request_document(row) for row in rows]})
    days = call.number("days", 30, _MAX_DAYS)
    if isinstance(days, Problem):
        return days
    by = set(filter(None, call.query.get("by", "day,product").split(",")))
    if not by <= {"day", "product"}:
        return refusals.invalid_field("by", "must be day, product, or both with a comma")
    found = await parts.shelf.usage(
        call.key_id, days, by_day="day" in by, by_product="product" in by
    )
    items = []
    for row in found:
        item: dict[str, Any] = {"requests": row.requests, "tokens": row.tokens}
        if "product" in by:
            item = {"product": row.product, **item}
        items.append({"day": row.day, **item} if "day" in by else item)
    return Reply(200, {"items": items})


async def request(parts: DeskParts, call: Call) -> Reply | Problem:
    """One request of this key: admitted how, held, reported, charged, by which rule."""
    assert call.key_id is not None
    wanted = unquote(call.route.parameters[0])
    deadline_s = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        row = await parts.shelf.request(call.key_id, wanted)
        if row is not None:
            return Reply(200, request_document(row))
        if asyncio.get_running_loop().time() > deadline_s:
            return refusals.not_found("request", wanted[:64])
        await asyncio.sleep(_POLL_S)


def request_document(row: RequestRow) -> dict[str, Any]:
    """A request as its owner reads it; `charged` is what it cost in the end."""
    ending = WHO_PAYS[Outcome(row.outcome)]
    return {
        "request_id": row.request_id,
        "product": row.product,
        "admitted_at": iso(row.admitted_ms),
        "decided_at": iso(row.decided_ms),
        "outcome": row.outcome,
        "outcome_text": ending.text,
        "http_status": row.http_status,
        "held": row.held_tokens,
        "reported": row.reported_tokens,
        "charged": row.cost_tokens - row.shortfall - row.given_back_tokens,
        "from": {"trial": row.from_trial, "paid": row.from_paid},
        "shortfall": row.shortfall,
        "given_back": row.given_back_tokens,
        "tokens": row.cost_tokens,
        "rule": row.rule,
    }


def iso(unix_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(unix_ms / MS_PER_S, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
