"""The gate: what it answers by itself, and what is left when a caller goes."""

import asyncio

import pytest

from gateway.admission.ask import Code, Decision
from gateway.admission.gate import Gate
from gateway.errors import RedisUnavailable
from tests.admission.asking import Asker, MakeGate, limits, row, settlement


async def test_a_warm_admit_is_one_command_in_one_round_trip(make_gate: MakeGate) -> None:
    gate, link = await make_gate()
    await gate.put_balance(row(1))
    asker = Asker("k:1", limits=limits(tpm=1_000))
    before = link.commands, link.round_trips
    for number in range(1, 6):
        assert (await gate.admit(asker.ask(5, 5))).code is Code.ADMITTED
        assert (link.commands, link.round_trips) == (before[0] + number, before[1] + number)


async def test_parallel_admits_of_one_tick_leave_in_one_write(make_gate: MakeGate) -> None:
    gate, link = await make_gate()
    asker = Asker("a:1", limits=limits(rpm=10))
    before = link.commands, link.round_trips
    decisions = await asyncio.gather(*(gate.admit(asker.ask()) for _ in range(100)))
    assert sum(d.code is Code.ADMITTED for d in decisions) == 10
    assert (link.commands, link.round_trips) == (before[0] + 100, before[1] + 1)


async def test_ten_of_a_hundred_pass_over_four_connections(make_gate: MakeGate) -> None:
    gates = [(await make_gate())[0] for _ in range(4)]
    askers = [
        Asker("a:1", limits=limits(rpm=10), numbers=iter(range(n * 100, 999))) for n in range(4)
    ]
    decisions = await asyncio.gather(*(gates[n % 4].admit(askers[n % 4].ask()) for n in range(100)))
    assert sum(d.code is Code.ADMITTED for d in decisions) == 10


async def test_an_unknown_balance_is_loaded_by_the_caller_and_asked_again(
    make_gate: MakeGate,
) -> None:
    gate, _ = await make_gate()
    ask = Asker("k:5").ask(0, 10)
    assert (await gate.admit(ask)).code is Code.BALANCE_NOT_LOADED
    await gate.put_balance(row(5, trial=10))
    decision = await gate.admit(ask)
    assert (decision.code, decision.remaining_balance) == (Code.ADMITTED, 0)


async def test_a_known_refusal_costs_redis_nothing(make_gate: MakeGate) -> None:
    gate, link = await make_gate()
    asker = Asker("a:1", limits=limits(rpm=1))
    await gate.admit(asker.ask())
    first = await gate.admit(asker.ask())
    before = link.commands
    for _ in range(50):
        again = await gate.admit(asker.ask())
        assert again.code is Code.RPM
        assert 0 < again.retry_after_ms <= first.retry_after_ms
    assert link.commands == before


async def test_a_refusal_is_remembered_for_a_second_at_most(make_gate: MakeGate) -> None:
    """Limits may be raised on another node: in force here within a second."""
    gate, _ = await make_gate()
    await gate.put_balance(row(1))
    asker = Asker("k:1", limits=limits(rpm=1))
    await gate.admit(asker.ask())
    assert (await gate.admit(asker.ask())).code is Code.RPM
    await gate.put_balance(row(1, 2, limits={"embeddings": {"rpm": 100}}))
    await asyncio.sleep(1.0)
    assert (await gate.admit(asker.ask())).code is Code.ADMITTED


async def test_only_full_windows_are_remembered(make_gate: MakeGate) -> None:
    """A balance, a status or a free place may change at once, so these are asked every time."""
    gate, link = await make_gate()
    await gate.put_balance(row(1, trial=5))
    asker = Asker("k:1", limits=limits(concurrency=1))
    for ask in (asker.ask(0, 9), asker.ask(0, 9)):
        before = link.commands
        assert (await gate.admit(ask)).code is Code.BALANCE_TOO_LOW
        assert link.commands == before + 1
    running = asker.ask()
    await gate.admit(running)
    assert (await gate.admit(asker.ask())).code is Code.CONCURRENCY
    await gate.settle([settlement(running)], ())
    assert (await gate.admit(asker.ask())).code is Code.ADMITTED


async def test_a_smaller_request_is_not_refused_for_a_larger_one(make_gate: MakeGate) -> None:
    gate, _ = await make_gate()
    asker = Asker("a:1", limits=limits(tpm=100))
    await gate.admit(asker.ask(60))
    assert (await gate.admit(asker.ask(50))).code is Code.TPM
    assert (await gate.admit(asker.ask(40))).code is Code.ADMITTED


async def test_a_cancelled_caller_learns_the_decision(make_gate: MakeGate) -> None:
    """What Redis has decided is known when the cancellation arrives, and can be voided."""
    gate, _ = await make_gate()
    asker = Asker("a:1")
    futures: list[asyncio.Future[Decision]] = []

    async def caller() -> None:
        futures.append(gate.admit(asker.ask()))
        await futures[-1]

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert futures[0].result().code is Code.ADMITTED
    assert (await gate.holds("a:1"))[1] == 1


async def test_cancelled_waiters_do_not_mix_up_the_replies(make_gate: MakeGate) -> None:
    gate, _ = await make_gate()
    askers = [Asker(f"a:{n}", limits=limits(rpm=n + 1)) for n in range(50)]
    tasks = [asyncio.ensure_future(_admit(gate, asker)) for asker in askers]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    for number, found in list(enumerate(done))[1::2]:
        assert isinstance(found, Decision)
        assert found.limit_requests == number + 1
    assert all(isinstance(found, asyncio.CancelledError) for found in done[::2])


async def _admit(gate: Gate, asker: Asker) -> Decision:
    return await gate.admit(asker.ask())


async def test_settle_takes_balances_and_holds_of_many_subjects_in_one_round_trip(
    make_gate: MakeGate,
) -> None:
    gate, link = await make_gate()
    asks = []
    for key_id in range(1, 21):
        await gate.put_balance(row(key_id, trial=100))
        asks.append(Asker(f"k:{key_id}").ask(0, 60))
        await gate.admit(asks[-1])
    before = link.round_trips
    rows = [row(key_id, 2, trial=70) for key_id in range(1, 21)]
    await gate.settle([settlement(ask) for ask in asks], [row(3), *rows])
    assert link.round_trips == before + 1
    for key_id in range(1, 21):
        standing = await gate.peek(f"k:{key_id}", ())
        assert (standing.version, standing.trial, standing.held_tokens) == (2, 70, 0)


async def test_settling_more_holds_than_one_command_takes(make_gate: MakeGate) -> None:
    gate, _ = await make_gate()
    asker = Asker("a:1")
    asks = [asker.ask() for _ in range(450)]
    await asyncio.gather(*(gate.admit(ask) for ask in asks))
    assert (await gate.holds("a:1"))[1] == 450
    await gate.settle([settlement(ask) for ask in asks], ())
    assert (await gate.holds("a:1"))[1] == 0


async def test_peek_tells_what_is_left_per_product_and_writes_nothing(
    make_gate: MakeGate,
) -> None:
    gate, _ = await make_gate()
    own = {"reader": {"rpm": 7}}
    await gate.put_balance(row(1, 4, trial=50, paid=5, tier="premium", limits=own))
    tight, wide = limits(rpm=2, tpm=20), limits(rpm=5, tpm=40)
    asker = Asker("k:1", limits=tight, premium=wide)
    await gate.admit(asker.ask(10, 30))
    products = [("embeddings", tight, wide), ("reader", limits(rpm=1), limits(rpm=3))]
    standing = await gate.peek("k:1", products)
    assert (standing.version, standing.trial, standing.paid) == (4, 50, 5)
    assert (standing.status, standing.tier) == ("active", "premium")
    assert (standing.held_tokens, standing.open_requests) == (30, 1)
    used, unused = standing.products["embeddings"], standing.products["reader"]
    assert (used.limit_requests, used.remaining_requests) == (5, 4)
    assert (used.limit_tokens, used.remaining_tokens, used.open_requests) == (40, 30, 1)
    assert 59_000 < used.requests_reset_ms <= 60_000
    assert 59_000 < used.tokens_reset_ms <= 60_000
    assert (unused.limit_requests, unused.remaining_requests) == (7, 7)
    assert (unused.limit_tokens, unused.requests_reset_ms) == (None, 0)
    nobody = await gate.peek("k:99", products)
    assert (nobody.version, nobody.held_tokens) == (None, 0)


async def test_every_question_fails_while_redis_is_away(make_gate: MakeGate) -> None:
    gate, link = await make_gate()
    await link.close()
    for subject in ("k:1", "a:1"):
        with pytest.raises(RedisUnavailable):
            await gate.admit(Asker(subject).ask())
