"""What the owner of a key sees of it and may do to it: `/v1/keys/me...`, `/v1/requests/{id}`.

Refuses to show another key's requests: an id that is not one's own is not found.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote
from uuid import UUID

from gateway.admission.ask import Hold, Remaining, Standing
from gateway.control.call import Call, Reply
from gateway.control.desk_parts import DeskParts
from gateway.edge import refusals
from gateway.errors import Problem, RedisUnavailable
from gateway.keys.format import format_key_id
from gateway.ledger.rows import BalanceRow, RequestRow
from gateway.ledger.shelf import MAX_ROWS, MAX_USAGE_DAYS
from gateway.metering.outcomes import WHO_PAYS, Outcome
from gateway.units import MS_PER_S, WINDOW_S

# An outcome is posted some 20 ms after its reply, and its hold is released after that: so whoever
# has read a reply and asks at once sees what it cost as soon as nothing is held any more. A long
# stream that is still open cannot be told from that, and makes its owner wait this long.
_PATIENCE_S: Final = 0.5
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.05


async def show(parts: DeskParts, call: Call) -> Reply | Problem:
    """The key with its balance and what is left of its limits."""
    assert call.key_id is not None
    await settled(parts, call.key_id)
    memory = parts.gate.memory
    view = await parts.shelf.key_view(call.key_id)
    if view is None:
        return refusals.invalid_key()
    row = view.balance
    standing = await _standing(parts, row, memory)
    document = {
        "key_id": format_key_id(row.key_id),
        "last_characters": view.last_characters,
        "owner": view.owner,
        "tier": row.tier,
        "status": row.status,
        "created_at": iso(view.created_at_ms),
        "balance": balance_of(row, None if standing is None else standing.held_tokens),
        "limits": _limits(parts, row, standing),
    }
    if row.status == "suspended":
        document["suspended_by"] = await parts.shelf.suspended_by(row.key_id)
    return Reply(200, document)


def balance_of(row: BalanceRow, held_tokens: int | None) -> dict[str, int | None]:
    """What is there, and how much of it is set aside for requests that run.

    `held` is null while Redis, which knows it, does not answer.
    """
    total = row.trial + row.paid
    return {"trial": row.trial, "paid": row.paid, "held": held_tokens, "total": total}


async def settled(parts: DeskParts, key_id: int) -> None:
    """Return once the key's requests that have ended are in the ledger, within half a second.

    Holds are in Redis, so this also waits for what other gateway processes have to post. Without
    Redis nothing can be waited for.
    """
    clock_s = asyncio.get_running_loop().time
    deadline_s, pause_s = clock_s() + _PATIENCE_S, _FIRST_PAUSE_S
    try:
        # A request that is decided and not posted is not open any more, but holds what it cost.
        while any(await parts.gate.holds(f"k:{key_id}")) and clock_s() < deadline_s:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    except RedisUnavailable:
        return


async def _standing(parts: DeskParts, row: BalanceRow, memory: int) -> Standing | None:
    """What Redis knows of the key, measured by the limits of this row; None without Redis."""
    subject = f"k:{row.key_id}"
    products = [(p.name, p.key, p.premium) for p in parts.catalogue.products.values()]
    try:
        standing = await parts.gate.peek(subject, products)
        if standing.version is None or standing.version < row.version:
            # What is left depends on tier and own limits, so the copy has to know them first.
            await parts.gate.put_balance(row, memory)
            standing = await parts.gate.peek(subject, products)
    except RedisUnavailable:
        return None
    return standing


def _limits(parts: DeskParts, row: BalanceRow, standing: Standing | None) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for product in parts.catalogue.products.values():
        tier = product.premium if row.tier == "premium" else product.key
        own = {k: v for k, v in row.limits.get(product.name, {}).items() if v is not None}
        entry: dict[str, Any] = {"rpm": own.get("rpm", tier.rpm)}
        tpm = own.get("tpm", tier.tpm)
        if tpm is not None:
            entry["tpm"] = tpm
        entry["concurrency"] = own.get("concurrency", tier.concurrency)
        if standing is not None:
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


async def usage(parts: DeskParts, call: Call) -> Reply | Problem:
    """`days` and `by=day,product`, or `recent=N` for the latest requests."""
    assert call.key_id is not None
    if "recent" in call.query:
        recent = call.number("recent", 50, MAX_ROWS)
        if isinstance(recent, Problem):
            return recent
        await settled(parts, call.key_id)
        rows = await parts.shelf.recent(call.key_id, recent)
        return Reply(200, {"items": [request_document(row) for row in rows]})
    days = call.number("days", 30, MAX_USAGE_DAYS)
    if isinstance(days, Problem):
        return days
    by = set(filter(None, call.query.get("by", "day,product").split(",")))
    if not by <= {"day", "product"}:
        return refusals.invalid_query("by", "must be day, product, or both with a comma")
    await settled(parts, call.key_id)
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
    """One request of this key: admitted how, held, reported, charged, by which rule.

    One that is not in the ledger yet is told by its hold, which is released only after that.
    """
    assert call.key_id is not None
    wanted = unquote(call.route.parameters[0])
    try:
        wanted = str(UUID(wanted))
    except ValueError:
        return refusals.not_found("request", wanted[:64])
    row = await parts.shelf.request(call.key_id, wanted)
    hold = None
    if row is None:
        hold = await _hold(parts, call.key_id, wanted)
        await settled(parts, call.key_id)
        row = await parts.shelf.request(call.key_id, wanted)
    if row is not None:
        return Reply(200, request_document(row))
    if hold is None or hold.product not in parts.catalogue.products:
        return refusals.not_found("request", wanted)
    return Reply(200, _running_document(hold))


async def _hold(parts: DeskParts, key_id: int, request_id: str) -> Hold | None:
    """None also where Redis cannot be asked."""
    try:
        return await parts.gate.hold(f"k:{key_id}", request_id)
    except RedisUnavailable:
        return None


def _running_document(hold: Hold) -> dict[str, Any]:
    """A request that runs, as its owner reads it: nothing of it is charged yet."""
    return {
        "request_id": hold.request_id,
        "product": hold.product,
        "state": "running",
        # The milliseconds in a UUIDv7: the product's deadline may have been changed since.
        "admitted_at": iso(UUID(hold.request_id).int >> 80),
        "held": hold.hold_tokens,
    }


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
