"""From the spool to the ledger to Redis, with a ledger and a Redis that come and go."""

import asyncio
import time
from pathlib import Path

import pytest

from gateway.errors import PostgresUnavailable, RedisUnavailable
from gateway.metering.meter import Verdict
from gateway.metering.outcomes import Outcome
from gateway.metering.posting import REFUSED_FILE
from gateway.metering.shipper import read_batch
from gateway.metering.spool_files import (
    NOWHERE,
    Position,
    SpoolDamaged,
    encode_frame,
    segment_path,
)
from tests.metering.outcomes import event, settlement
from tests.metering.shop import GRANT, INSTANCE, Shop, complete, open_shop


async def until_posted(shop: Shop) -> None:
    async with asyncio.timeout(60):
        while shop.spool.depth or shop.spool.read_until is not None:
            await shop.shipper.run_once()


async def test_a_charge_is_taken_once_and_its_hold_is_released(shop: Shop) -> None:
    key_id = await shop.mint()
    await shop.serve(key_id, 70)
    assert await shop.shipper.run_once() == 1
    assert await shop.trial(key_id) == GRANT - 70
    standing = await shop.gate.peek(f"k:{key_id}", ())
    assert (standing.trial, standing.held_tokens) == (GRANT - 70, 0)
    await shop.close()
    assert await shop.proof() == {}


async def test_while_postgresql_is_away_the_spool_grows_and_then_everything_is_shipped(
    shop: Shop,
) -> None:
    key_id = await shop.mint()
    shop.book.away = True
    for count in range(1, 51):
        await shop.serve(key_id, count)
        with pytest.raises(PostgresUnavailable):
            await shop.shipper.run_once()
        assert shop.spool.depth == count
    shop.book.away = False
    assert await shop.shipper.run_once() == 50
    assert await shop.trial(key_id) == GRANT - sum(range(1, 51))
    await shop.close()
    assert await shop.proof() == {}


async def test_a_commit_whose_answer_is_lost_is_posted_once(shop: Shop) -> None:
    key_id = await shop.mint()
    passages = [await shop.serve(key_id, 5) for _ in range(10)]
    shop.book.answers_to_lose = 3
    for _ in range(3):
        with pytest.raises(PostgresUnavailable):
            await shop.shipper.run_once()
    assert await shop.shipper.run_once() == 10
    assert await shop.trial(key_id) == GRANT - 50
    assert all(shop.meter.numbers.is_posted(each.admission_no) for each in passages)
    await shop.close()
    assert await shop.proof() == {}


async def test_a_poisoned_outcome_is_set_aside_and_counted_and_holds_up_nothing(
    shop: Shop,
) -> None:
    """The proof shows the hole that it leaves, by its number."""
    key_id = await shop.mint()
    for _ in range(20):
        await shop.serve(key_id, 5)
    number = shop.meter.numbers.take()
    poison = event(number, 999_999_999, instance=INSTANCE)
    await shop.spool.append(poison.encode(), number, settlement(poison))
    shop.spool.delivered(number)
    for _ in range(20):
        await shop.serve(key_id, 5)
    await until_posted(shop)
    assert await shop.trial(key_id) == GRANT - 200
    assert shop.telemetry.set_aside.value == 1
    lines = (shop.root / REFUSED_FILE).read_text().splitlines()
    assert len(lines) == 1
    assert poison.request_id in lines[0]
    assert "SL001" in lines[0]
    await shop.close()
    assert await shop.proof() == {"admissions_are_not_lost": 1}


async def test_what_was_decided_and_not_delivered_is_given_back_once(shop: Shop) -> None:
    key_id = await shop.mint()
    passage = await shop.admit(key_id)
    await shop.meter.settle_now(passage, complete(70))
    shop.meter.undelivered(passage)
    shop.book.answers_to_lose = 1
    with pytest.raises(PostgresUnavailable):
        await shop.shipper.run_once()
    assert await shop.trial(key_id) == GRANT - 70
    await until_posted(shop)
    assert await shop.trial(key_id) == GRANT
    await shop.close()
    assert list(shop.root.iterdir()) == []
    assert await shop.proof() == {}


async def test_a_refund_that_fails_is_tried_again(shop: Shop) -> None:
    """Until then the spool says on disk that it is owed."""
    key_id = await shop.mint()
    passage = await shop.admit(key_id)
    await shop.meter.settle_now(passage, complete(70))
    shop.meter.undelivered(passage)
    refund = shop.book.refund_undelivered

    async def away(_: object) -> list[object]:
        raise PostgresUnavailable("away")

    shop.book.refund_undelivered = away  # type: ignore[method-assign, assignment]
    with pytest.raises(PostgresUnavailable):
        await shop.shipper.run_once()
    assert shop.meter.refunds_due() == {passage.admission_no: passage.request_id}
    shop.book.refund_undelivered = refund  # type: ignore[method-assign]
    await shop.shipper.run_once()
    assert await shop.trial(key_id) == GRANT
    await shop.close()
    assert list(shop.root.iterdir()) == []
    assert await shop.proof() == {}


async def test_settlements_that_redis_does_not_take_are_told_again(shop: Shop) -> None:
    key_id = await shop.mint()
    passages = [await shop.admit(key_id) for _ in range(5)]
    for passage in passages:
        shop.meter.decide(passage, complete(10))
        shop.meter.delivered(passage)
    await shop.spool._idle.wait()
    assert (await shop.gate.holds(f"k:{key_id}"))[0] == 500
    settle, asked = shop.gate.settle, []

    async def unavailable(*words: object) -> None:
        asked.append(words)
        raise RedisUnavailable("away")

    shop.gate.settle = unavailable  # type: ignore[method-assign, assignment]
    assert await shop.shipper.run_once() == 5
    begun_s = time.monotonic()
    for _ in range(20):
        assert await shop.shipper.run_once() == 0
    # The batch, all of it again, and then twice a second: not each time something could be shipped.
    assert 1 < len(asked) <= 3 + 2 * (time.monotonic() - begun_s)
    shop.gate.settle = settle  # type: ignore[method-assign]
    async with asyncio.timeout(60):
        while (await shop.gate.holds(f"k:{key_id}"))[0]:
            assert await shop.shipper.run_once() == 0
            await asyncio.sleep(0.02)
    standing = await shop.gate.peek(f"k:{key_id}", ())
    assert (standing.trial, standing.held_tokens) == (GRANT - 50, 0)
    await shop.close()
    assert await shop.proof() == {}


async def test_refused_numbers_are_used_again_and_no_admission_is_missing(shop: Shop) -> None:
    """Beats in between, with requests open and numbers free, and the proof each time."""
    key_id = await shop.mint(2_000)
    open_ones = [await shop.admit(key_id, 300) for _ in range(6)]
    for turn in range(6):
        for _ in range(3):
            _, decision = await shop.ask(key_id, 5_000)
            assert decision.code.name == "BALANCE_TOO_LOW"
        passage = open_ones.pop(turn % len(open_ones))
        await shop.meter.settle_now(passage, complete(10))
        shop.meter.delivered(passage)
        shop.shipper._next_beat_s = 0
        await shop.shipper.run_once()
        assert await shop.proof() == {}
        await shop.serve(key_id, 1)
    await shop.close()
    assert await shop.proof() == {}
    (instance,) = await _instances(shop)
    # 6 open ones, 6 served in between: all refused numbers were used or are none.
    assert instance[1:] == (13, "{}", True)


async def _instances(shop: Shop) -> list[tuple[object, ...]]:
    sql = "select instance, complete_below, unused::text, drained from instance"
    return [tuple(row.values()) for row in await shop.postgres.rows(sql)]


async def test_memory_that_overflows_ships_from_the_files_and_loses_nothing(
    tmp_path: Path, database: str, redis_url: str
) -> None:
    async with open_shop(tmp_path, database, redis_url, max_in_memory=20) as shop:
        key_id = await shop.mint()
        shop.book.away = True
        for _ in range(100):
            await shop.serve(key_id, 3)
        shop.book.away = False
        held, _ = await shop.gate.holds(f"k:{key_id}")
        assert held >= 300
        await until_posted(shop)
        assert shop.spool.read_until is None
        await shop.serve(key_id, 3)
        assert shop.spool.ready
        await shop.close()
        standing = await shop.gate.peek(f"k:{key_id}", ())
        assert (standing.trial, standing.held_tokens) == (GRANT - 303, 0)
        assert await shop.proof() == {}


async def test_an_answer_without_a_key_is_a_void_that_counts(shop: Shop) -> None:
    """Also when its client leaves in the middle, with usage told: nobody is there to charge."""
    await shop.serve(None, 0)
    passage = await shop.admit(None)
    shop.meter.decide(passage, Verdict(Outcome.CLIENT_LEFT_MIDWAY, 499, 40, 40, "produced"))
    shop.meter.delivered(passage)
    await shop.spool._idle.wait()
    await until_posted(shop)
    assert shop.telemetry.set_aside.value == 0
    assert (await shop.gate.holds("a:192.0.2.1")) == (0, 0)
    await shop.close()
    assert await shop.proof() == {}


def test_files_are_read_up_to_the_end_and_not_a_byte_further(tmp_path: Path) -> None:
    """Behind it the next group is being written: half of it may be seen, and one behind it."""
    first = encode_frame([event(1).encode()], [])
    path = segment_path(tmp_path, 1)
    path.write_bytes(first + bytes(len(first)) + encode_frame([event(2).encode()], []))
    batch = read_batch(tmp_path, NOWHERE, Position(1, len(first)))
    assert batch is not None
    assert batch.end == Position(1, len(first))
    with pytest.raises(SpoolDamaged):
        read_batch(tmp_path, NOWHERE)
