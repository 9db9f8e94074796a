"""What a request would cost and whether it would be admitted now, without doing any of it.

Refuses to spend: no admission number is taken, no window and no hold is written. The balance of a
key that Redis does not know is loaded there, as for any request.
"""

from dataclasses import dataclass
from typing import Any, Final

from multidict import CIMultiDictProxy

from gateway.admission.alone import Alone
from gateway.admission.ask import Ask, Code, Decision
from gateway.admission.gate import Gate
from gateway.edge import refusals
from gateway.edge.admitting import refusal_of
from gateway.edge.capping import counted, needs_whole_body
from gateway.edge.exchange import Exchange
from gateway.edge.forwarder import Forwarder
from gateway.edge.hosts import Route
from gateway.edge.identify import Identifier, Subject
from gateway.edge.measure import Measured, Measurer
from gateway.edge.passing import cors_lines
from gateway.errors import Problem, RedisUnavailable
from gateway.ledger.book import Book
from gateway.products.product import Counting, Holding

# A name that no request has: UUIDs are longer.
_NOBODY: Final = "quote"
_BY_BYTES: Final = (Holding.BODY, Holding.BODY_TIMES_ITERATIONS)
Document = dict[str, Any]


def wants_dry_run(headers: CIMultiDictProxy[str]) -> bool:
    """Whether a Prefer header (RFC 7240) asks for it: among others, in one line or in several."""
    wishes = ",".join(headers.getall("Prefer", ())).split(",")
    return any(wish.partition(";")[0].strip().lower() == "dry-run" for wish in wishes)


def quote_lines(request_id: str, origin: str | None, extra: bytes = b"") -> bytes:
    """The header lines of an answer that is a quote."""
    lines = (
        f"content-type: application/json; charset=utf-8\r\nx-request-id: {request_id}\r\n"
        "cache-control: no-store\r\nx-usage-tokens: 0\r\n"
    )
    return lines.encode("ascii") + extra + cors_lines(origin)


@dataclass(frozen=True, slots=True)
class Expected:
    """Tokens that such a request usually costs, and how that is known; None: it is not."""

    tokens: int | None
    by: str


class Quoter:
    """Answers for requests that are only thought of."""

    def __init__(
        self,
        identifier: Identifier,
        measurer: Measurer,
        forwarder: Forwarder,
        gate: Gate,
        alone: Alone,
        book: Book,
    ) -> None:
        self._identifier = identifier
        self._measurer = measurer
        self._forwarder = forwarder
        self._gate = gate
        self._alone = alone
        self._book = book

    async def dry_run(self, exchange: Exchange, route: Route) -> Document | Problem:
        """The quote of a product call that was sent with the wish not to be done.

        A Problem for who may not ask; what is wrong with the request itself is in the quote.
        """
        subject = await self.subject(exchange, route)
        if isinstance(subject, Problem):
            return subject
        keyed = subject.key_id is not None
        measured = await self._measurer.measure(exchange, route, keyed=keyed)
        return await self.quote(subject, measured)

    async def subject(self, exchange: Exchange, route: Route) -> Subject | Problem:
        """Whose limits and balance are looked at."""
        return await self._identifier.subject(exchange, route.family, needs_key=route.needs_key)

    async def quote(
        self, subject: Subject, measured: Measured | Problem, *, is_to_the_byte: bool = True
    ) -> Document:
        """Not `is_to_the_byte`: the same request may be sent in more bytes than these.

        Without Redis it is what this process would decide alone, and says so (`degraded`).
        Raises StoresUnavailable and PostgresUnavailable.
        """
        if isinstance(measured, Problem):
            return _refused(None, measured)
        product = measured.product
        if subject.key_id is None and product.needs_key:
            return _refused(product.name, refusals.missing_key())
        if not self._forwarder.deployed(product):
            return _refused(product.name, refusals.not_deployed(product.name))
        decision = await self._decide(subject, measured)
        if measured.is_open and decision.code is Code.BALANCE_TOO_LOW:
            left = measured.within(decision.remaining_balance)
            if left.most_bytes > len(left.prefix):
                measured, decision = left, await self._decide(subject, left)
        refusal = None
        if decision.code is not Code.ADMITTED:
            refusal = refusal_of(subject, measured, decision)
        return {
            **_price(subject, measured, await _expected(subject, measured), is_to_the_byte),
            "admitted": refusal is None,
            "refusal": None if refusal is None else _told(refusal),
            **_state(subject, measured, decision),
            **({"degraded": "local"} if decision.degraded else {}),
        }

    async def _decide(self, subject: Subject, measured: Measured) -> Decision:
        ask = _ask(subject, measured)
        try:
            return await self._by_redis(subject, ask)
        except RedisUnavailable:
            return await self._alone.judge(ask)

    async def _by_redis(self, subject: Subject, ask: Ask) -> Decision:
        decision = await self._gate.judge(ask)
        if decision.code is Code.BALANCE_NOT_LOADED and subject.key_id is not None:
            memory = self._gate.memory
            row = await self._book.load_balance(subject.key_id)
            assert row is not None, "a found key has a balance"
            await self._gate.put_balance(row, memory)
            decision = await self._gate.judge(ask)
        return decision


def _ask(subject: Subject, measured: Measured) -> Ask:
    product, keyed = measured.product, subject.key_id is not None
    limits = product.key if keyed else product.anonymous
    assert limits is not None, "checked before"
    return Ask(
        subject.text,
        subject.tag,
        product.name,
        _NOBODY,
        limits,
        product.premium,
        measured.tpm_tokens,
        measured.hold_tokens if keyed else 0,
        0,
        _NOBODY,
        0,
        keyed,
    )


async def _expected(subject: Subject, measured: Measured) -> Expected:
    """As such requests were lately, or as we count this one."""
    product, bound = measured.product, measured.bound
    if product.counting is Counting.FREE:
        return Expected(0, "free")
    if subject.key_id is None:
        return Expected(0, "no_key")
    if needs_whole_body(product):
        if not measured.body:
            return Expected(None if measured.body is None else 0, "own_count")
        found = await counted(product, measured.body, measured.tokenizer)
        return Expected(found.expected_tokens if found and found.is_whole else None, "own_count")
    usual = None
    if bound.class_bytes is not None:
        usual = measured.learned.middle(product.name, bound.class_bytes)
    if product.counting is Counting.SEARCH:
        return Expected(max(bound.least_tokens, usual or 0), "learned" if usual else "fixed")
    return Expected(bound.hold_tokens if usual is None else usual, "learned" if usual else "bound")


def _price(
    subject: Subject, measured: Measured, expected: Expected, is_to_the_byte: bool
) -> Document:
    """What it costs: usually, at the worst, and what is set aside for it."""
    product, bound, cap = measured.product, measured.bound, measured.max_charge
    worst: int | None = bound.hold_tokens
    if subject.key_id is None or product.counting is Counting.FREE:
        worst = 0
    elif bound.in_blocks:
        worst = bound.class_bytes
    elif not bound.is_sure:
        worst = product.maximum_tokens
    # A deepsearch may pass its budget by its last step.
    is_sure = product.holding is not Holding.BUDGET or cap is not None
    if product.holding in _BY_BYTES and worst != 0:
        is_sure = is_to_the_byte or (cap is not None and cap <= bound.hold_tokens)
    if cap is not None:
        worst = cap if worst is None else min(worst, cap)
    usual = expected.tokens
    if usual is not None and worst is not None:
        usual = min(usual, worst)
    return {
        "object": "price",
        "product": product.name,
        "expected_tokens": usual,
        "expected_by": expected.by,
        "worst_tokens": worst,
        "worst_is_sure": is_sure and worst is not None,
        "hold_tokens": measured.hold_tokens if subject.key_id is not None else 0,
        "max_charge": cap,
    }


def _state(subject: Subject, measured: Measured, decision: Decision) -> Document:
    """The limits and the balance that it would meet now."""
    if decision.code in (Code.REVOKED, Code.SUSPENDED, Code.BALANCE_NOT_LOADED):
        return {"tier": None, "limits": None, "balance": None}
    keyed = subject.key_id is not None
    taken = measured.hold_tokens if decision.code is Code.ADMITTED else 0
    tokens = None
    if decision.limit_tokens is not None:
        tokens = {
            "limit": decision.limit_tokens,
            "remaining": decision.remaining_tokens,
            "reset_ms": decision.oldest_tokens_expiry_ms,
        }
    requests = {
        "limit": decision.limit_requests,
        "remaining": decision.remaining_requests,
        "reset_ms": decision.oldest_expiry_ms,
    }
    return {
        "tier": decision.tier if keyed else "anonymous",
        "limits": {"requests": requests, "tokens": tokens},
        "balance": {"free_tokens": decision.remaining_balance + taken} if keyed else None,
    }


def _refused(product: str | None, problem: Problem) -> Document:
    """It would be refused before anything was looked at."""
    nothing = ("expected_tokens", "expected_by", "worst_tokens", "worst_is_sure", "hold_tokens")
    return {
        "object": "price",
        "product": product,
        **dict.fromkeys(nothing),
        "max_charge": None,
        "admitted": False,
        "refusal": _told(problem),
        "tier": None,
        "limits": None,
        "balance": None,
    }


def _told(problem: Problem) -> Document:
    return {
        "status": problem.status,
        "code": problem.code,
        "message": problem.detail,
        "retry_after_ms": problem.retry_after_ms,
    }
