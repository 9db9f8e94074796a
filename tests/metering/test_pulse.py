"""The pulse: what Redis is told without PostgreSQL, and what it gets back after it was emptied."""

import pytest

from gateway.errors import RedisUnavailable
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


async def test_holds_come_back_later_where_redis_did_not_take_them_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = await shop.mint()
    running = await shop.admit(key_id, 70)
    await shop.pulse.run_once()
    await shop.link.call(None, "FLUSHALL")
    with monkeypatch.context() as patched:
        patched.setattr(shop.gate, "reassert", _away)
        shop.pulse._next_beat_s = 0
        with pytest.raises(RedisUnavailable):
            await shop.pulse.run_once()
    shop.pulse._next_beat_s = 0
    await shop.pulse.run_once()
    assert await shop.gate.holds(f"k:{key_id}") == (70, 1)
    shop.meter.decide(running, complete(1))


async def test_it_beats_also_where_one_shard_does_not_take_what_was_decided(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop.spool, "is_behind", lambda _: True)
    monkeypatch.setattr(shop.gate, "flush", _away)
    with pytest.raises(RedisUnavailable):
        await shop.pulse.run_once()
    assert await shop.gate.beat(shop.meter.instance, 1_000), "Redis knew it to be alive"


async def _away(*_: object) -> int:
    raise RedisUnavailable("away")
