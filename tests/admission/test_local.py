"""A process alone: its part of limits and money, whatever the order, and what it says of them."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission.ask import Ask, Code, Grant
from gateway.admission.local import LocalLimiter, Own, extended, free_tokens, part
from gateway.admission.model import Model
from gateway.admission.unposted import Unposted
from gateway.units import WINDOW_US
from tests.admission.asking import START_US, Asker, limits, row, settlement

SPAN_US = WINDOW_US // 240
NOTHING = Own()


def densest(times: Sequence[int], costs: Sequence[int] | None = None) -> int:
    """The most that any half-open window of 60 s has; times ascend."""
    costs = costs or [1] * len(times)
    sums = [0]
    for cost in costs:
        sums.append(sums[-1] + cost)
    return max(
        (sums[place + 1] - sums[bisect_right(times, at - WINDOW_US)])
        for place, at in enumerate(times)
    )


@given(st.integers(1, 1_000), st.integers(1, 40))
def test_all_parts_together_are_at_most_the_limit_or_one_each(limit: int, parts: int) -> None:
    assert parts * part(limit, parts) <= max(limit, parts)


Step = tuple[int, int, int]  # microseconds since the last, which process, tokens
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, SPAN_US, 1_000_000, 20_000_000, 60_000_000]) | st.integers(0, 10**8),
        st.integers(0, 5),
        st.integers(0, 40),
    ),
    min_size=1,
    max_size=120,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(1, 6), st.integers(1, 12), st.integers(1, 100))
def test_no_minute_of_all_processes_exceeds_the_limits(
    steps: list[Step], parts: int, rpm: int, tpm: int
) -> None:
    processes = [LocalLimiter(SPAN_US) for _ in range(parts)]
    asker = Asker("a:1", limits=limits(rpm=rpm, tpm=tpm))
    now_us, admitted = START_US, []
    for wait_us, process, cost in steps:
        now_us += wait_us
        ask = asker.ask(cost)
        found = processes[process % parts].admit(ask, None, NOTHING, parts, now_us)
        if found.code is Code.ADMITTED:
            admitted.append((now_us, min(cost, tpm)))
    if admitted:
        times = [at for at, _ in admitted]
        assert densest(times) <= max(rpm, parts)
        assert densest(times, [cost for _, cost in admitted]) <= max(tpm, parts)


@dataclass
class Fleet:
    """Processes on one Redis that each of them sees come and go by itself."""

    parts: int
    rpm: int
    redis: Model = field(default_factory=lambda: Model(SPAN_US))
    wiped: list[int] = field(default_factory=list)
    admitted: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alone = [LocalLimiter(SPAN_US) for _ in range(self.parts)]
        self.up = [True] * self.parts
        self.asker = Asker("a:1", limits=limits(rpm=self.rpm))

    def ask(self, process: int, now_us: int) -> None:
        ask = self.asker.ask()
        if self.up[process]:
            found = self.redis.admit(ask, now_us)
        else:
            found = self.alone[process].admit(ask, None, NOTHING, self.parts, now_us)
        if found.code is Code.ADMITTED:
            self.admitted.append(now_us)

    def lost_reply(self, process: int, now_us: int) -> None:
        """Redis admits, its answer is lost, and the process decides about the same request."""
        ask = self.asker.ask()
        self.redis.admit(ask, now_us)
        found = self.alone[process].admit(ask, None, NOTHING, self.parts, now_us)
        self.up[process] = False
        if found.code is Code.ADMITTED:
            self.admitted.append(now_us)

    def wipe(self, now_us: int) -> None:
        self.redis = Model(SPAN_US)
        self.wiped.append(now_us)


DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["ask"] * 12 + ["flap", "flap", "lost", "wipe", "all"]),
        st.integers(0, 4),
        st.sampled_from([0, 0, 0, 1, SPAN_US, 500_000, 5_000_000, 60_000_000]),
    ),
    min_size=10,
    max_size=300,
)


@settings(max_examples=80, deadline=None)
@given(DEEDS, st.integers(1, 5), st.integers(1, 10))
def test_whatever_redis_does_a_minute_has_at_most_two_limits_and_one_more_for_each_loss(
    deeds: list[tuple[str, int, int]], parts: int, rpm: int
) -> None:
    """L of Redis, max(L, n) of the processes alone; each loss of Redis' memory L once more."""
    fleet, now_us = Fleet(parts, rpm), START_US
    for deed, number, wait_us in deeds:
        now_us += wait_us
        process = number % parts
        if deed == "flap":
            fleet.up[process] = not fleet.up[process]
        elif deed == "all":
            fleet.up = [not fleet.up[0]] * parts
        elif deed == "wipe":
            fleet.wipe(now_us)
        elif deed == "lost":
            fleet.lost_reply(process, now_us)
        else:
            for _ in range(rpm):
                fleet.ask(process, now_us)
    for place, at in enumerate(fleet.admitted):
        first = bisect_right(fleet.admitted, at - WINDOW_US)
        losses = len(fleet.wiped) - bisect_left(fleet.wiped, fleet.admitted[first])
        assert place + 1 - first <= (1 + losses) * rpm + max(rpm, parts)


@dataclass
class Purse:
    """One balance in a ledger and the processes that spend it, each on what it knows."""

    parts: int
    balance: int
    version: int = 1

    def __post_init__(self) -> None:
        self.limiters = [LocalLimiter(SPAN_US) for _ in range(self.parts)]
        self.unposted = [Unposted() for _ in range(self.parts)]
        self.running: list[dict[str, Ask]] = [{} for _ in range(self.parts)]
        self.decided: list[list[tuple[Ask, int]]] = [[] for _ in range(self.parts)]
        self.asker = Asker("k:1")

    def own(self, process: int) -> Own:
        held = sum(ask.hold_tokens for ask in self.running[process].values())
        known = self.unposted[process]
        return Own(0, held + known.tokens("k:1"), known.spent("k:1"))

    def admit(self, process: int, hold: int, now_us: int) -> None:
        self.unposted[process].count_spent("k:1")
        ask = self.asker.ask(0, hold)
        balance = row(1, self.version, trial=self.balance)
        found = self.limiters[process].admit(ask, balance, self.own(process), self.parts, now_us)
        if found.code is Code.ADMITTED:
            self.running[process][ask.request_id] = ask

    def grow(self, process: int, more: int) -> None:
        if not self.running[process]:
            return
        name, ask = next(iter(self.running[process].items()))
        wanted = ask.hold_tokens + more
        balance = row(1, self.version, trial=self.balance)
        found = extended(balance, self.own(process), self.parts, ask.hold_tokens, wanted)
        if found.grant is Grant.GRANTED:
            del self.running[process][name]
            grown = self.asker.ask(0, found.hold_tokens)
            self.running[process][grown.request_id] = grown

    def end(self, process: int, cost: int) -> None:
        if self.running[process]:
            ask = self.running[process].pop(next(iter(self.running[process])))
            cost = min(cost, ask.hold_tokens)
            self.decided[process].append((ask, cost))
            self.unposted[process].decided("k:1", cost)

    def post(self, process: int) -> None:
        if self.decided[process]:
            ask, cost = self.decided[process].pop(0)
            self.balance -= cost
            self.version += 1
            rows = [row(1, self.version, trial=self.balance)]
            self.unposted[process].posted([settlement(ask, None, cost)], rows)

    @property
    def taken(self) -> int:
        return sum(self.own(process).tokens for process in range(self.parts))


SPENDING = st.lists(
    st.tuples(
        st.sampled_from(["admit", "admit", "admit", "grow", "end", "post", "top up"]),
        st.integers(0, 4),
        st.integers(1, 60),
    ),
    max_size=200,
)


@settings(max_examples=80, deadline=None)
@given(SPENDING, st.integers(1, 5), st.integers(0, 300))
def test_all_processes_together_never_hold_more_than_the_row(
    deeds: list[tuple[str, int, int]], parts: int, balance: int
) -> None:
    purse = Purse(parts, balance)
    for deed, number, tokens in deeds:
        process = number % parts
        if deed == "admit":
            purse.admit(process, tokens, START_US)
        elif deed == "grow":
            purse.grow(process, tokens)
        elif deed == "end":
            purse.end(process, tokens)
        elif deed == "post":
            purse.post(process)
        else:
            purse.balance += tokens
            purse.version += 1
        assert purse.taken <= purse.balance


def test_a_row_of_before_a_posting_is_not_used_after_it() -> None:
    """It was read before the charge and used after it was counted off as posted."""
    known, told = Unposted(), settlement(Asker("k:1").ask(), None, 60)
    known.decided("k:1", 60)
    old, new = row(1, 4, trial=100), row(1, 5, trial=40)
    with known.watching():
        known.posted([told], [new])
        assert (known.tokens("k:1"), known.newest(old)) == (0, new)
    with known.watching():
        # Nobody was reading when it was posted: the next row has it.
        assert known.newest(old) == old


def test_what_the_disk_did_not_take_is_no_longer_owed() -> None:
    known, told = Unposted(), settlement(Asker("k:1").ask(), None, 60)
    known.decided("k:1", 60)
    known.voided(told)
    known.voided(settlement(Asker("k:1").ask(), None, 0))
    assert known.tokens("k:1") == 0


def test_refusals_that_the_whole_limit_would_give_too_are_told_as_such() -> None:
    alone = LocalLimiter(SPAN_US)
    asker = Asker("k:1", limits=limits(rpm=4, tpm=100, concurrency=2))
    balance = row(1, trial=100)

    def told(parts: int, own: Own = NOTHING, tpm: int = 0, hold: int = 0) -> tuple[Code, int]:
        found = alone.admit(asker.ask(tpm, hold), balance, own, parts, START_US)
        assert found.degraded
        return found.code, found.retry_after_ms

    assert told(2, hold=101) == (Code.BALANCE_TOO_LOW, 0)
    assert told(2, hold=51) == (Code.CAPPED_BALANCE, 2_000)
    assert told(2, Own(0, 20), hold=50) == (Code.CAPPED_BALANCE, 2_000)
    assert told(2, Own(0, 60), hold=50) == (Code.BALANCE_TOO_LOW, 0)
    assert told(2, tpm=51) == (Code.CAPPED_RATE, 10_000)
    assert told(2, Own(1), tpm=1) == (Code.CAPPED_PLACES, 1_000)
    assert told(2, Own(2), tpm=1) == (Code.CONCURRENCY, 1_000)
    assert [told(2)[0] for _ in range(2)] == [Code.ADMITTED] * 2
    assert told(2) == (Code.CAPPED_RATE, 10_000)
    assert [told(1)[0] for _ in range(2)] == [Code.ADMITTED] * 2
    assert told(1) == (Code.RPM, 60_000)
    assert told(2) == (Code.RPM, 60_000)


def test_a_key_has_its_tier_its_own_limits_and_its_status() -> None:
    alone = LocalLimiter(SPAN_US)
    asker = Asker("k:1", limits=limits(rpm=4), premium=limits(rpm=40))
    for balance, rpm in (
        (row(1), 2),
        (row(1, tier="premium"), 20),
        (row(1, limits={"embeddings": {"rpm": 10}}), 5),
    ):
        assert alone.judge(asker.ask(), balance, NOTHING, 2, START_US).limit_requests == rpm
    for status, code in (("revoked", Code.REVOKED), ("suspended", Code.SUSPENDED)):
        found = alone.admit(asker.ask(), row(1, status=status), NOTHING, 2, START_US)
        assert (found.code, found.limit_requests) == (code, 0)
    assert extended(row(1, status="revoked"), NOTHING, 1, 5, 9).grant is Grant.REVOKED
    assert extended(row(1, status="suspended"), NOTHING, 1, 5, 9).grant is Grant.SUSPENDED


def test_tokens_that_were_not_used_come_back_when_the_request_ends() -> None:
    alone = LocalLimiter(SPAN_US)
    asker = Asker("a:1", limits=limits(tpm=100))
    ask = asker.ask(40)
    assert alone.admit(ask, None, NOTHING, 2, START_US).remaining_tokens == 10
    alone.decided(settlement(ask, 5))
    alone.decided(settlement(ask, 5))
    assert not alone.is_counting
    assert alone.judge(asker.ask(45), None, NOTHING, 2, START_US).code is Code.ADMITTED
    assert alone.judge(asker.ask(46), None, NOTHING, 2, START_US).code is Code.CAPPED_RATE


def test_more_is_held_only_out_of_this_process_part() -> None:
    balance, own = row(1, trial=100), Own(1, 30)
    assert extended(balance, own, 2, 30, 50).grant is Grant.GRANTED
    capped = extended(balance, own, 2, 30, 51)
    assert (capped.grant, capped.hold_tokens, capped.free_tokens) == (Grant.CAPPED, 30, 20)
    assert extended(balance, own, 2, 30, 101).grant is Grant.CAPPED
    assert extended(balance, own, 1, 30, 101).grant is Grant.BALANCE_TOO_LOW
    assert extended(balance, Own(1, 100), 2, 30, 31).grant is Grant.BALANCE_TOO_LOW
    assert extended(balance, own, 2, 30, 10).hold_tokens == 30
    assert free_tokens(balance, Own(0, 70), 2) == -20
