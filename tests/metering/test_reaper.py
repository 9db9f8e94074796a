"""Holds that nobody will decide: released once it is certain that nobody will."""

from gateway.metering.reaper import Reaper
from tests.metering.shop import GRANT, INSTANCE, Shop, complete
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
