"""While PostgreSQL is away the requests of a key go on: decided is not held, posted or not."""

import asyncio

from gateway.admission.ask import Code
from gateway.metering.meter import Verdict
from gateway.metering.outcomes import Outcome
from gateway.products.product import Limits
from tests.metering.shop import Shop, complete

ONE_AT_A_TIME = Limits(1_000, None, 1)
FAILED = Verdict(Outcome.SERVICE_FAILED, 502)


async def held(shop: Shop, subject: str) -> tuple[int, int]:
    return await shop.gate.holds(subject)


async def test_one_request_after_another_passes_a_concurrency_of_one(shop: Shop) -> None:
    """Far more than the limit, without a single settling; the place is free at the decision."""
    key_id = await shop.mint()
    shop.book.away = True
    for _ in range(40):
        await shop.serve(key_id, 7, ONE_AT_A_TIME)
        await shop.serve(None, 0, ONE_AT_A_TIME)
    shop.book.away = False
    await shop.close()
    assert await held(shop, f"k:{key_id}") == (0, 0)
    assert await held(shop, "a:192.0.2.1") == (0, 0)
    assert await shop.proof() == {}


async def test_a_request_that_runs_keeps_its_place(shop: Shop) -> None:
    key_id = await shop.mint()
    running = await shop.admit(key_id, limits=ONE_AT_A_TIME)
    _, decision = await shop.ask(key_id, limits=ONE_AT_A_TIME)
    assert decision.code is Code.CONCURRENCY
    shop.meter.decide(running, FAILED)
    assert (await shop.ask(key_id, limits=ONE_AT_A_TIME))[1].code is Code.ADMITTED


async def test_what_is_decided_holds_what_it_costs_and_no_more(shop: Shop) -> None:
    """So the balance that is left is right to the token before anything is posted."""
    key_id = await shop.mint(1_000)
    shop.book.away = True
    for _ in range(9):
        await shop.serve(key_id, 95)
    _, decision = await shop.ask(key_id, 100)
    assert (decision.code, decision.remaining_balance) == (Code.ADMITTED, 1_000 - 9 * 95 - 100)
    _, decision = await shop.ask(key_id, 100)
    assert decision.code is Code.BALANCE_TOO_LOW
    assert decision.remaining_balance == 45


async def test_a_cost_above_the_hold_is_held_in_full(shop: Shop) -> None:
    key_id = await shop.mint(1_000)
    shop.book.away = True
    await shop.serve(key_id, 950)
    assert (await shop.ask(key_id, 60))[1].code is Code.BALANCE_TOO_LOW
    assert (await shop.ask(key_id, 50))[1].code is Code.ADMITTED


async def test_a_void_holds_nothing(shop: Shop) -> None:
    key_id = await shop.mint(1_000)
    shop.book.away = True
    for _ in range(30):
        await shop.meter.settle_failed(await shop.admit(key_id, 900), FAILED)
    assert (await shop.ask(key_id, 1_000))[1].code is Code.ADMITTED


async def test_other_nodes_are_told_by_the_pulse_when_shipping_is_late(shop: Shop) -> None:
    """More than ride with one ask, of a key that does not come here again."""
    key_id = await shop.mint()
    shop.book.away = True
    passages = [await shop.admit(key_id) for _ in range(100)]
    for passage in passages:
        shop.meter.decide(passage, complete(3))
        shop.meter.delivered(passage)
    anonymous = await shop.admit(None)
    shop.meter.decide(anonymous, Verdict(Outcome.COMPLETE, 200, 5))
    await shop.pulse.run_once()
    assert await held(shop, f"k:{key_id}") == (10_000, 100), "nothing is late yet"
    async with asyncio.timeout(60):
        while await held(shop, f"k:{key_id}") != (300, 0):
            await asyncio.sleep(0.1)
            await shop.pulse.run_once()
    assert await held(shop, "a:192.0.2.1") == (0, 0)
    assert len(shop.gate.riders) == 0
    shop.book.away = False
    await shop.close()
    assert await held(shop, f"k:{key_id}") == (0, 0)
    assert await shop.proof() == {}


async def test_in_good_times_nothing_is_told_twice(shop: Shop) -> None:
    """What is settled in time rides no more."""
    key_id = await shop.mint()
    for _ in range(5):
        await shop.serve(key_id, 3)
        await shop.shipper.run_once()
        assert len(shop.gate.riders) == 0
    await shop.close()


async def test_settling_is_the_same_before_between_and_after_the_telling(shop: Shop) -> None:
    key_id = await shop.mint()
    for way in range(3):
        passage = await shop.admit(key_id)
        await shop.meter.settle_now(passage, complete(30))
        if way == 1:
            await shop.gate.flush()
        (group,) = shop.spool.ready
        settlement = group.tickets[0].settlement
        await shop.shipper.run_once()
        if way == 2:
            shop.gate.riders.add(settlement)
            await shop.gate.flush()
        await shop.gate.settle([settlement], ())
        standing = await shop.gate.peek(f"k:{key_id}", ())
        assert (standing.held_tokens, standing.open_requests) == (0, 0)
        shop.meter.delivered(passage)
    await shop.close()
    assert await shop.proof() == {}


async def test_the_window_counts_what_was_used(shop: Shop) -> None:
    """Tokens per minute, of a key and of an address, without a settling."""
    limits = Limits(1_000, 1_000, 1_000)
    key_id = await shop.mint()
    shop.book.away = True
    for _ in range(12):
        await shop.serve(key_id, 20, limits)
    _, decision = await shop.ask(key_id, 100, limits)
    assert decision.remaining_tokens == 1_000 - 12 * 20 - 100
