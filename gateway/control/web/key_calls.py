"""The calls about the session's key: each is the handler of the same call under /v1.

Refuses a revocation that was not confirmed by typing what the key ends with.
"""

import asyncio
from dataclasses import replace
from typing import Any, Final

from gateway.admission.ask import MAX_COPY_TOKENS
from gateway.control import billing, exporting, giving, owner, recharging
from gateway.control.call import Reply, Stream
from gateway.control.web import opening, refusals
from gateway.control.web.people import Budget
from gateway.control.web.sessions import Session
from gateway.control.web.sign_in import address_of
from gateway.control.web.visit import Visit
from gateway.edge import refusals as of_all
from gateway.errors import Problem, RedisUnavailable
from gateway.keys.format import parse_key_id
from gateway.ledger.rows import Refusal

_MOST_DAYS: Final = 366
_RECENT: Final = 25
_LATER: Final = "It is in the ledger, and in force on every node as soon as Redis answers again"


async def overview(visit: Visit) -> Reply | Problem:
    """`?days=30&recent=25`: the key, its limits, its use, its latest requests, its budget."""
    call = visit.call()
    days, recent = call.number("days", 30, _MOST_DAYS), call.number("recent", _RECENT, 1_000)
    for each in (days, recent):
        if isinstance(each, Problem):
            return each
    # At once: each of them waits for what has ended and is not posted yet.
    shown, used, latest = await asyncio.gather(
        owner.show(visit.parts, call),
        owner.usage(visit.parts, replace(call, query={"days": str(days)})),
        owner.usage(visit.parts, replace(call, query={"recent": str(recent)})),
    )
    for told in (shown, used, latest):
        if isinstance(told, Problem):
            return told
    assert isinstance(shown, Reply)
    assert isinstance(used, Reply)
    assert isinstance(latest, Reply)
    people = visit.web.people
    document = {
        "key": shown.document,
        "budget": budget_document(await people.budget(visit.key_id)),
        "suspended_by": await visit.parts.shelf.suspended_by(visit.key_id),
        "usage": used.document["items"],
        "recent": latest.document["items"],
    }
    return Reply(200, document)


def budget_document(budget: Budget) -> dict[str, int | None]:
    """What may be spent this month, and was."""
    return {"monthly_tokens": budget.monthly_tokens, "used_tokens": budget.used_tokens}


async def usage(visit: Visit) -> Reply | Problem:
    """As `GET /v1/keys/me/usage`."""
    return await owner.usage(visit.parts, visit.call())


async def request(visit: Visit) -> Reply | Problem:
    """As `GET /v1/requests/{id}`."""
    return await owner.request(visit.parts, visit.call())


async def export(visit: Visit) -> Stream | Problem:
    """As `GET /v1/keys/me/usage/export`."""
    return await exporting.export(visit.parts, visit.call())


async def budget(visit: Visit) -> Reply | Problem:
    """`{"monthly_tokens": 1000000}`, null for none: in force with the answer."""
    tokens = wanted_budget(visit.body.get("monthly_tokens"))
    if isinstance(tokens, Problem):
        return tokens
    return await set_budget(visit, visit.key_id, tokens)


def wanted_budget(given: object) -> int | Problem | None:
    """A budget as it was sent."""
    if given is None or (type(given) is int and 1 <= given <= MAX_COPY_TOKENS):
        return given
    text = f"must be null or a whole number from 1 to {MAX_COPY_TOKENS}"
    return of_all.invalid_field("monthly_tokens", text)


async def set_budget(visit: Visit, key_id: int, tokens: int | None) -> Reply | Problem:
    """The ledger first, then Redis; 202 if only the ledger has it yet."""
    people, memory = visit.web.people, visit.parts.gate.memory
    row = await people.set_budget(key_id, tokens)
    if isinstance(row, Refusal):
        return of_all.revoked()
    told: dict[str, Any] = {
        "status": row.status,
        "budget": budget_document(await people.budget(key_id)),
        "suspended_by": await visit.parts.shelf.suspended_by(key_id),
    }
    try:
        await visit.parts.gate.put_balance(row, memory)
    except RedisUnavailable:
        return Reply(202, {**told, "note": _LATER})
    return Reply(200, told)


async def transfer(visit: Visit) -> Reply | Problem:
    """As `POST /v1/keys/me/transfer`, `?preview=1` too; or `{"to_key_id"}` of the same account."""
    body, receiver = dict(visit.body), await _own_key(visit, "to_key_id")
    if isinstance(receiver, Problem):
        return receiver
    body.pop("to_key_id", None)
    return await giving.transfer(visit.parts, visit.call(body=body, receiver=receiver))


async def revoke(visit: Visit) -> Reply | Problem:
    """As `DELETE /v1/keys/me`, confirmed: `{"confirm"}` is what the key ends with."""
    body, receiver = dict(visit.body), await _own_key(visit, "transfer_to_key_id")
    if isinstance(receiver, Problem):
        return receiver
    body.pop("transfer_to_key_id", None)
    typed = body.pop("confirm", None)
    call = visit.call(body=body, receiver=receiver)
    if giving.wants_preview(call):
        return await giving.revoke(visit.parts, call)
    view = await visit.parts.shelf.key_view(visit.key_id)
    if view is None or typed != view.last_characters:
        return refusals.confirmation_wrong()
    told = await giving.revoke(visit.parts, call)
    return told if isinstance(told, Problem) else await without_key(visit, told)


async def without_key(visit: Visit, told: Reply) -> Reply:
    """The session forgets its key, which is no more; a session of the key alone ends."""
    if visit.signed_in.account_id is None:
        await visit.web.sessions.close(visit.session)
        return Reply(told.status, told.document, {**told.headers, **opening.cookie_of(visit, None)})
    await visit.web.sessions.choose(visit.signed_in, None)
    return told


async def _own_key(visit: Visit, field: str) -> int | Problem | None:
    """Another key of the same account, by its id; None if none is named."""
    given = visit.body.get(field)
    if given is None:
        return None
    key_id = parse_key_id(given) if isinstance(given, str) else None
    session: Session = visit.signed_in
    if session.account_id is None:
        return refusals.account_needed()
    if key_id is None or await visit.web.people.key(session.account_id, key_id) is None:
        return of_all.invalid_field(field, "must be another key of your account")
    return key_id


async def packs(visit: Visit) -> Reply | Problem:
    """As `GET /v1/billing/packs`."""
    return await billing.packs(visit.parts, visit.call())


async def orders(visit: Visit) -> Reply | Problem:
    """As `GET /v1/billing/orders`."""
    return await billing.orders(visit.parts, visit.call())


async def checkout(visit: Visit) -> Reply | Problem:
    """As `POST /v1/billing/checkout`; the buyer comes back to this page."""
    front = address_of(visit.parts.settings, visit)
    back = {"success_url": f"{front}/?paid={{order_id}}", "cancel_url": f"{front}/"}
    email = {"email": visit.signed_in.email} if visit.signed_in.email else {}
    known = {name: visit.body[name] for name in visit.body if name not in back}
    return await billing.checkout(visit.parts, visit.call(body={**email, **known, **back}))


async def recharge(visit: Visit) -> Reply | Problem:
    """As `GET /v1/billing/auto-recharge`."""
    return await recharging.show(visit.parts, visit.call())


async def allow_recharge(visit: Visit) -> Reply | Problem:
    """As `PUT /v1/billing/auto-recharge`."""
    return await recharging.allow(visit.parts, visit.call())


async def stop_recharge(visit: Visit) -> Reply | Problem:
    """As `DELETE /v1/billing/auto-recharge`."""
    return await recharging.stop(visit.parts, visit.call())
