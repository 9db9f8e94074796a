"""Balances that Redis did not take: brought by whoever lives, and as they are then."""

from collections.abc import Sequence

import pytest

from gateway.admission.ask import Settlement
from gateway.admission.scripts import copy_key, tag_of
from gateway.errors import PostgresUnavailable, RedisUnavailable
from gateway.ledger.rows import BalanceRow
from gateway.metering.adopt import Adopter
from gateway.metering.outbox import Outbox
from gateway.redis_link import slot_of
from tests.metering.shop import GRANT, Shop, complete


async def _away(*_: object) -> None:
    raise RedisUnavailable("away")


async def _posts_alone(shop: Shop, key_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A charge of 70 is posted, and Redis is not there to hear of it."""
    await shop.serve(key_id, 70)
    with monkeypatch.context() as patched:
        patched.setattr(shop.gate, "settle", _away)
        assert await shop.shipper.run_once() == 1


async def test_who_dies_before_redis_is_back_has_left_word_in_the_ledger(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = await shop.mint()
    await _posts_alone(shop, key_id, monkeypatch)
    await shop.end_spool()
    assert (await shop.gate.peek(f"k:{key_id}", ())).trial == GRANT
    assert await Outbox(shop.book, shop.gate, lambda: 0).run_once() == 1
    assert (await shop.gate.peek(f"k:{key_id}", ())).trial == GRANT - 70
    assert await shop.book.take_outbox() == []


async def test_what_is_told_later_is_not_what_was_posted_then(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis has begun anew, and nobody who has told the newer balance knows of that."""
    key_id = await shop.mint()
    await _posts_alone(shop, key_id, monkeypatch)
    newest = await shop.book.credit(key_id, 500, "paid", "later")
    assert isinstance(newest, BalanceRow)
    await shop.book.clear_outbox([newest])
    tag = tag_of(f"k:{key_id}")
    await shop.link.call(slot_of(tag), "DEL", copy_key(tag, f"k:{key_id}"))
    shop.shipper._settle_again_s = 0
    await shop.shipper.run_once()
    standing = await shop.gate.peek(f"k:{key_id}", ())
    assert (standing.trial, standing.paid, standing.held_tokens) == (GRANT - 70, 500, 0)


async def test_the_spool_keeps_what_the_ledger_has_not_noted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(_: object) -> None:
        raise PostgresUnavailable("away")

    key_id = await shop.mint()
    await shop.serve(key_id, 70)
    with monkeypatch.context() as patched:
        patched.setattr(shop.gate, "settle", _away)
        patched.setattr(shop.book, "note_balances", lost)
        for _ in range(2):
            with pytest.raises(PostgresUnavailable):
                await shop.shipper.run_once()
            assert shop.spool.depth == 1
    assert await shop.shipper.run_once() == 0
    assert shop.spool.depth == 0
    assert [row.key_id for row in await shop.book.take_outbox()] == [key_id]
    assert shop.meter.unposted.tokens(f"k:{key_id}") == 0
    await shop.close()
    assert await shop.proof() == {}


async def test_whoever_adopts_a_spool_tells_balances_as_they_are_when_redis_is_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = await shop.mint()
    shop.book.away = True
    await shop.serve(key_id, 70)
    await shop.end_spool()
    shop.book.away = False
    found = Adopter(shop.root, shop.book, shop.gate, shop.telemetry)
    with monkeypatch.context() as patched:
        patched.setattr(shop.gate, "settle", _away)
        assert await found.run_once() == 0
    newest = await shop.book.credit(key_id, 500, "paid", "later")
    assert isinstance(newest, BalanceRow)
    tag = tag_of(f"k:{key_id}")
    await shop.link.call(slot_of(tag), "DEL", copy_key(tag, f"k:{key_id}"))
    assert await found.run_once() == 1
    standing = await shop.gate.peek(f"k:{key_id}", ())
    assert (standing.trial, standing.paid) == (GRANT - 70, 500)


async def test_who_says_goodbye_has_left_word_of_what_it_gave_back_at_last(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = await shop.mint()
    passage = await shop.admit(key_id)
    await shop.meter.settle_now(passage, complete(70))
    assert await shop.shipper.run_once() == 1
    shop.meter.undelivered(passage)
    with monkeypatch.context() as patched:
        patched.setattr(shop.gate, "settle", _away)
        assert await shop.shipper.drain(20)
        await shop.shipper.say_goodbye()
    (row,) = await shop.book.take_outbox()
    assert (row.key_id, row.trial) == (key_id, GRANT)


async def test_a_shard_that_is_away_holds_back_no_word_for_the_others(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {await shop.mint() for _ in range(210)}
    await shop.book.note_balances(sorted(away))
    # Also told anew where Redis has begun anew.
    await shop.book.revoke(min(away))
    key_id = await shop.mint()
    assert isinstance(await shop.book.set_status(key_id, "suspended"), BalanceRow)
    found, settle = Outbox(shop.book, shop.gate, lambda: 0), shop.gate.settle

    async def settle_there(
        batch: Sequence[Settlement], rows: Sequence[BalanceRow], memory: int | None = None
    ) -> None:
        if away & {row.key_id for row in rows}:
            raise RedisUnavailable("one shard is away")
        await settle(batch, rows, memory)

    with monkeypatch.context() as patched:
        patched.setattr(shop.gate, "settle", settle_there)
        for _ in range(5):
            with pytest.raises(RedisUnavailable):
                await found.run_once()
    assert (await shop.gate.peek(f"k:{key_id}", ())).status == "suspended"
    assert {row.key_id for row in await shop.book.take_outbox(300)} == away
    while await found.run_once():
        pass
    assert await shop.book.take_outbox() == []
