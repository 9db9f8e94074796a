"""A refusal consumes nothing and leaves no trace; which one is told follows a fixed order."""

import asyncio

import pytest

from gateway.admission.ask import Ask, Code
from gateway.redis_link import Reply
from gateway.units import US_PER_MS, WINDOW_MS, WINDOW_US
from tests.admission.asking import START_US, Asker, Direct, limits, row, settlement


async def everything(direct: Direct) -> dict[bytes, tuple[Reply, Reply, Reply]]:
    """Every key with its content and its expiry, as the server would save it."""
    keys = await direct.link.call(None, "KEYS", "*")
    assert isinstance(keys, list)
    found = {}
    for key in keys:
        found[key] = (
            await direct.link.call(None, "DUMP", key),
            await direct.link.call(None, "PTTL", key),
            await direct.link.call(None, "OBJECT", "ENCODING", key),
        )
    return found


async def refused(direct: Direct, ask: Ask, clock_us: int) -> Code:
    """The code, after making sure that nothing was written."""
    before = await everything(direct)
    writes = await changes(direct)
    code = (await direct.admit(ask, clock_us)).code
    assert await changes(direct) == writes
    after = await everything(direct)
    assert {k: (v[0], v[2]) for k, v in before.items()} == {
        k: (v[0], v[2]) for k, v in after.items()
    }
    for key, (_, ttl_ms, _) in before.items():
        left_ms = after[key][1]
        assert isinstance(ttl_ms, int)
        assert isinstance(left_ms, int)
        assert left_ms <= ttl_ms
    return code


async def changes(direct: Direct) -> int:
    """How many writes the server has counted since its last save."""
    told = await direct.link.call(None, "INFO", "persistence")
    assert isinstance(told, bytes)
    return int(told.partition(b"rdb_changes_since_last_save:")[2].split()[0])


async def test_every_refusal_writes_nothing(direct: Direct) -> None:
    """Not the windows, not their expiry, not the clock guard: by content and by write count."""
    await direct.settle([], row(1, trial=100))
    tight = Asker("k:1", limits=limits(rpm=3, tpm=50, concurrency=3))
    now_us = START_US
    assert await refused(direct, Asker("k:9").ask(), now_us) is Code.BALANCE_NOT_LOADED
    assert await refused(direct, Asker("k:1", limits=limits(rpm=0)).ask(), now_us) is (
        Code.NEVER_FITS
    )
    assert await refused(direct, tight.ask(1, 101), now_us) is Code.BALANCE_TOO_LOW
    assert (await direct.admit(tight.ask(30, 10), now_us)).code is Code.ADMITTED
    assert await refused(direct, tight.ask(30, 10), now_us + 5) is Code.TPM
    # The clock has stepped back: the guard is raised by an admission, never by a refusal.
    assert await refused(direct, tight.ask(30, 10), now_us - 5_000_000) is Code.TPM
    for _ in range(2):
        assert (await direct.admit(tight.ask(1, 1), now_us + 300_000)).code is Code.ADMITTED
    assert await refused(direct, tight.ask(1, 1), now_us + 300_001) is Code.RPM
    assert await refused(direct, tight.ask(1, 1), now_us + WINDOW_US + 300_000) is (
        Code.CONCURRENCY
    )
    await direct.settle([], row(1, 2, status="suspended"))
    assert await refused(direct, tight.ask(1, 1), now_us) is Code.SUSPENDED
    await direct.settle([], row(1, 3, status="revoked"))
    assert await refused(direct, tight.ask(1, 1), now_us) is Code.REVOKED


async def test_same_request_again_is_held_already_and_writes_nothing(direct: Direct) -> None:
    await direct.settle([], row(1))
    asker = Asker("k:1", limits=limits(rpm=5, tpm=50))
    ask = asker.ask(10, 7)
    first = await direct.admit(ask)
    assert await refused(direct, ask, START_US + 10) is Code.ALREADY_HELD
    again = await direct.admit(ask, START_US + 10)
    assert again.remaining_balance == first.remaining_balance
    assert again.remaining_requests == first.remaining_requests == 4


async def test_refusals_are_told_in_order_of_precedence(direct: Direct) -> None:
    """Everything is wrong at once; each mended fault uncovers the next one."""
    asker = Asker("k:1", limits=limits(rpm=1, tpm=10, concurrency=1))
    await direct.settle([], row(1, 1))
    assert (await direct.admit(asker.ask(10, 5))).code is Code.ADMITTED
    closed = {"embeddings": {"rpm": 0}}
    later_us = START_US + 1_000
    order = [
        (row(1, 2, trial=5, status="revoked", limits=closed), Code.REVOKED),
        (row(1, 3, trial=5, status="suspended", limits=closed), Code.SUSPENDED),
        (row(1, 4, trial=5, limits=closed), Code.NEVER_FITS),
        (row(1, 5, trial=5), Code.BALANCE_TOO_LOW),
        (row(1, 6, trial=50), Code.RPM),
        (row(1, 7, trial=50, limits={"embeddings": {"rpm": 9}}), Code.TPM),
        (row(1, 8, trial=50, limits={"embeddings": {"rpm": 9, "tpm": 99}}), Code.CONCURRENCY),
    ]
    for balance, code in order:
        await direct.settle([], balance)
        assert (await direct.admit(asker.ask(10, 5), later_us)).code is code


async def test_the_longer_wait_names_itself(direct: Direct) -> None:
    asker = Asker("a:1", limits=limits(rpm=2, tpm=100))
    await direct.admit(asker.ask(10), START_US)
    await direct.admit(asker.ask(90), START_US + 20_000_000)
    # A place among the requests comes free with the first one, but 80 tokens with the second.
    decision = await direct.admit(asker.ask(80), START_US + 30_000_000)
    assert decision.code is Code.TPM
    assert decision.retry_after_ms == 50_000
    small = await direct.admit(asker.ask(5), START_US + 30_000_000)
    assert small.code is Code.RPM
    assert small.retry_after_ms == 30_000


@pytest.mark.parametrize("step_us", [1, 999, 1_000, 1_001, 123_457])
async def test_retry_after_is_exact(direct: Direct, step_us: int) -> None:
    """After that many ms the same request is admitted, and 1 ms earlier it is not."""
    asker = Asker("a:2", limits=limits(rpm=3))
    for number in range(3):
        await direct.admit(asker.ask(), START_US + number * step_us)
    now_us = START_US + 3 * step_us
    ask = asker.ask()
    refusal = await direct.admit(ask, now_us)
    assert refusal.code is Code.RPM
    wait_us = refusal.retry_after_ms * US_PER_MS
    assert (await direct.admit(ask, now_us + wait_us - US_PER_MS)).code is Code.RPM
    assert (await direct.admit(ask, now_us + wait_us)).code is Code.ADMITTED


async def test_retry_after_is_exact_after_the_clock_stepped_back(direct: Direct) -> None:
    asker = Asker("a:2", limits=limits(rpm=1))
    await direct.admit(asker.ask(), START_US)
    ask = asker.ask()
    refusal = await direct.admit(ask, START_US - 2_000_000)
    assert refusal.retry_after_ms == WINDOW_MS + 2_000
    assert (await direct.admit(ask, START_US + WINDOW_US - US_PER_MS)).code is Code.RPM
    assert (await direct.admit(ask, START_US + WINDOW_US)).code is Code.ADMITTED


async def test_retry_after_by_the_servers_own_clock(direct: Direct) -> None:
    """Without a given time: the wait that is told is the wait that is needed."""
    asker = Asker("a:3", limits=limits(tpm=10))
    at_us = (await direct.admit(asker.ask(10), 0)).now_us
    await direct.settle([settlement(asker.ask())])
    refusal = await direct.admit(asker.ask(1), 0)
    due_us = at_us + WINDOW_US
    assert refusal.retry_after_ms == -(-(due_us - refusal.now_us) // US_PER_MS)


async def test_a_job_larger_than_the_limit_runs_in_an_empty_window(direct: Direct) -> None:
    asker = Asker("a:4", limits=limits(tpm=100))
    assert (await direct.admit(asker.ask(5_000), START_US)).remaining_tokens == 0
    refusal = await direct.admit(asker.ask(5_000), START_US + 1)
    assert refusal.code is Code.TPM
    again_us = START_US + 1 + refusal.retry_after_ms * US_PER_MS
    assert (await direct.admit(asker.ask(5_000), again_us)).code is Code.ADMITTED


async def test_a_refusal_of_one_limit_consumes_nothing_of_the_others(direct: Direct) -> None:
    await direct.settle([], row(1, trial=100))
    asker = Asker("k:1", limits=limits(rpm=10, tpm=50, concurrency=10))
    await direct.admit(asker.ask(50, 10))
    for _ in range(20):
        assert (await direct.admit(asker.ask(1, 10))).code is Code.TPM
    free = Asker("k:1", limits=limits(rpm=10, tpm=1_000, concurrency=10))
    free.numbers = iter(range(1_000, 2_000))
    decision = await direct.admit(free.ask(1, 10))
    assert decision.remaining_requests == 8
    assert decision.remaining_balance == 80
    assert decision.remaining_tokens == 949


async def test_limits_of_the_tier_and_of_the_key_are_in_force_at_the_next_ask(
    direct: Direct,
) -> None:
    asker = Asker("k:1", limits=limits(rpm=2), premium=limits(rpm=4))
    await direct.settle([], row(1, 1))
    assert (await direct.admit(asker.ask())).limit_requests == 2
    await direct.settle([], row(1, 2, tier="premium"))
    upgraded = await direct.admit(asker.ask())
    assert (upgraded.limit_requests, upgraded.tier) == (4, "premium")
    own = {"embeddings": {"rpm": 3, "tpm": 70, "concurrency": None}}
    await direct.settle([], row(1, 3, tier="premium", limits=own))
    narrowed = await direct.admit(asker.ask(5))
    assert (narrowed.limit_requests, narrowed.limit_tokens) == (3, 70)
    assert (await direct.admit(asker.ask())).code is Code.RPM
    await direct.settle([], row(1, 4, tier="premium"))
    reset = await direct.admit(asker.ask())
    assert (reset.code, reset.limit_requests, reset.limit_tokens) == (Code.ADMITTED, 4, None)


async def test_ten_of_a_hundred_parallel_asks_pass_a_limit_of_ten(direct: Direct) -> None:
    asker = Asker("a:5", limits=limits(rpm=10))
    decisions = await asyncio.gather(*(direct.admit(asker.ask(), 0) for _ in range(100)))
    assert sum(d.code is Code.ADMITTED for d in decisions) == 10
    assert sum(d.code is Code.RPM for d in decisions) == 90
