"""What is left of an instance that died: posted, given back, drained, removed; or kept."""

from pathlib import Path

import pytest

from gateway.errors import PostgresUnavailable, RedisUnavailable
from gateway.metering.adopt import Adopter, _undelivered
from gateway.metering.shipper import read_batch
from gateway.metering.spool_files import read_frames, segment_numbers, segment_path
from gateway.metering.spool_writer import SpoolWriter
from tests.metering.outcomes import event
from tests.metering.shop import GRANT, INSTANCE, Shop, complete, open_shop


def adopter(shop: Shop) -> Adopter:
    return Adopter(shop.root, shop.book, shop.gate, shop.telemetry)


async def die(shop: Shop, *, delivered: int, undelivered: int, posted: bool = False) -> int:
    """Requests that cost 10 each, then the end of the process; the key."""
    key_id = await shop.mint()
    shop.book.away = not posted
    for _ in range(delivered):
        await shop.serve(key_id, 10)
    for _ in range(undelivered):
        await shop.meter.settle_now(await shop.admit(key_id), complete(10))
    if posted:
        await shop.shipper.run_once()
    await shop.end_spool()
    shop.book.away = False
    return key_id


@pytest.mark.parametrize("posted", [False, True])
async def test_a_dead_spool_is_posted_and_what_was_not_delivered_is_given_back(
    shop: Shop, posted: bool
) -> None:
    key_id = await die(shop, delivered=7, undelivered=3, posted=posted)
    assert await adopter(shop).run_once() == 1
    assert await shop.trial(key_id) == GRANT - 70
    assert await shop.gate.holds(f"k:{key_id}") == (0, 0)
    assert list(shop.root.iterdir()) == []
    assert await shop.book.drained_instances([INSTANCE]) == {INSTANCE}
    assert await shop.proof() == {}


async def test_what_was_not_delivered_is_known_after_its_segments_are_gone(
    tmp_path: Path, database: str, redis_url: str
) -> None:
    """Once whole segments are posted they are dropped; the next one carries on."""
    async with open_shop(tmp_path, database, redis_url, segment_bytes=2_000) as shop:
        key_id = await shop.mint()
        await shop.meter.settle_now(await shop.admit(key_id), complete(500))
        for _ in range(40):
            await shop.serve(key_id, 1)
            await shop.shipper.run_once()
        assert segment_numbers(shop.spool.directory)[0] > 2
        await shop.end_spool()
        await adopter(shop).run_once()
        assert await shop.trial(key_id) == GRANT - 40
        assert await shop.proof() == {}


async def test_an_adoption_that_fails_is_done_again_and_changes_nothing_twice(
    shop: Shop,
) -> None:
    key_id = await die(shop, delivered=7, undelivered=3)
    shop.book.answers_to_lose = 2
    for _ in range(2):
        with pytest.raises(PostgresUnavailable):
            await adopter(shop).run_once()
    assert await adopter(shop).run_once() == 1
    assert await adopter(shop).run_once() == 0
    assert await shop.trial(key_id) == GRANT - 70
    assert await shop.proof() == {}


async def test_a_spool_is_kept_until_redis_has_the_balances_that_follow(shop: Shop) -> None:
    """Nobody else knows of its charges: with an older balance they could be spent again."""
    key_id = await die(shop, delivered=7, undelivered=3)
    settle = shop.gate.settle
    shop.gate.settle = _away  # type: ignore[method-assign, assignment]
    found = adopter(shop)
    assert [await found.run_once() for _ in range(2)] == [0, 0]
    assert shop.spool.directory.exists()
    assert await shop.book.drained_instances([INSTANCE]) == {INSTANCE}
    shop.gate.settle = settle  # type: ignore[method-assign]
    assert await found.run_once() == 1
    assert not shop.spool.directory.exists()
    assert (await shop.gate.peek(f"k:{key_id}", ())).trial == GRANT - 70
    assert await shop.gate.holds(f"k:{key_id}") == (0, 0)
    assert await shop.proof() == {}


async def _away(*_: object) -> None:
    raise RedisUnavailable("away")


async def test_a_spool_whose_owner_lives_is_not_touched(shop: Shop) -> None:
    await shop.serve(await shop.mint(), 10)
    assert await adopter(shop).run_once() == 0
    assert shop.spool.depth == 1
    await shop.close()
    assert await shop.proof() == {}


async def test_a_damaged_spool_is_kept_and_told_once_and_holds_up_no_other(
    tmp_path: Path, database: str, redis_url: str
) -> None:
    async with open_shop(tmp_path, database, redis_url) as shop:
        key_id = await die(shop, delivered=3, undelivered=0)
        path = segment_path(shop.spool.directory, 1)
        content = bytearray(path.read_bytes())
        content[20] ^= 1
        path.write_bytes(content)
        damaged = shop.spool.directory.rename(tmp_path / "a-damaged")
        other = tmp_path / "b-empty"
        other.mkdir()
        (other / "lock").touch()
        found = adopter(shop)
        assert [await found.run_once() for _ in range(3)] == [1, 0, 0]
        assert shop.telemetry.orphans.labels("damaged_spool").value == 1
        assert sorted(tmp_path.iterdir()) == [damaged]
        assert await shop.trial(key_id) == GRANT


def test_what_stands_behind_the_end_of_a_spool_is_not_posted_from_the_cursor_on(
    tmp_path: Path,
) -> None:
    """A power cut kept the cursor and a group nobody was told of, and not the marks between."""
    writer = SpoolWriter(tmp_path, 10_000)
    begin = writer.write([event(1).encode()], [], [])
    marked = writer.write([], [1], [])
    writer.write([event(2).encode()], [], [])
    writer.close()
    path = segment_path(tmp_path, 1)
    content = bytearray(path.read_bytes())
    content[begin.offset : marked.offset] = bytes(marked.offset - begin.offset)
    path.write_bytes(content)
    _, end = _undelivered(tmp_path)
    assert end == begin
    assert list(read_frames(tmp_path, marked)) != []
    assert read_batch(tmp_path, marked, end) is None
