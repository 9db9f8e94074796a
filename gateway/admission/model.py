"""The pure twin of the scripts: replays every decision, given the clock that it was taken at.

Refuses I/O, a clock and randomness. Property tests run it beside Redis and compare.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.admission.ask import (
    MAX_COPY_TOKENS,
    Ask,
    Code,
    Decision,
    Extension,
    Grant,
    Hold,
    Settlement,
)
from gateway.admission.rule import Sight, never, refusal
from gateway.admission.shadow import ShadowSide, shadow_for
from gateway.admission.window import View, Window, ms_up
from gateway.ledger.rows import BalanceRow
from gateway.products.product import Limits

CONCURRENCY_RETRY_MS: Final = 1_000
PREMIUM: Final = "premium"
KEY: Final = "key"


@dataclass(slots=True)
class Held:
    """A hold as the model keeps it; `entry` None: no token window counts it."""

    hold: Hold
    tpm: int
    entry: int | None
    decided: bool = False


@dataclass(slots=True)
class Subject:
    """All that is known of one subject."""

    span_us: int
    copy: BalanceRow | None = None
    holds: dict[str, Held] = field(default_factory=dict)
    requests: dict[str, Window] = field(default_factory=dict)
    tokens: dict[str, Window] = field(default_factory=dict)
    shadows: dict[str, ShadowSide] = field(default_factory=dict)

    def held_tokens(self) -> int:
        return sum(held.hold.hold_tokens for held in self.holds.values())

    def open_requests(self, product: str) -> int:
        return sum(
            held.hold.product == product and not held.decided for held in self.holds.values()
        )

    def request_window(self, product: str) -> Window:
        return self.requests.setdefault(product, Window(self.span_us))

    def token_window(self, product: str) -> Window:
        return self.tokens.setdefault(product, Window(self.span_us))

    def shadow(self, product: str) -> ShadowSide:
        fresh = ShadowSide(Window(self.span_us), Window(self.span_us))
        return self.shadows.setdefault(product, fresh)


@dataclass(frozen=True, slots=True)
class Seen:
    """Both windows at the time of an ask, and the limits that hold for it."""

    limits: Limits
    requests: Window
    request_view: View
    tokens: Window
    token_view: View
    available: int
    time_us: int
    tier: str

    def answer(self, code: Code, retry_after_ms: int = 0) -> Decision:
        tpm = self.limits.tpm
        return Decision(
            code,
            retry_after_ms,
            self.limits.rpm,
            max(0, self.limits.rpm - self.request_view.total),
            tpm,
            0 if tpm is None else max(0, tpm - self.token_view.total),
            max(0, self.available),
            self.requests.reset_ms(self.request_view),
            0 if tpm is None else self.tokens.reset_ms(self.token_view),
            self.time_us,
            self.tier,
        )


def limits_for(ask: Ask, tier: str, row: BalanceRow | None) -> Limits:
    """The tier's limits, each one overridden by the key's own."""
    limits = ask.limits_premium if tier == PREMIUM else ask.limits_key
    own = row.limits.get(ask.product, {}) if row is not None else {}
    rpm, tpm, open_limit = own.get("rpm"), own.get("tpm"), own.get("concurrency")
    return Limits(
        limits.rpm if rpm is None else rpm,
        limits.tpm if tpm is None else tpm,
        limits.concurrency if open_limit is None else open_limit,
        shadow_for(limits, row, ask.product),
    )


def copy_of(row: BalanceRow) -> BalanceRow:
    """The row as Redis keeps it: the sum of both balances clamped to what Lua counts exactly."""
    trial = min(row.trial, MAX_COPY_TOKENS)
    return replace(row, trial=trial, paid=min(row.paid, MAX_COPY_TOKENS - trial))


class Model:
    """What Redis knows, for all subjects; `span_us` is W / N of its windows."""

    def __init__(self, span_us: int) -> None:
        self._span_us = span_us
        self.subjects: dict[str, Subject] = {}

    def subject(self, name: str) -> Subject:
        """What is known of this subject, if only that nothing is."""
        return self.subjects.setdefault(name, Subject(self._span_us))

    def put_balance(self, row: BalanceRow) -> None:
        """Take the row if it is newer than the copy."""
        subject = self.subject(f"k:{row.key_id}")
        if subject.copy is None or row.version > subject.copy.version:
            subject.copy = copy_of(row)

    def admit(self, ask: Ask, time_us: int, riders: Iterable[Settlement] = ()) -> Decision:
        """Decide as admit.lua does at this time."""
        self.decided(riders)
        found = self._decide(ask, time_us)
        return found if isinstance(found, Decision) else self._take(ask, found)

    def judge(self, ask: Ask, time_us: int) -> Decision:
        """Decide as judge.lua does: nothing is taken."""
        found = self._decide(ask, time_us)
        if isinstance(found, Decision):
            return found
        left = found.available - ask.hold_tokens if ask.keyed else -ask.hold_tokens
        return replace(found, available=left).answer(Code.ADMITTED)

    def _decide(self, ask: Ask, time_us: int) -> "Decision | Seen":
        """The refusal, or what an admission would be taken on."""
        subject = self.subject(ask.subject)
        barred = self._barred(subject, ask, time_us)
        if barred is not None:
            return barred
        seen = self._see(subject, ask, time_us)
        return self._refusal(subject, ask, seen) or seen

    def extend(self, subject_name: str, request_id: str, hold_tokens: int) -> Extension:
        """Hold more for a request that runs, as extend.lua does."""
        subject = self.subject(subject_name)
        held, copy = subject.holds.get(request_id), subject.copy
        if held is None:
            return Extension(Grant.GONE, 0, 0)
        now = held.hold.hold_tokens
        if held.decided:
            return Extension(Grant.GONE, now, 0)
        if copy is None:
            return Extension(Grant.BALANCE_NOT_LOADED, now, 0)
        if copy.status != "active":
            ended = Grant.REVOKED if copy.status == "revoked" else Grant.SUSPENDED
            return Extension(ended, now, 0)
        free = copy.trial + copy.paid - subject.held_tokens()
        more = hold_tokens - now
        if more <= 0:
            return Extension(Grant.GRANTED, now, max(0, free))
        if free < more:
            return Extension(Grant.BALANCE_TOO_LOW, now, max(0, free))
        held.hold = replace(held.hold, hold_tokens=hold_tokens)
        return Extension(Grant.GRANTED, hold_tokens, free - more)

    def decided(self, riders: Iterable[Settlement]) -> None:
        """Windows count what the requests cost, which stays held; repeats change nothing."""
        for each in riders:
            held = self.subject(each.subject).holds.get(each.request_id)
            if held is None:
                continue
            self._amend(held, each)
            held.hold = replace(held.hold, hold_tokens=each.cost_tokens)
            held.decided = True

    def _amend(self, held: Held, told: Settlement) -> None:
        shadow = self.subject(told.subject).shadow(held.hold.product)
        shadow.leave(told.request_id, told.actual_tpm)
        if held.entry is not None and told.actual_tpm is not None:
            window = self.subject(told.subject).token_window(held.hold.product)
            window.amend(held.entry, told.actual_tpm - held.tpm)
            held.tpm = told.actual_tpm

    def settle(self, settlements: Sequence[Settlement], rows: Iterable[BalanceRow] = ()) -> None:
        """Release holds and take balances; an unknown hold is nothing to do."""
        for each in settlements:
            held = self.subject(each.subject).holds.pop(each.request_id, None)
            if held is not None:
                self._amend(held, each)
        for row in rows:
            self.put_balance(row)

    def _barred(self, subject: Subject, ask: Ask, time_us: int) -> Decision | None:
        if not ask.keyed:
            return None
        code = None
        if subject.copy is None:
            code = Code.BALANCE_NOT_LOADED
        elif subject.copy.status == "revoked":
            code = Code.REVOKED
        elif subject.copy.status != "active":
            code = Code.SUSPENDED
        if code is None:
            return None
        return Decision(code, 0, 0, 0, None, 0, 0, 0, 0, time_us, KEY)

    def _see(self, subject: Subject, ask: Ask, time_us: int) -> Seen:
        copy = subject.copy if ask.keyed else None
        tier = PREMIUM if copy is not None and copy.tier == PREMIUM else KEY
        requests = subject.request_window(ask.product)
        tokens = subject.token_window(ask.product)
        available = 0 if copy is None else copy.trial + copy.paid - subject.held_tokens()
        return Seen(
            limits_for(ask, tier, copy),
            requests,
            requests.look(time_us),
            tokens,
            tokens.look(time_us),
            available,
            time_us,
            tier,
        )

    def _refusal(self, subject: Subject, ask: Ask, seen: Seen) -> Decision | None:
        limits = seen.limits
        if ask.request_id in subject.holds:
            return seen.answer(Code.ALREADY_HELD)
        if never(limits, ask.tpm_cost) is not None:
            return seen.answer(Code.NEVER_FITS)
        if ask.keyed and 0 < ask.hold_tokens > seen.available:
            return seen.answer(Code.BALANCE_TOO_LOW)
        sight = Sight(
            seen.requests,
            seen.request_view,
            seen.tokens,
            seen.token_view,
            subject.open_requests(ask.product),
        )
        refused = refusal(limits, sight, ask.tpm_cost)
        if refused is None:
            return None
        code, wait_us = refused
        retry_ms = CONCURRENCY_RETRY_MS if code is Code.CONCURRENCY else ms_up(wait_us)
        return seen.answer(code, retry_ms)

    def _take(self, ask: Ask, seen: Seen) -> Decision:
        subject = self.subject(ask.subject)
        seen.requests.record(seen.request_view, 1)
        entry, cost = None, 0
        if seen.limits.tpm is not None:
            cost = min(ask.tpm_cost, seen.limits.tpm)
            entry = seen.tokens.record(seen.token_view, cost)
        hold = Hold(
            ask.request_id,
            ask.subject,
            ask.product,
            ask.hold_tokens,
            ask.instance,
            ask.admission_no,
            ask.deadline_ms,
        )
        subject.holds[ask.request_id] = Held(hold, cost, entry)
        shadow = seen.limits.shadow
        told = 0 if shadow is None else subject.shadow(ask.product).look(shadow, ask, seen.time_us)
        after = replace(
            seen,
            request_view=seen.requests.look(seen.time_us),
            token_view=seen.tokens.look(seen.time_us),
            available=seen.available - ask.hold_tokens if ask.keyed else 0,
        )
        return replace(after.answer(Code.ADMITTED), shadow=told)
