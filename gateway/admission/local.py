"""The rules of a process that decides alone, while Redis is away. Pure: times and rows are given.

n processes share every limit L and every balance B; each lets through its part of the limits,
max(1, L // n), and spends at most its part of the balance.

1. Keys: the row of PostgreSQL says status, tier, own limits and balance. The part of a process is
   1/n of what was there before it spent of it: of the row and what it has posted since. What it has
   posted, what it has decided that the row cannot show yet, and what it holds come off that.
2. A refusal that the whole limit or balance would give as well is told as always, with true
   numbers; one that only the part gives is a CAPPED_*: no limit of the client's was reached.
3. A job above the part of a token limit does not run: n of them would be n limits.

Refuses to remember more than MAX_SUBJECTS windows: the one that was used longest ago goes first.

Bound of limits: in any 60 s the n together let through at most n * max(1, L // n) <= max(L, n).
Windows are kept when Redis comes and goes, so flapping adds nothing to that.

Bound of money: let s be what a process has posted and o what it holds or has decided. Each time it
takes more, n * (s + o) <= row + s, and row + s never exceeds B, what there was at first. So all s
and o together are at most B; the row is B without all s; so all o are at most the row. A part of
the row as it is, instead, would let the others spend again what a slow request still holds.
"""

from dataclasses import dataclass, replace
from typing import Final

from gateway.admission.ask import Ask, Code, Decision, Extension, Grant, Settlement
from gateway.admission.model import CONCURRENCY_RETRY_MS, KEY, PREMIUM, limits_for
from gateway.admission.window import View, Window, ms_up
from gateway.ledger.rows import BalanceRow
from gateway.products.product import Limits

MAX_SUBJECTS: Final = 20_000
# Redis is back, as a rule, long before a whole window is over: nobody is sent away for longer.
LONGEST_WAIT_MS: Final = 10_000
# When a part of a balance has room again nobody knows; Redis may be back by then.
BALANCE_WAIT_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Own:
    """What this process has of a subject.

    `open_requests` run, of one product; `tokens` are held, or decided and not in the ledger yet;
    `spent_tokens` are in the ledger since it decides alone.
    """

    open_requests: int = 0
    tokens: int = 0
    spent_tokens: int = 0


def part(limit: int, parts: int) -> int:
    """What one of so many processes lets through of a limit above 0."""
    return max(1, limit // parts)


def part_of(limits: Limits, parts: int) -> Limits:
    """The part of each limit."""
    tpm = limits.tpm
    return replace(
        limits,
        rpm=part(limits.rpm, parts),
        tpm=None if tpm is None else part(tpm, parts),
        concurrency=part(limits.concurrency, parts),
    )


def free_tokens(row: BalanceRow, own: Own, parts: int) -> int:
    """What this process may still hold of a balance; below 0 where it holds more already."""
    before = row.trial + row.paid + own.spent_tokens
    return before // parts - own.spent_tokens - own.tokens


def extended(row: BalanceRow, own: Own, parts: int, held: int, wanted: int) -> Extension:
    """Hold `wanted` in all instead of `held` for a request that runs, or why not.

    `own` has what is held for it now.
    """
    if row.status != "active":
        ended = Grant.REVOKED if row.status == "revoked" else Grant.SUSPENDED
        return Extension(ended, held, 0)
    free, more = max(0, free_tokens(row, own, parts)), wanted - held
    if more <= free or more <= 0:
        return Extension(Grant.GRANTED, max(held, wanted), free - max(0, more))
    whole = row.trial + row.paid - own.tokens
    # "Used up" is only true where there is no more than this process may take.
    return Extension(Grant.BALANCE_TOO_LOW if whole <= free else Grant.CAPPED, held, free)


@dataclass(slots=True)
class _Pair:
    """Both windows of one subject and product."""

    requests: Window
    tokens: Window


@dataclass(frozen=True, slots=True)
class _Counted:
    """Where the tokens of a request that runs are counted."""

    window: Window
    entry: int
    cost: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that one decision is taken on."""

    ask: Ask
    limits: Limits
    mine: Limits
    pair: _Pair
    requests: View
    tokens: View
    own: Own
    whole: int
    free: int
    tier: str

    @property
    def cost(self) -> int:
        """Of the token window: a job larger than the limit runs in an empty one."""
        tpm = self.limits.tpm
        return 0 if tpm is None else min(self.ask.tpm_cost, tpm)

    def answer(self, code: Code, retry_after_ms: int = 0) -> Decision:
        """The decision, in numbers of the part; a true refusal is in those of the whole."""
        is_true = code in (Code.RPM, Code.TPM, Code.CONCURRENCY, Code.NEVER_FITS)
        shown = self.limits if is_true else self.mine
        return Decision(
            code,
            retry_after_ms,
            shown.rpm,
            max(0, shown.rpm - self.requests.total),
            shown.tpm,
            0 if shown.tpm is None else max(0, shown.tpm - self.tokens.total),
            max(0, self.whole if code is Code.BALANCE_TOO_LOW else self.free),
            self.pair.requests.reset_ms(self.requests),
            0 if shown.tpm is None else self.pair.tokens.reset_ms(self.tokens),
            self.requests.clock_us,
            self.tier,
            degraded=True,
        )


class LocalLimiter:
    """The windows of one process; `span_us` is W / N of each."""

    def __init__(self, span_us: int) -> None:
        self._span_us = span_us
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._counted: dict[str, _Counted] = {}

    @property
    def is_counting(self) -> bool:
        """Whether requests run whose tokens are counted here."""
        return bool(self._counted)

    def admit(
        self, ask: Ask, row: BalanceRow | None, own: Own, parts: int, time_us: int
    ) -> Decision:
        """Decide and count; `time_us` is of any clock that does not run backwards.

        `row` is given with a key, and read after the request came.
        """
        seen = self._decide(ask, row, own, parts, time_us)
        return seen if isinstance(seen, Decision) else self._take(seen, time_us)

    def judge(
        self, ask: Ask, row: BalanceRow | None, own: Own, parts: int, time_us: int
    ) -> Decision:
        """What `admit` would decide; counts nothing."""
        seen = self._decide(ask, row, own, parts, time_us)
        if isinstance(seen, Decision):
            return seen
        return replace(seen, free=seen.free - ask.hold_tokens).answer(Code.ADMITTED)

    def decided(self, told: Settlement) -> None:
        """A request ended: its window counts what it used. Harmless where it is not counted."""
        counted = self._counted.pop(told.request_id, None)
        if counted is not None and told.actual_tpm is not None:
            counted.window.amend(counted.entry, told.actual_tpm - counted.cost)

    def _decide(
        self, ask: Ask, row: BalanceRow | None, own: Own, parts: int, time_us: int
    ) -> "Decision | _Seen":
        assert parts >= 1
        assert ask.keyed == (row is not None), "money is decided on a row"
        tier = PREMIUM if row is not None and row.tier == PREMIUM else KEY
        if row is not None and row.status != "active":
            code = Code.REVOKED if row.status == "revoked" else Code.SUSPENDED
            return Decision(code, 0, 0, 0, None, 0, 0, 0, 0, time_us, KEY, degraded=True)
        limits = limits_for(ask, tier, row)
        pair = self._pair((ask.subject, ask.product))
        seen = _Seen(
            ask,
            limits,
            part_of(limits, parts),
            pair,
            pair.requests.look(time_us),
            pair.tokens.look(time_us),
            own,
            0 if row is None else row.trial + row.paid - own.tokens,
            0 if row is None else free_tokens(row, own, parts),
            tier,
        )
        return _refusal(seen) or seen

    def _take(self, seen: _Seen, time_us: int) -> Decision:
        ask, pair = seen.ask, seen.pair
        pair.requests.record(seen.requests, 1)
        if seen.limits.tpm is not None:
            entry = pair.tokens.record(seen.tokens, seen.cost)
            self._counted[ask.request_id] = _Counted(pair.tokens, entry, seen.cost)
        after = replace(
            seen,
            requests=pair.requests.look(time_us),
            tokens=pair.tokens.look(time_us),
            free=seen.free - ask.hold_tokens,
        )
        return after.answer(Code.ADMITTED)

    def _pair(self, at: tuple[str, str]) -> _Pair:
        pair = self._pairs.pop(at, None) or _Pair(Window(self._span_us), Window(self._span_us))
        if len(self._pairs) >= MAX_SUBJECTS:
            del self._pairs[next(iter(self._pairs))]
        self._pairs[at] = pair
        return pair


def _refusal(seen: _Seen) -> Decision | None:
    """In the order of precedence that Redis has."""
    ask, limits = seen.ask, seen.limits
    no_tokens = limits.tpm == 0 and ask.tpm_cost > 0
    if limits.rpm < 1 or limits.concurrency < 1 or no_tokens:
        return seen.answer(Code.NEVER_FITS)
    if ask.keyed and ask.hold_tokens > 0:
        if ask.hold_tokens > seen.whole:
            return seen.answer(Code.BALANCE_TOO_LOW)
        if ask.hold_tokens > seen.free:
            return seen.answer(Code.CAPPED_BALANCE, BALANCE_WAIT_MS)
    refused = _of_windows(seen)
    if refused is not None:
        return refused
    if seen.own.open_requests >= limits.concurrency:
        return seen.answer(Code.CONCURRENCY, CONCURRENCY_RETRY_MS)
    if seen.own.open_requests >= seen.mine.concurrency:
        return seen.answer(Code.CAPPED_PLACES, CONCURRENCY_RETRY_MS)
    return None


def _of_windows(seen: _Seen) -> Decision | None:
    """Of a full limit the exact wait, of a full part at most the time that Redis may need."""
    requests, tokens, cost = seen.pair.requests, seen.pair.tokens, seen.cost
    limits, mine = seen.limits, seen.mine
    waits = {Code.RPM: requests.wait_us(seen.requests, 1, limits.rpm)}
    capped_us = requests.wait_us(seen.requests, 1, mine.rpm)
    if limits.tpm is not None and mine.tpm is not None:
        waits[Code.TPM] = tokens.wait_us(seen.tokens, cost, limits.tpm)
        if cost > mine.tpm:
            capped_us = max(capped_us, LONGEST_WAIT_MS * 1_000)
        else:
            capped_us = max(capped_us, tokens.wait_us(seen.tokens, cost, mine.tpm))
    code = max(waits, key=lambda each: waits[each])
    if waits[code] > 0:
        return seen.answer(code, ms_up(waits[code]))
    if capped_us > 0:
        return seen.answer(Code.CAPPED_RATE, min(LONGEST_WAIT_MS, ms_up(capped_us)))
    return None
