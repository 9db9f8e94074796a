"""Balance holds, their settlement, and the corrections of windows."""

import asyncio

from gateway.admission.ask import MAX_COPY_TOKENS, Code, Settlement
from gateway.admission.scripts import copy_key, holds_key, tag_of, tokens_key
from gateway.units import WINDOW_US
from tests.admission.asking import START_US, Asker, Direct, limits, open_direct, row, settlement


async def held(direct: Direct, subject: str) -> dict[bytes, bytes]:
    flat = await direct.call(subject, "HGETALL", holds_key(tag_of(subject), subject))
    assert isinstance(flat, list)
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def test_admission_is_all_or_nothing(direct: Direct) -> None:
    """After an admission there is one hold, one place in each window, one deadline."""
    await direct.settle([], row(1, trial=100))
    asker = Asker("k:1", limits=limits(rpm=5, tpm=50, concurrency=5))
    ask = asker.ask(10, 40)
    decision = await direct.admit(ask)
    assert decision.code is Code.ADMITTED
    assert decision.remaining_balance == 60
    assert (decision.remaining_requests, decision.remaining_tokens) == (4, 40)
    found = await held(direct, "k:1")
    assert found[b"#held"] == b"40"
    assert found[b"#open:embeddings"] == b"1"
    assert ask.request_id.encode() in found
    members = await direct.call("k:1", "ZRANGE", f"{ask.tag}d", "0", "-1", "WITHSCORES")
    assert members == [
        f"gw1 k:1 {ask.request_id}".encode(),
        str(ask.deadline_ms).encode(),
    ]


async def test_settling_the_last_hold_leaves_nothing(direct: Direct) -> None:
    await direct.settle([], row(1, trial=100))
    ask = Asker("k:1").ask(10, 40)
    await direct.admit(ask)
    assert await direct.settle([settlement(ask, 3)], row(1, 2, trial=97)) == [1, 2]
    assert await held(direct, "k:1") == {}
    assert await direct.call("k:1", "EXISTS", f"{ask.tag}d") == 0
    assert (await direct.admit(Asker("k:1").ask(0, 97))).code is Code.ADMITTED


async def test_settling_the_last_request_without_a_key_leaves_nothing(direct: Direct) -> None:
    """It holds no token, and its address must not stay in memory for days."""
    asker = Asker("a:192.0.2.1")
    ask, other = asker.ask(0, 0), asker.ask(0, 0)
    await direct.admit(ask)
    await direct.admit(other)
    await direct.correct(settlement(ask, 0))
    assert await direct.settle([settlement(other)]) == [1, -1]
    assert ask.request_id.encode() in await held(direct, "a:192.0.2.1")
    assert await direct.settle([settlement(ask)]) == [1, -1]
    assert await held(direct, "a:192.0.2.1") == {}


async def test_settling_an_unknown_hold_is_harmless_and_repeats_change_nothing(
    direct: Direct,
) -> None:
    await direct.settle([], row(1, trial=100))
    asker = Asker("k:1", limits=limits(tpm=100))
    ask, other = asker.ask(10, 40), asker.ask(20, 30)
    await direct.admit(ask)
    await direct.admit(other)
    assert await direct.settle([settlement(asker.ask(), 5)]) == [0, 1]
    for released in (1, 0, 0):
        assert await direct.settle([settlement(ask, 3)]) == [released, 1]
    found = await held(direct, "k:1")
    assert found[b"#held"] == b"30"
    assert (await direct.admit(asker.ask(0, 0))).remaining_tokens == 100 - 3 - 20


async def test_the_newest_balance_wins_in_any_order(direct: Direct) -> None:
    for version in (3, 1, 5, 4, 2, 5):
        await direct.settle([], row(1, version, trial=version * 100))
    assert (await direct.admit(Asker("k:1").ask())).remaining_balance == 500


async def test_a_revoked_key_is_not_revived_by_an_older_copy(direct: Direct) -> None:
    await direct.settle([], row(1, 7, status="revoked"))
    await direct.settle([], row(1, 6))
    assert (await direct.admit(Asker("k:1").ask())).code is Code.REVOKED


async def test_balance_is_never_held_twice_by_parallel_asks(redis_url: str) -> None:
    """Many asks over four connections: the holds that pass add up to at most the balance."""
    links = [await open_direct(redis_url) for _ in range(4)]
    await links[0].settle([], row(1, trial=1_000, paid=50))
    askers = [
        Asker("k:1", instance=f"gw{n}", numbers=iter(range(n * 100, 1_000))) for n in range(4)
    ]
    decisions = await asyncio.gather(
        *(links[n % 4].admit(askers[n % 4].ask(0, 30), 0) for n in range(200))
    )
    passed = sum(d.code is Code.ADMITTED for d in decisions)
    assert passed == 1_050 // 30
    assert {d.code for d in decisions} == {Code.ADMITTED, Code.BALANCE_TOO_LOW}
    assert (await held(links[0], "k:1"))[b"#held"] == str(30 * passed).encode()
    for link in links:
        await link.link.close()


async def test_balances_are_exact_up_to_two_to_the_53(direct: Direct) -> None:
    """Lua writes 14 digits unless told otherwise; microseconds and balances have 16."""
    trial = MAX_COPY_TOKENS - 10
    await direct.settle([], row(1, 2**53 - 2, trial=trial, paid=10))
    asker = Asker("k:1", limits=limits(tpm=MAX_COPY_TOKENS))
    first, second = asker.ask(trial, trial), asker.ask(7, 9)
    assert (await direct.admit(first)).remaining_balance == 10
    decision = await direct.admit(second)
    assert (decision.remaining_balance, decision.remaining_tokens) == (1, 3)
    assert (await held(direct, "k:1"))[b"#held"] == str(trial + 9).encode()
    assert (await direct.admit(asker.ask(4, 0), START_US)).code is Code.TPM
    # Into an entry that is no longer the last one, too.
    await direct.admit(asker.ask(1, 0), START_US + 10_000_000)
    await direct.settle([settlement(first, trial - 2)], row(1, 2**53 - 1, trial=trial, paid=10))
    assert (await held(direct, "k:1"))[b"#held"] == b"9"
    after = await direct.admit(asker.ask(1, 0), START_US + 20_000_000)
    assert after.remaining_tokens == MAX_COPY_TOKENS - (trial - 2) - 7 - 1 - 1
    assert after.now_us == START_US + 20_000_000


async def test_a_larger_balance_is_clamped_in_the_copy_only(direct: Direct) -> None:
    await direct.settle([], row(1, trial=2**62, paid=2**62))
    decision = await direct.admit(Asker("k:1").ask(0, 5))
    assert decision.remaining_balance == MAX_COPY_TOKENS - 5


async def test_corrections_are_idempotent_both_ways(direct: Direct) -> None:
    asker = Asker("a:1", limits=limits(tpm=100))
    ask = asker.ask(40)
    await direct.admit(ask)
    for actual, changed, left in ((15, 1, 85), (15, 0, 85), (60, 1, 40), (60, 0, 40)):
        assert await direct.correct(settlement(ask, actual)) == changed
        probe = asker.ask(0)
        assert (await direct.admit(probe)).remaining_tokens == left
    await direct.settle([settlement(ask, 60)])
    assert await direct.correct(settlement(ask, 0)) == 0


async def test_an_upward_correction_refuses_until_its_entry_dies(direct: Direct) -> None:
    asker = Asker("a:1", limits=limits(tpm=100))
    ask = asker.ask(10)
    await direct.admit(ask)
    await direct.correct(settlement(ask, 500))
    refusal = await direct.admit(asker.ask(1), START_US + 1)
    assert (refusal.code, refusal.remaining_tokens) == (Code.TPM, 0)
    assert (await direct.admit(asker.ask(1), START_US + WINDOW_US)).code is Code.ADMITTED


async def test_a_refund_of_a_dead_entry_frees_nothing(direct: Direct) -> None:
    """The hold outlives its entry, and even its window's hash."""
    asker = Asker("a:1", limits=limits(tpm=100))
    old = asker.ask(100)
    await direct.admit(old, START_US)
    later_us = START_US + 3 * WINDOW_US
    await direct.admit(asker.ask(90), later_us)
    await direct.settle([settlement(old, 0)])
    assert (await direct.admit(asker.ask(11), later_us)).code is Code.TPM
    assert (await direct.admit(asker.ask(10), later_us)).code is Code.ADMITTED


async def test_corrections_ride_along_with_the_next_ask(direct: Direct) -> None:
    """They are done before the decision, so what they free can be used by it."""
    asker = Asker("a:1", limits=limits(tpm=100))
    first, second = asker.ask(50), asker.ask(50)
    await direct.admit(first)
    await direct.admit(second)
    riders = [settlement(first, 10), settlement(second, 20)]
    decision = await direct.admit(asker.ask(70), riders=riders)
    assert decision.code is Code.ADMITTED
    assert decision.remaining_tokens == 0
    again = await direct.admit(asker.ask(1), riders=riders)
    assert again.code is Code.TPM


async def test_concurrency_counts_open_requests_of_the_product(direct: Direct) -> None:
    asker = Asker("a:1", "reader", limits=limits(concurrency=2))
    other = Asker("a:1", "segment", limits=limits(concurrency=1), numbers=iter(range(50, 99)))
    first = asker.ask()
    await direct.admit(first)
    await direct.admit(asker.ask())
    assert (await direct.admit(other.ask())).code is Code.ADMITTED
    refusal = await direct.admit(asker.ask())
    assert (refusal.code, refusal.retry_after_ms) == (Code.CONCURRENCY, 1_000)
    await direct.settle([settlement(first, 0)])
    assert (await direct.admit(asker.ask())).code is Code.ADMITTED


async def test_a_hold_outlives_its_deadline_by_a_day(direct: Direct) -> None:
    asker = Asker("a:1")
    for deadline_ms in (60_000, 90_000_000, 120_000):
        await direct.admit(asker.ask(deadline_ms=START_US // 1_000 + deadline_ms))
    ttl_ms = await direct.call("a:1", "PTTL", holds_key(tag_of("a:1"), "a:1"))
    assert isinstance(ttl_ms, int)
    assert ttl_ms >= 90_000_000 + 86_400_000


async def test_idle_subjects_vanish(direct: Direct) -> None:
    """Windows live a little longer than their entries, copies for a week after their last use."""
    await direct.settle([], row(1))
    ask = Asker("k:1", limits=limits(tpm=100)).ask(5, 5)
    await direct.admit(ask, 0)
    window_ms = await direct.call("k:1", "PTTL", tokens_key(ask.tag, "k:1", "embeddings"))
    copy_ms = await direct.call("k:1", "PTTL", copy_key(ask.tag, "k:1"))
    assert isinstance(window_ms, int)
    assert isinstance(copy_ms, int)
    assert 60_000 < window_ms <= 62_000
    assert 6 * 86_400_000 < copy_ms <= 7 * 86_400_000


async def test_many_settlements_of_one_subject_in_one_command(direct: Direct) -> None:
    asker = Asker("a:1", limits=limits(tpm=10**6))
    asks = [asker.ask(100) for _ in range(200)]
    for ask in asks:
        await direct.admit(ask)
    told: list[Settlement] = [settlement(ask, 1) for ask in asks]
    assert await direct.settle(told) == [200, -1]
    assert (await direct.admit(asker.ask(0))).remaining_tokens == 10**6 - 200
