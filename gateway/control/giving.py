"""Paid tokens moved to another key, and keys that end: the owner's transfer and revocation.

1. What no running request holds is set aside in Redis, so that nothing is admitted on it.
2. One transaction in the ledger moves it (and ends the key).
3. Redis gets both new balances, and with them the reserve ends. Then 200.

Refuses to move what is held: it stays for the requests that run. Who leaves while it happens does
not stop it. `?preview=1` (or `Prefer: dry-run`) tells what would happen and changes nothing.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.admission.ask import MAX_COPY_TOKENS
from gateway.admission.reserves import Reserve, settlement_of
from gateway.control.call import Call, Reply
from gateway.control.desk_parts import DeskParts
from gateway.control.ending import without_ledger
from gateway.control.owner import settled
from gateway.edge import refusals
from gateway.edge.quoting import wants_dry_run
from gateway.edge.repeat_name import REPLAYED, repeat_name
from gateway.errors import PostgresUnavailable, Problem, RedisUnavailable
from gateway.keys.format import format_key_id
from gateway.ledger.rows import BalanceRow, Deed, DeedRefusal

_MOVED_NOTHING: Final = "nothing was moved"
_REVOKED_NOTHING: Final = "the key was not revoked"
_PREVIEW: Final = "preview"
_TRUE: Final = ("1", "true")
_FALSE: Final = ("", "0", "false")
_NO_RESERVE: Final = Reserve(0, 0, 0, is_loaded=True)
# What a concurrent call of the same name holds, it gives back at once.
_TRIES: Final = 2
_WAITS_FOR: Final = (DeedRefusal.NOT_ENOUGH, DeedRefusal.NOTHING_TO_MOVE)
_LATER: Final = (
    "nodes without Redis ask the ledger, all others learn of it within seconds; nothing has to be "
    "repeated"
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is wanted; `receiver` None: nobody gets anything. `end` is for refusals."""

    sender: int
    receiver: int | None
    tokens: int | None
    field: str
    end: str
    preview: bool


@dataclass(frozen=True, slots=True)
class _Done:
    """What the ledger did; `reserve` names what was set aside, `memory` is Redis' before it."""

    deed: Deed
    reserve: str
    memory: int


async def transfer(parts: DeskParts, call: Call) -> Reply | Problem:
    """`{"to_api_key", "tokens": null}`: all paid tokens that are not held, or the number."""
    asked = await _asked(parts, call, "to_api_key", _MOVED_NOTHING, ("to_api_key", "tokens"))
    if isinstance(asked, Problem):
        return asked
    if asked.receiver is None:
        return refusals.invalid_field(asked.field, f"must be the key that gets them; {asked.end}")
    name = repeat_name(call.exchange.headers)
    if isinstance(name, Problem):
        return name
    if asked.preview:
        return await _previewed_transfer(parts, asked, asked.receiver)
    return await asyncio.shield(_started(_transfer(parts, call, asked, asked.receiver, name)))


async def revoke(parts: DeskParts, call: Call) -> Reply | Problem:
    """`{"transfer_to_api_key": null}`: ends the key for ever, at once and on every node.

    202 when Redis does not answer after the ledger: the key is revoked, and whoever is without
    Redis decides by the ledger's row. Copies in Redis learn of it, by the outbox, as soon as it is
    back. 202 also when the ledger does not answer: Redis and this node's journal have it
    (metering/revocations). With a receiver nothing is done in either case: 503.
    """
    field = "transfer_to_api_key"
    asked = await _asked(parts, call, field, _REVOKED_NOTHING, (field,))
    if isinstance(asked, Problem):
        return asked
    if asked.preview:
        return await _previewed_revocation(parts, asked)
    return await asyncio.shield(_started(_revoke(parts, call, asked)))


def wants_preview(call: Call) -> bool:
    """Whether it is only to be told: by the query, or as calls to products are asked so."""
    return _word(call) in _TRUE or wants_dry_run(call.exchange.headers)


def _word(call: Call) -> str:
    return call.query.get(_PREVIEW, "").lower()


def _started(work: Coroutine[Any, Any, Reply | Problem]) -> "asyncio.Task[Reply | Problem]":
    task = asyncio.create_task(work)
    # If the client has left, nobody else looks at a fault.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


async def _transfer(
    parts: DeskParts, call: Call, asked: _Asked, receiver: int, name: str | None
) -> Reply | Problem:
    sender, ref = asked.sender, call.request_id
    for tries_left in reversed(range(_TRIES)):
        reserve = await _reserved(parts, asked, ref)
        memory = parts.gate.memory
        # Also with nothing set aside: the ledger says why, or what this name was told before.
        found = await parts.book.transfer(
            sender, receiver, asked.tokens, reserve.tokens, ref=ref, name=name
        )
        if not isinstance(found, DeedRefusal):
            break
        await _given_up(parts, asked, ref)
        if found not in _WAITS_FOR or not reserve.held_tokens or name is None or not tries_left:
            return _refused(asked, found, reserve)
    assert isinstance(found, Deed), "the loop returns or finds one"
    document = {"moved_tokens": found.tokens, "from": _side(found.sender)}
    if found.receiver is not None:
        document["to"] = _side(found.receiver)
    headers = {REPLAYED: "true"} if found.again else {}
    return await _told(parts, _Done(found, ref, memory), document, headers)


async def _revoke(parts: DeskParts, call: Call, asked: _Asked) -> Reply | Problem:
    reserve = _NO_RESERVE
    if asked.receiver is not None:
        reserve = await _reserved(parts, asked, call.request_id)
    elif call.without_ledger:
        return await without_ledger(parts, asked.sender)
    memory = parts.gate.memory
    try:
        found = await parts.book.end_key(asked.sender, asked.receiver, reserve.tokens)
    except PostgresUnavailable:
        if asked.receiver is not None:
            raise
        return await without_ledger(parts, asked.sender)
    if isinstance(found, DeedRefusal):
        await _given_up(parts, asked, call.request_id)
        return _refused(asked, found, reserve)
    return await _told(parts, _Done(found, call.request_id, memory), _revocation(found), {})


async def _told(
    parts: DeskParts, done: _Done, document: dict[str, Any], headers: dict[str, str]
) -> Reply:
    """Redis has both balances before the answer goes, and the reserve ends with that."""
    deed = done.deed
    rows = [deed.sender, *([deed.receiver] if deed.receiver is not None else [])]
    try:
        settlement = settlement_of(deed.sender.key_id, done.reserve)
        await parts.gate.settle([settlement], rows, done.memory)
    except RedisUnavailable:
        is_end = deed.sender.status == "revoked"
        said = "The key is revoked for ever" if is_end else "It is moved"
        return Reply(202, {**document, "note": f"{said}; {_LATER}"}, headers)
    return Reply(200, document, headers)


async def _reserved(parts: DeskParts, asked: _Asked, ref: str) -> Reserve:
    """Set aside what is to be moved, on the newest balance; raises RedisUnavailable."""
    await _fresh(parts, asked.sender)
    reserve = await parts.reserves.take(asked.sender, ref, asked.tokens)
    if not reserve.is_loaded:
        raise RedisUnavailable("it forgot a balance at once")
    return reserve


async def _fresh(parts: DeskParts, key_id: int) -> BalanceRow:
    """The newest row, once what has ended is posted; Redis has it too."""
    await settled(parts, key_id)
    memory = parts.gate.memory
    row = await parts.book.load_balance(key_id)
    assert row is not None, "the desk has seen it"
    await parts.gate.put_balance(row, memory)
    return row


async def _given_up(parts: DeskParts, asked: _Asked, ref: str) -> None:
    with suppress(RedisUnavailable):
        await parts.gate.settle([settlement_of(asked.sender, ref)], ())


async def _movable(parts: DeskParts, asked: _Asked) -> Reserve:
    """What could be set aside now; nothing is."""
    row = await _fresh(parts, asked.sender)
    held_tokens, _ = await parts.gate.holds(f"k:{asked.sender}")
    movable = max(0, min(row.paid, row.trial + row.paid - held_tokens))
    return Reserve(movable, movable, held_tokens, is_loaded=True)


async def _previewed_transfer(parts: DeskParts, asked: _Asked, receiver: int) -> Reply | Problem:
    now = await _movable(parts, asked)
    found = await parts.book.preview_transfer(asked.sender, receiver, asked.tokens, now.tokens)
    if isinstance(found, DeedRefusal):
        return _refused(asked, found, now)
    assert found.receiver is not None, "without one it is refused"
    sender = replace(found.sender, paid=found.sender.paid - found.tokens)
    gets = replace(found.receiver, paid=found.receiver.paid + found.tokens)
    document = {"moved_tokens": found.tokens, "from": _side(sender), "to": _side(gets)}
    return Reply(200, {"preview": True, **document})


async def _previewed_revocation(parts: DeskParts, asked: _Asked) -> Reply | Problem:
    sender, gets, moved = await parts.book.load_balance(asked.sender), None, 0
    if asked.receiver is not None:
        now = await _movable(parts, asked)
        found = await parts.book.preview_transfer(asked.sender, asked.receiver, None, now.tokens)
        if isinstance(found, Deed):
            assert found.receiver is not None, "without one it is refused"
            moved, sender = found.tokens, found.sender
            gets = replace(found.receiver, paid=found.receiver.paid + moved)
        elif found is not DeedRefusal.NOTHING_TO_MOVE:
            return _refused(asked, found, now)
        else:
            gets = await parts.book.load_balance(asked.receiver)
    assert sender is not None, "the desk has seen it"
    gone = sender.trial + sender.paid - moved
    ended = replace(sender, trial=0, paid=0, status="revoked")
    document = _revocation(Deed(moved, gone, again=False, sender=ended, receiver=gets))
    return Reply(200, {"preview": True, **document})


def _revocation(deed: Deed) -> dict[str, Any]:
    document: dict[str, Any] = {
        "key_id": format_key_id(deed.sender.key_id),
        "status": deed.sender.status,
        "moved_tokens": deed.tokens,
        "forfeited_tokens": deed.forfeited,
    }
    return document if deed.receiver is None else {**document, "to": _side(deed.receiver)}


def _side(row: BalanceRow) -> dict[str, Any]:
    return {
        "key_id": format_key_id(row.key_id),
        "tier": row.tier,
        "balance": {"trial": row.trial, "paid": row.paid, "total": row.trial + row.paid},
    }


def _refused(asked: _Asked, why: DeedRefusal, reserve: Reserve) -> Problem:
    return refusals.deed_refused(
        why, asked.field, asked.end, reserve.movable_tokens, reserve.held_tokens
    )


async def _asked(
    parts: DeskParts, call: Call, field: str, end: str, known: tuple[str, ...]
) -> _Asked | Problem:
    """What is not understood stops it: this is about money, and for ever."""
    assert call.key_id is not None
    unknown = sorted(set(call.body) - set(known))
    if unknown:
        name = unknown[0][:64]
        return refusals.invalid_field(name, f"{name!r} is not known here; {end}")
    strange = sorted(set(call.query) - {_PREVIEW})
    if strange:
        name = strange[0][:64]
        return refusals.invalid_query(name, f"{name!r} is not known here, `preview` is; {end}")
    if _word(call) not in (*_TRUE, *_FALSE):
        return refusals.invalid_query(_PREVIEW, f"must be 1 or 0; {end}")
    tokens = call.body.get("tokens")
    if tokens is not None and (type(tokens) is not int or not 1 <= tokens <= MAX_COPY_TOKENS):
        text = f"must be null or a whole number from 1 to {MAX_COPY_TOKENS}; {end}"
        return refusals.invalid_field("tokens", text)
    given, receiver = call.body.get(field), call.receiver
    if given is not None:
        if not isinstance(given, str):
            return refusals.invalid_field(field, f"must be null or a key; {end}")
        receiver = await parts.keys.find(given)
        if receiver is None:
            return refusals.deed_refused(DeedRefusal.UNKNOWN_KEY, field, end, 0, 0)
    return _Asked(call.key_id, receiver, tokens, field, end, wants_preview(call))
