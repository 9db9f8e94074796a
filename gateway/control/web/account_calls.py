"""The calls about an account and the keys in it.

Refuses a key that was neither typed nor made here: only who knows a key may look after it.
"""

from typing import Any, Final

from gateway.admission.ask import MAX_COPY_TOKENS
from gateway.control import minting
from gateway.control.call import Reply
from gateway.control.owner import iso
from gateway.control.web import key_calls, opening, refusals
from gateway.control.web.people import MOST_KEYS, OwnedKey
from gateway.control.web.visit import Visit
from gateway.edge import refusals as of_all
from gateway.errors import Problem
from gateway.keys.format import format_key_id, parse_key_id

_MOST_NAME: Final = 60
_FIELDS: Final = frozenset(("name", "monthly_tokens", "alert_percent", "alert_low_tokens"))


async def show(visit: Visit) -> Reply | Problem:
    """The account, its keys, and their sum."""
    return Reply(200, await document(visit))


async def document(visit: Visit) -> dict[str, Any]:
    """The account as its owner sees it."""
    account = await visit.web.people.account(visit.account_id)
    assert account is not None, "a session dies with its account"
    owned = await visit.web.people.keys(visit.account_id)
    trial = sum(key.balance.trial for key in owned)
    paid = sum(key.balance.paid for key in owned)
    return {
        "email": account.email,
        "language": account.language,
        "created_at": iso(account.created_at_ms),
        "keys": [_key_document(key) for key in owned],
        "balance": {"trial": trial, "paid": paid, "total": trial + paid},
        "used_tokens_this_month": sum(key.budget.used_tokens for key in owned),
        "most_keys": MOST_KEYS,
    }


def _key_document(key: OwnedKey) -> dict[str, Any]:
    row = key.balance
    return {
        "key_id": format_key_id(row.key_id),
        "name": key.name,
        "last_characters": key.last_characters,
        "created_at": iso(key.created_at_ms),
        "status": row.status,
        "tier": row.tier,
        "balance": {"trial": row.trial, "paid": row.paid, "total": row.trial + row.paid},
        "budget": key_calls.budget_document(key.budget),
        "alerts": {"percent": key.alert_percent, "low_tokens": key.alert_low_tokens},
    }


async def add(visit: Visit) -> Reply | Problem:
    """`{"name", "api_key"}`: a key typed once; without `api_key` a new one, shown this once."""
    name = _name(visit.body.get("name", ""))
    if isinstance(name, Problem):
        return name
    minted: dict[str, Any] = {}
    people = visit.web.people
    if len(await people.keys(visit.account_id)) >= MOST_KEYS:
        return refusals.too_many_keys(MOST_KEYS)
    if visit.body.get("api_key") is None:
        told = await minting.mint(visit.parts, visit.call(body={}))
        if isinstance(told, Problem):
            return told
        minted = told.document
        key_id = parse_key_id(minted["key_id"])
        assert key_id is not None, "minting names it"
    else:
        found = await opening.typed_key(visit)
        if isinstance(found, Problem):
            return found
        key_id = found
    if not await people.add_key(visit.account_id, key_id, name) and not minted:
        return refusals.too_many_keys(MOST_KEYS)
    if visit.signed_in.key_id is None:
        await visit.web.sessions.choose(visit.signed_in, key_id)
    owned = await people.key(visit.account_id, key_id)
    return Reply(201, {**minted, "key": None if owned is None else _key_document(owned)})


async def change(visit: Visit) -> Reply | Problem:
    """`{"name", "monthly_tokens", "alert_percent", "alert_low_tokens"}`: what is named changes."""
    owned = await _owned(visit)
    if isinstance(owned, Problem):
        return owned
    body, key_id = visit.body, owned.balance.key_id
    unknown = sorted(set(body) - _FIELDS)
    if unknown:
        return of_all.invalid_field(unknown[0][:64], f"{', '.join(sorted(_FIELDS))} are known here")
    name = _name(body.get("name", owned.name))
    percent = _number(body, "alert_percent", owned.alert_percent, 100)
    low_tokens = _number(body, "alert_low_tokens", owned.alert_low_tokens, MAX_COPY_TOKENS)
    tokens = key_calls.wanted_budget(body.get("monthly_tokens"))
    for each in (name, percent, low_tokens, tokens):
        if isinstance(each, Problem):
            return each
    assert not isinstance(name, Problem)
    assert not isinstance(percent, Problem)
    assert not isinstance(low_tokens, Problem)
    assert not isinstance(tokens, Problem)
    people = visit.web.people
    await people.set_key(visit.account_id, key_id, name, percent, low_tokens)
    if "monthly_tokens" in body:
        told = await key_calls.set_budget(visit, key_id, tokens)
        if isinstance(told, Problem):
            return told
    after = await people.key(visit.account_id, key_id)
    return Reply(200, {"key": None if after is None else _key_document(after)})


async def forget(visit: Visit) -> Reply | Problem:
    """The account looks after the key no more; the key itself stays as it is."""
    owned = await _owned(visit)
    if isinstance(owned, Problem):
        return owned
    await visit.web.people.drop_key(visit.account_id, owned.balance.key_id)
    return Reply(200, {"forgotten": format_key_id(owned.balance.key_id)})


async def drop(visit: Visit) -> Reply | Problem:
    """`{"confirm": "<the address>"}`: the account is no more; its keys go on without it."""
    if not visit.body.get("confirm") or visit.body["confirm"] != (
        visit.signed_in.email or "delete"
    ):
        return refusals.confirmation_wrong()
    await visit.web.people.drop(visit.account_id)
    return Reply(200, {"dropped": True}, opening.cookie_of(visit, None))


async def _owned(visit: Visit) -> OwnedKey | Problem:
    given = visit.route.parameters[0]
    key_id = parse_key_id(given)
    owned = None if key_id is None else await visit.web.people.key(visit.account_id, key_id)
    return of_all.not_found("key", given[:64]) if owned is None else owned


def _name(given: object) -> str | Problem:
    text = given.strip() if isinstance(given, str) else None
    if text is None or len(text) > _MOST_NAME or not text.isprintable():
        return of_all.invalid_field("name", f"must be at most {_MOST_NAME} printable characters")
    return text


def _number(body: Any, name: str, before: int | None, most: int) -> int | Problem | None:
    given = body.get(name, before)
    if given is None or (type(given) is int and 1 <= given <= most):
        return given
    return of_all.invalid_field(name, f"must be null or a whole number from 1 to {most}")
