"""The pulse: what Redis is told without PostgreSQL, and what it gets back after it was emptied."""

from tests.metering.shop import Shop, complete


async def test_holds_of_running_requests_come_back_after_redis_was_emptied(shop: Shop) -> None:
    """Of the instance itself, without a restart: its beat is not there any more."""
    key_id = await shop.mint()
    running, decided = await shop.admit(key_id, 70), await shop.admit(key_id)
    await shop.meter.settle_now(decided, complete(10))
    shop.meter.delivered(decided)
    await shop.pulse.run_once()
    await shop.link.call(None, "FLUSHALL")
    shop.pulse._next_beat_s = 0
    await shop.pulse.run_once()
    assert await shop.gate.holds(f"k:{key_id}") == (70, 1)
    await shop.meter.settle_now(running, complete(20))
    shop.meter.delivered(running)
    await shop.close()
    assert await shop.gate.holds(f"k:{key_id}") == (0, 0)
    assert await shop.proof() == {}


async def test_the_first_beat_puts_nothing_back(shop: Shop) -> None:
    key_id = await shop.mint()
    passage = await shop.admit(key_id)
    await shop.link.call(None, "FLUSHALL")
    await shop.pulse.run_once()
    assert await shop.gate.holds(f"k:{key_id}") == (0, 0)
    shop.meter.decide(passage, complete(1))


async def test_beats_keep_the_holds_of_a_slow_request_from_the_reaper(shop: Shop) -> None:
    await shop.admit(await shop.mint())
    await shop.pulse.run_once()
    for _ in range(3):
        assert await shop.gate.orphans(0.0) == []
