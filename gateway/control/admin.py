"""The admin API: mint, credit, limits, status, owner, look-up, and the proof.

Refuses to show a key after its minting (there is none at rest). Where the ledger has changed and
Redis does not answer, the reply is 202 with a note: nothing has to be repeated, the outbox brings
the change to every node as soon as Redis is back.
"""

from collections.abc import Awaitable, Mapping
from typing import Any, Final

from gateway.admission.scripts import OWN_NAMES, SHADOW_NAMES
from gateway.control.call import Reply
from gateway.control.minting import minted_document, new_key
from gateway.control.ops_parts import OpsParts
from gateway.control.owner import balance_of, iso
from gateway.errors import Problem, RedisUnavailable
from gateway.keys.format import format_key_id, parse_key_id
from gateway.ledger.rows import BalanceRow, KeyView, MintRefused, Refusal

Path = Mapping[str, str]
Query = Mapping[str, str]
_LIMIT_NAMES: Final = (*OWN_NAMES, *SHADOW_NAMES)
_MOST_LIMIT: Final = 2**53 - 1
_MOST_TEXT: Final = 200
_LATER: Final = (
    "The ledger has it. Redis does not answer at the moment; the change is in force on every "
    "node as soon as it does, nothing has to be repeated"
)
_REFUSALS: Final[Mapping[Refusal, Problem]] = {
    Refusal.UNKNOWN_KEY: Problem("RESOURCE_NOT_FOUND", 404, "There is no key with this id"),
    Refusal.REF_USED_OTHERWISE: Problem(
        "REF_USED_OTHERWISE", 409, "This ref was used for another credit"
    ),
    Refusal.REVOKED: Problem("KEY_REVOKED", 409, "The key is revoked, which is for ever"),
    Refusal.TOO_MUCH: Problem("TOO_MUCH", 400, "No balance can hold that many tokens"),
    Refusal.NOT_A_STATUS: Problem(
        "INPUT_INVALID", 400, "status must be active or suspended; revoking is the owner's"
    ),
}


class Admin:
    """The handlers; each takes path parameters, query and JSON body."""

    def __init__(self, parts: OpsParts) -> None:
        self._parts = parts

    async def mint(self, _path: Path, _query: Query, body: Any) -> Reply | Problem:
        """`{"owner": "", "trial_tokens": null}`: a key without the limit per address."""
        given = _fields(body, frozenset(("owner", "trial_tokens")))
        if isinstance(given, Problem):
            return given
        owner = _text(given, "owner", least=0)
        if isinstance(owner, Problem):
            return owner
        grant = given.get("trial_tokens")
        if grant is None:
            grant = self._parts.catalogue.limits.free_trial_tokens
        if type(grant) is not int or not 0 <= grant <= _MOST_LIMIT:
            return _invalid("trial_tokens must be null or a whole number from 0")
        if self._parts.keys is None:
            return Problem("NO_PEPPER", 503, "SLUICE_KEY_PEPPER is not known to this process")
        fresh = new_key(self._parts.keys, self._parts.settings.key_prefix)
        row = await self._parts.book.mint(*fresh.words, None, grant, 0)
        assert not isinstance(row, MintRefused), "an operator has no limit"
        if owner:
            await self._parts.book.set_owner(fresh.key_id, owner)
        return Reply(201, {**minted_document(fresh, row), "owner": owner})

    async def credit(self, path: Path, _query: Query, body: Any) -> Reply | Problem:
        """`{"tokens", "bucket": "paid" or "trial", "ref"}`: once per ref."""
        key_id = _key_id(path)
        if isinstance(key_id, Problem):
            return key_id
        given = _fields(body, frozenset(("tokens", "bucket", "ref")))
        if isinstance(given, Problem):
            return given
        tokens, bucket, ref = given.get("tokens"), given.get("bucket"), _text(given, "ref", least=1)
        if type(tokens) is not int or not 1 <= tokens <= _MOST_LIMIT:
            return _invalid(f"tokens must be a whole number from 1 to {_MOST_LIMIT}")
        if bucket not in ("paid", "trial"):
            return _invalid("bucket must be paid or trial")
        if isinstance(ref, Problem):
            return ref
        return await self._changed(self._parts.book.credit(key_id, tokens, bucket, ref))

    async def limits(self, path: Path, _query: Query, body: Any) -> Reply | Problem:
        """`{"embeddings": {"rpm": 10, "tpm": 2000}, ...}`; null for a product resets it.

        `shadow_rpm` and so on are only tried on what the others admit, and never refuse.
        """
        key_id = _key_id(path)
        if isinstance(key_id, Problem):
            return key_id
        mistake = self._wrong_limits(body)
        if mistake is not None:
            return _invalid(mistake)
        return await self._changed(self._parts.book.set_limits(key_id, body))

    def _wrong_limits(self, body: Any) -> str | None:
        if body is None:
            return None
        if not isinstance(body, dict):
            return "the body must be an object of products, or null to reset all"
        for product, limits in body.items():
            if product not in self._parts.catalogue.products:
                known = ", ".join(self._parts.catalogue.products)
                return f"there is no product {product!r}; the products are {known}"
            if limits is None:
                continue
            if not isinstance(limits, dict) or not set(limits) <= set(_LIMIT_NAMES):
                return f"{product}: must be null or an object of {', '.join(_LIMIT_NAMES)}"
            for name, value in limits.items():
                if value is not None and (type(value) is not int or not 0 <= value <= _MOST_LIMIT):
                    return f"{product}.{name}: must be null or a whole number from 0"
        return None

    async def status(self, path: Path, _query: Query, body: Any) -> Reply | Problem:
        """`{"status": "active" or "suspended"}`."""
        key_id = _key_id(path)
        if isinstance(key_id, Problem):
            return key_id
        status = body.get("status") if isinstance(body, dict) else None
        if status not in ("active", "suspended"):
            return _REFUSALS[Refusal.NOT_A_STATUS]
        return await self._changed(self._parts.book.set_status(key_id, status))

    async def owner(self, path: Path, _query: Query, body: Any) -> Reply | Problem:
        """`{"owner": "..."}`: whose key it is, by which it can be found; "" for nobody's."""
        key_id = _key_id(path)
        if isinstance(key_id, Problem):
            return key_id
        given = _fields(body, frozenset(("owner",)))
        if isinstance(given, Problem):
            return given
        owner = _text(given, "owner", least=0)
        if isinstance(owner, Problem):
            return owner
        if not await self._parts.book.set_owner(key_id, owner):
            return _REFUSALS[Refusal.UNKNOWN_KEY]
        return await self.show(path, {}, None)

    async def find(self, _path: Path, query: Query, _body: Any) -> Reply | Problem:
        """`?query=`: an id, an owner's beginning, or the last characters of a key."""
        text = _text(query, "query", least=1)
        if isinstance(text, Problem):
            return text
        views = await self._parts.book.find_keys(text, key_id=parse_key_id(text))
        return Reply(200, {"items": [_document(view) for view in views]})

    async def show(self, path: Path, _query: Query, _body: Any) -> Reply | Problem:
        """One key; `held` is null while Redis does not answer."""
        key_id = _key_id(path)
        if isinstance(key_id, Problem):
            return key_id
        view = await self._parts.book.key_view(key_id)
        if view is None:
            return _REFUSALS[Refusal.UNKNOWN_KEY]
        document = _document(view)
        try:
            held_tokens, open_requests = await self._parts.gate.holds(f"k:{key_id}")
        except RedisUnavailable:
            held_tokens, open_requests = None, None
        document["balance"] = balance_of(view.balance, held_tokens)
        return Reply(200, {**document, "open_requests": open_requests})

    async def reconcile(self, _path: Path, _query: Query, _body: Any) -> Reply | Problem:
        """Runs the proof over everything; `ok` iff no check found a difference."""
        proven = await self._parts.proof.run()
        checks: list[dict[str, Any]] = [
            {"name": c.name, "differences": c.differences, "sample": list(c.sample)}
            | {name: text for name, text in (("fault", c.fault), ("note", c.note)) if text}
            for c in proven.checks
        ]
        document: dict[str, Any] = {"ok": proven.ok, "checks": checks}
        if proven.copies_fault is not None:
            document["note"] = f"The copies in Redis could not be read: {proven.copies_fault}"
        return Reply(200, document)

    async def _changed(self, change: Awaitable[BalanceRow | Refusal]) -> Reply | Problem:
        """Redis is told before the answer, so that the change is in force with it."""
        memory = self._parts.gate.memory
        row = await change
        if isinstance(row, Refusal):
            return _REFUSALS[row]
        try:
            await self._parts.gate.put_balance(row, memory)
        except RedisUnavailable:
            return Reply(202, {**_balance_document(row), "note": _LATER})
        return Reply(200, _balance_document(row))


def _key_id(path: Path) -> int | Problem:
    key_id = parse_key_id(path["key_id"])
    if key_id is not None:
        return key_id
    return _invalid("The key id must look like key_ and 11 characters")


def _fields(body: Any, known: frozenset[str]) -> Mapping[str, Any] | Problem:
    """The fields of an object; one that is not known may be a typo, and this is about money."""
    if not isinstance(body, dict):
        return _invalid("the body must be a JSON object")
    unknown = sorted(set(body) - known)
    if unknown:
        return _invalid(f"{unknown[0]!r} is not known here; {', '.join(sorted(known))} are")
    return body


def _text(given: Mapping[str, Any], name: str, *, least: int) -> str | Problem:
    text = given.get(name, "")
    if isinstance(text, str) and least <= len(text) <= _MOST_TEXT and text.isprintable():
        return text
    return _invalid(f"{name} must be a text of {least} to {_MOST_TEXT} printable characters")


def _invalid(text: str) -> Problem:
    return Problem("INPUT_INVALID", 400, text)


def _balance_document(row: BalanceRow) -> dict[str, Any]:
    return {
        "key_id": format_key_id(row.key_id),
        "tier": row.tier,
        "status": row.status,
        "balance": {"trial": row.trial, "paid": row.paid, "total": row.trial + row.paid},
        "limits": row.limits,
    }


def _document(view: KeyView) -> dict[str, Any]:
    return {
        **_balance_document(view.balance),
        "last_characters": view.last_characters,
        "owner": view.owner,
        "created_at": iso(view.created_at_ms),
    }
