"""Holds that nobody will decide: released once it is certain that nobody will."""

import pytest

from gateway.admission.gate import Gate
from gateway.admission.orphans import DEAD_AFTER_S
from gateway.metering.reaper import Reaper
from gateway.products.product import Limits
from gateway.redis_link import RedisLink
from tests.metering.shop import GRANT, INSTANCE, PRODUCT, Shop, complete
from tests.metering.test_adopt import adopter, die

PAST_MS = -1_000
LONG_PAST_MS = -3_700_000


def reaper(shop: Shop) -> Reaper:
    return Reaper(shop.book, shop.gate, shop.telemetry, shop.root)


async def test_the_hold_of_a_dead_instance_is_voided_only_once_its_spool_is_drained(
    shop: Shop,
) -> None:
    """Before that its outcome may stand in the spool, and the first one posted is the one."""
    key_id = await shop.mint()
    running = await shop.admit(key_id, 300)
    anonymous = await shop.admit(None)
    charged = await shop.serve(key_id, 10)
    await shop.end_spool()
    assert await reaper(shop).run_once() == 0
    assert await adopter(shop).run_once() == 1
    assert await reaper(shop).run_once() == 2
    assert await reaper(shop).run_once() == 0
    for subject in (running.subject, anonymous.subject):
        assert await shop.gate.holds(subject) == (0, 0)
    row = await shop.book.request(key_id, running.request_id)
    assert row is not None
    assert (row.kind, row.outcome) == ("void", "gateway_died")
    row = await shop.book.request(key_id, charged.request_id)
    assert row is not None
    assert (row.kind, row.cost_tokens) == ("charge", 10)
    assert await shop.trial(key_id) == GRANT - 10
    assert await shop.proof() == {}


async def test_an_instance_that_the_ledger_never_heard_of_is_not_reaped(shop: Shop) -> None:
    """It may have lived its whole life without PostgreSQL, and its spool still comes."""
    key_id = await die(shop, delivered=2, undelivered=0)
    assert await shop.book.list_instances() == []
    assert await reaper(shop).run_once() == 0
    await adopter(shop).run_once()
    await reaper(shop).run_once()
    assert await shop.trial(key_id) == GRANT - 20
    assert await shop.gate.holds(f"k:{key_id}") == (0, 0)
    assert await shop.proof() == {}


async def test_a_late_hold_whose_outcome_is_posted_is_released_though_its_instance_lives(
    shop: Shop,
) -> None:
    key_id = await shop.mint()
    shop.deadline_ms = PAST_MS
    passage = await shop.serve(key_id, 10)
    late = await shop.admit(key_id)
    settle = shop.gate.settle
    shop.gate.settle = _lost  # type: ignore[method-assign, assignment]
    await shop.shipper.run_once()
    shop.gate.settle = settle  # type: ignore[method-assign]
    assert await reaper(shop).run_once() == 1
    assert await shop.gate.holds(passage.subject) == (100, 1), "the other one may still end"
    shop.meter.decide(late, complete(5))
    shop.meter.delivered(late)
    await shop.close()
    assert await shop.trial(key_id) == GRANT - 15
    assert await shop.proof() == {}


async def test_a_charge_that_redis_missed_stays_a_charge_when_its_instance_is_dead(
    shop: Shop,
) -> None:
    """Its hold is released with the balance that follows, its window still counts it."""
    key_id = await shop.mint()
    limits = Limits(1_000, 1_000, 1_000)
    charged = await shop.serve(key_id, 70, limits)
    settle = shop.gate.settle
    shop.gate.settle = _lost  # type: ignore[method-assign, assignment]
    await shop.shipper.run_once()
    await shop.end_spool()
    await adopter(shop).run_once()
    shop.gate.settle = settle  # type: ignore[method-assign]
    shop.gate.declare_dead(INSTANCE)
    assert await reaper(shop).run_once() == 1
    assert await shop.gate.holds(charged.subject) == (0, 0)
    found = await shop.gate.peek(charged.subject, [(PRODUCT, limits, limits)])
    assert found.products[PRODUCT].remaining_tokens == 1_000 - 100, "what was held for it"
    assert found.trial == GRANT - 70
    assert (await shop.book.figures()).contradictions == 0
    assert await shop.proof() == {}


async def test_a_hold_an_hour_past_its_deadline_is_voided_though_its_spool_is_lost(
    shop: Shop,
) -> None:
    shop.deadline_ms = LONG_PAST_MS
    passage = await shop.admit(await shop.mint())
    await shop.shipper.run_once()
    assert await shop.book.drained_instances([INSTANCE]) == set()
    assert await reaper(shop).run_once() == 1
    assert await shop.gate.holds(passage.subject) == (0, 0)


async def _lost(*_: object) -> None:
    """A settling that is said to be done."""


async def test_a_worker_that_dies_between_adopting_and_reaping_loses_no_hold(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one knows nothing of the death, and sees the silence of the instance instead."""
    key_id = await shop.mint()
    running = await shop.admit(key_id, 300)
    held = await shop.gate.extend(running.subject, running.tag, running.request_id, 700)
    assert held.hold_tokens == 700
    await shop.serve(key_id, 10)
    await shop.end_spool()
    assert await adopter(shop).run_once() == 1
    link = RedisLink(shop.redis_url, deadline_ms=5_000)
    next_gate = Gate(link)
    await link.open()
    try:
        second = Reaper(shop.book, next_gate, shop.telemetry, shop.root)
        assert await second.run_once() == 0, "it has not been silent for long as seen from there"
        later = shop.gate.loop.time() + DEAD_AFTER_S + 1
        monkeypatch.setattr(next_gate._orphans, "_clock_s", lambda: later)
        assert await second.run_once() == 1
        assert await second.run_once() == 0
    finally:
        await link.close()
    assert await shop.gate.holds(running.subject) == (0, 0)
    row = await shop.book.request(key_id, running.request_id)
    assert row is not None
    assert (row.outcome, row.held_tokens) == ("gateway_died", 700)
    assert await shop.trial(key_id) == GRANT - 10
    assert await shop.proof() == {}
