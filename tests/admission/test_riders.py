"""Decided requests: what Redis is told of them, with which ask, and what stays held."""

import pytest

from gateway.admission.ask import Code
from gateway.errors import RedisUnavailable
from tests.admission.asking import Asker, MakeGate, limits, row, settlement


async def test_a_correction_rides_with_the_next_ask(make_gate: MakeGate) -> None:
    """Also past a remembered refusal, which it may have made untrue."""
    gate, link = await make_gate()
    asker = Asker("a:1", limits=limits(tpm=100))
    first = asker.ask(100)
    await gate.admit(first)
    assert (await gate.admit(asker.ask(30))).code is Code.TPM
    before = link.commands
    gate.decided(settlement(first, 20))
    assert link.commands == before
    decision = await gate.admit(asker.ask(30))
    assert (decision.code, decision.remaining_tokens) == (Code.ADMITTED, 50)
    assert link.commands == before + 1
    await gate.settle([settlement(first, 20)], ())
    assert (await gate.admit(asker.ask(0))).remaining_tokens == 50


async def test_correct_now_is_known_to_the_next_ask_on_any_node(make_gate: MakeGate) -> None:
    (gate, _), (other, _) = await make_gate(), await make_gate()
    asker = Asker("a:1", limits=limits(tpm=100))
    ask = asker.ask(10)
    await gate.admit(ask)
    await gate.correct_now(settlement(ask, 100))
    assert (await other.admit(asker.ask(1))).code is Code.TPM


async def test_a_decided_request_frees_its_place_and_holds_its_cost_until_it_is_settled(
    make_gate: MakeGate,
) -> None:
    gate, link = await make_gate()
    await gate.put_balance(row(1, trial=100))
    asker = Asker("k:1", limits=limits(concurrency=1))
    first = asker.ask(0, 90)
    await gate.admit(first)
    gate.decided(settlement(first, cost_tokens=30))
    before = link.commands
    decision = await gate.admit(asker.ask(0, 60))
    assert (decision.code, decision.remaining_balance) == (Code.ADMITTED, 10)
    assert link.commands == before + 1
    assert await gate.holds("k:1") == (90, 1)
    await gate.settle([settlement(first)], ())
    assert await gate.holds("k:1") == (60, 1)


async def test_more_than_ride_with_one_ask_ride_with_the_next(make_gate: MakeGate) -> None:
    gate, _ = await make_gate()
    asker = Asker("a:1")
    asks = [asker.ask() for _ in range(40)]
    for ask in asks:
        await gate.admit(ask)
        gate.decided(settlement(ask))
    assert len(gate.riders) == 1
    later = [asker.ask() for _ in range(40)]
    for ask in later:
        await gate.admit(ask)
    for ask in later:
        gate.decided(settlement(ask))
    assert len(gate.riders) == 40
    await gate.admit(asker.ask())
    assert len(gate.riders) == 24
    await gate.flush()
    assert await gate.holds("a:1") == (0, 1)


async def test_riders_of_an_ask_that_failed_wait_for_the_next(
    make_gate: MakeGate, redis_url: str
) -> None:
    gate, link = await make_gate()
    ask = Asker("a:1").ask()
    gate.decided(settlement(ask))
    await link.close()
    with pytest.raises(RedisUnavailable):
        await gate.flush()
    assert len(gate.riders) == 1
    with pytest.raises(RedisUnavailable):
        await gate.admit(Asker("a:1").ask())
    assert len(gate.riders) == 1
