"""The admin API: credit, limits, status, look-up, and the proof.

Refuses to show a key (there is none at rest) and to say done before Redis knows.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.control.ops_parts import OpsParts
from gateway.control.owner import balance_of, iso
from gateway.errors import Problem, RedisUnavailable
from gateway.keys.format import format_key_id, parse_key_id
from gateway.ledger.rows import BalanceRow, KeyView, Refusal
from gateway.units import MAX_TOKENS

Answered = dict[str, Any] | Problem
_LIMIT_NAMES: Final = frozenset(("rpm", "tpm", "concurrency"))
_MOST_LIMIT: Final = 2**53 - 1
_PROOF_DEADLINE_MS: Final = 600_000
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

    async def credit(
        self, path: Mapping[str, str], _query: Mapping[str, str], body: Any
    ) -> Answered:
        """`{"tokens", "bucket": "paid" or "trial", "ref"}`: once per ref."""
        key_id = _key_id(path)
        if isinstance(key_id, Problem):
            return key_id
        given = body if isinstance(body, dict) else {}
        tokens, bucket, ref = given.get("tokens"), given.get("bucket"), given.get("ref")
        if type(tokens) is not int or not 1 <= tokens <= MAX_TOKENS:
            return _invalid("tokens must be a whole number of at least 1")
        if bucket not in ("paid", "trial"):
            return _invalid("bucket must be paid or trial")
        if not isinstance(ref, str) or not 1 <= len(ref) <= 200:
            return _invalid("ref must be a text of 1 to 200 characters; it makes repeats harmless")
        return await self._changed(await self._parts.book.credit(key_id, tokens, bucket, ref))

    async def limits(
        self, path: Mapping[str, str], _query: Mapping[str, str], body: Any
    ) -> Answered:
        """`{"embeddings": {"rpm": 10, "tpm": 2000}, ...}`; null for a product resets it."""
        key_id = _key_id(path)
        if isinstance(key_id, Problem):
            return key_id
        mistake = self._wrong_limits(body)
        if mistake is not None:
            return _invalid(mistake)
        return await self._changed(await self._parts.book.set_limits(key_id, body))

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
            if not isinstance(limits, dict) or not set(limits) <= _LIMIT_NAMES:
                return f"{product}: must be null or an object of rpm, tpm, concurrency"
            for name, value in limits.items():
                if value is not None and (type(value) is not int or not 0 <= value <= _MOST_LIMIT):
                    return f"{product}.{name}: must be null or a whole number from 0"
        return None

    async def status(
        self, path: Mapping[str, str], _query: Mapping[str, str], body: Any
    ) -> Answered:
        """`{"status": "active" or "suspended"}`."""
        key_id = _key_id(path)
        if isinstance(key_id, Problem):
            return key_id
        status = body.get("status") if isinstance(body, dict) else None
        if status not in ("active", "suspended"):
            return _REFUSALS[Refusal.NOT_A_STATUS]
        return await self._changed(await self._parts.book.set_status(key_id, status))

    async def find(
        self, _path: Mapping[str, str], query: Mapping[str, str], _body: Any
    ) -> Answered:
        """`?query=`: an id, an owner's beginning, or the last characters of a key."""
        text = query.get("query", "")
        views = await self._parts.shelf.find_keys(text, key_id=parse_key_id(text))
        return {"items": [_document(view, 0) for view in views]}

    async def show(
        self, path: Mapping[str, str], _query: Mapping[str, str], _body: Any
    ) -> Answered:
        """One key."""
        key_id = _key_id(path)
        if isinstance(key_id, Problem):
            return key_id
        view = await self._parts.shelf.key_view(key_id)
        if view is None:
            return _REFUSALS[Refusal.UNKNOWN_KEY]
        try:
            held_tokens, _ = await self._parts.gate.holds(f"k:{key_id}")
        except RedisUnavailable:
            held_tokens = 0
        return _document(view, held_tokens)

    async def reconcile(
        self, _path: Mapping[str, str], _query: Mapping[str, str], _body: Any
    ) -> Answered:
        """Runs the proof over everything; `ok` iff no check found a difference."""
        checks = await self._parts.reconciler.run(deadline_ms=_PROOF_DEADLINE_MS)
        checks.append(await self._parts.reconciler.compare_copies(await self._parts.gate.copies()))
        for check in checks:
            gauge = self._parts.telemetry.reconcile_differences.labels(check.name)
            gauge.set(check.differences)
        return {
            "ok": not any(check.differences for check in checks),
            "checks": [
                {"name": c.name, "differences": c.differences, "sample": list(c.sample)}
                for c in checks
            ],
        }

    async def _changed(self, row: BalanceRow | Refusal) -> Answered:
        if isinstance(row, Refusal):
            return _REFUSALS[row]
        await self._parts.gate.put_balance(row)
        return _balance_document(row, 0)


def _key_id(path: Mapping[str, str]) -> int | Problem:
    key_id = parse_key_id(path["key_id"])
    if key_id is not None:
        return key_id
    return Problem("INPUT_INVALID", 400, "The key id must look like key_ and 11 characters")


def _invalid(text: str) -> Problem:
    return Problem("INPUT_INVALID", 400, text)


def _balance_document(row: BalanceRow, held_tokens: int) -> dict[str, Any]:
    return {
        "key_id": format_key_id(row.key_id),
        "tier": row.tier,
        "status": row.status,
        "balance": balance_of(row, held_tokens),
        "limits": row.limits,
    }


def _document(view: KeyView, held_tokens: int) -> dict[str, Any]:
    return {
        **_balance_document(view.balance, held_tokens),
        "last_characters": view.last_characters,
        "owner": view.owner,
        "created_at": iso(view.created_at_ms),
    }
