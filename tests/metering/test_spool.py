"""The spool in a running loop: groups, marks, rotation, overflow, and what its end leaves."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.errors import SpoolUnavailable
from gateway.metering import event as fields
from gateway.metering.spool import MANY, Spool
from gateway.metering.spool_files import (
    NOWHERE,
    Frame,
    lock,
    read_cursor,
    read_frames,
    segment_numbers,
)
from tests.metering.outcomes import INSTANCE, event, settlement


def append(spool: Spool, numbers: Sequence[int], cost: int = 5) -> list[asyncio.Future[None]]:
    futures = []
    for number in numbers:
        outcome = event(number, cost=cost)
        futures.append(spool.append(outcome.encode(), number, settlement(outcome)))
    return futures


def frames_of(spool: Spool) -> list[Frame]:
    return list(read_frames(spool.directory, NOWHERE))


def numbers_in(frames: Sequence[Frame]) -> list[int]:
    return [each[fields.ADMISSION_NO] for frame in frames for each in frame.events]


def post_one(spool: Spool) -> list[int]:
    """What a shipper would do with the next group, without a ledger; its numbers."""
    if spool.read_until is not None:
        frame = next(read_frames(spool.directory, spool.shipped_end))
        numbers, end = numbers_in([frame]), frame.end
    else:
        group = spool.ready[0]
        numbers, end = [ticket.admission_no for ticket in group.tickets], group.end
    spool.posted(end, len(numbers))
    return numbers


def post_all(spool: Spool) -> list[int]:
    posted: list[int] = []
    while spool.ready or spool.read_until is not None:
        posted += post_one(spool)
    return posted


async def test_a_thousand_appends_of_one_moment_share_one_sync(tmp_path: Path) -> None:
    spool = Spool(tmp_path, INSTANCE)
    await asyncio.gather(*append(spool, range(1, 1_001)))
    assert spool._writer.syncs == 1
    assert numbers_in(frames_of(spool)) == list(range(1, 1_001))
    await spool.close()


async def test_what_arrives_while_the_disk_works_is_the_next_group(tmp_path: Path) -> None:
    spool = Spool(tmp_path, INSTANCE)

    async def client(first: int) -> None:
        for number in range(first, first + 50):
            await append(spool, [number])[0]

    await asyncio.gather(*(client(n * 50 + 1) for n in range(64)))
    assert spool._writer.syncs <= 3_200 / 8
    assert sorted(numbers_in(frames_of(spool))) == list(range(1, 3_201))
    await spool.close()


async def test_a_waiter_that_leaves_takes_nothing_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, INSTANCE)
    (future,) = append(spool, [1])
    future.cancel()
    await asyncio.gather(*append(spool, [2]))
    assert numbers_in(frames_of(spool)) == [1, 2]
    await spool.close()


async def test_a_clean_end_leaves_nothing_on_disk(tmp_path: Path) -> None:
    """Even when the last marks of delivery were not written before."""
    spool = Spool(tmp_path, INSTANCE)
    await asyncio.gather(*append(spool, [1, 2]))
    post_all(spool)
    spool.delivered(1)
    spool.delivered(2)
    await spool.close()
    assert list(tmp_path.iterdir()) == []


async def test_what_is_not_posted_or_not_delivered_stays_for_the_adopter(tmp_path: Path) -> None:
    unposted, owed = Spool(tmp_path, "unposted"), Spool(tmp_path, "owed")
    await asyncio.gather(*append(unposted, [1]), *append(owed, [1]))
    unposted.delivered(1)
    post_all(owed)
    for spool in (unposted, owed):
        await spool.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["owed", "unposted"]
    assert [frame.delivered for frame in frames_of(unposted)][-1] == [1]


async def test_a_mark_of_delivery_is_written_within_a_moment_without_other_traffic(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path, INSTANCE)
    await asyncio.gather(*append(spool, [1, 2]))
    spool.delivered(1)
    # As long as that moment and the disk take.
    async with asyncio.timeout(60):
        while len(frames_of(spool)) < 2:  # noqa: ASYNC110 - a file has no events
            await asyncio.sleep(0.02)
    assert [frame.delivered for frame in frames_of(spool)] == [[], [1]]
    await spool.close()


async def test_a_void_needs_no_mark(tmp_path: Path) -> None:
    spool = Spool(tmp_path, INSTANCE)
    await asyncio.gather(*append(spool, [1], cost=0))
    spool.delivered(1)
    post_all(spool)
    await spool.close()
    assert list(tmp_path.iterdir()) == []


async def test_whole_posted_segments_are_dropped_and_the_cursor_follows(tmp_path: Path) -> None:
    spool = Spool(tmp_path, INSTANCE, segment_bytes=2_000)
    for start in range(1, 100, 10):
        await asyncio.gather(*append(spool, range(start, start + 10)))
    assert len(segment_numbers(spool.directory)) > 3
    half = list(spool.ready)[len(spool.ready) // 2]
    posted = sum(len(group.tickets) for group in spool.ready if group.end <= half.end)
    spool.posted(half.end, posted)
    assert segment_numbers(spool.directory)[0] == half.end.segment
    assert read_cursor(spool.directory) == half.end
    rest = list(read_frames(spool.directory, read_cursor(spool.directory)))
    assert numbers_in(rest) == list(range(posted + 1, 101))
    assert spool.depth == 100 - posted
    await spool.close()


async def test_a_new_segment_carries_what_is_durable_and_not_delivered(tmp_path: Path) -> None:
    """The segments in which they stood may be gone. What comes with it is not carried twice."""
    spool = Spool(tmp_path, INSTANCE, segment_bytes=1)
    await asyncio.gather(*append(spool, [1, 2, 3]))
    spool.delivered(2)
    futures = append(spool, [4])
    await asyncio.sleep(0)
    late = append(spool, [5])
    await asyncio.gather(*futures, *late)
    openings = [[number for number, _ in frame.outstanding] for frame in frames_of(spool)]
    assert openings == [[], [1, 3], [1, 3, 4]]
    await spool.close()


async def test_a_spool_is_found_after_a_power_cut_before_its_first_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its names are synced, in its folder and above: who cannot find it waits for an hour."""
    synced: list[str] = []
    sync = os.fsync

    def noted(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        sync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    spool = Spool(tmp_path, INSTANCE)
    assert synced == [str(spool.directory), str(tmp_path)]
    await spool.close()


async def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path, INSTANCE)
    assert lock(spool.directory, create=False) is None
    with pytest.raises(SpoolUnavailable):
        Spool(tmp_path, INSTANCE)
    await spool.close()


async def test_memory_that_overflows_is_read_back_in_order_and_used_again(tmp_path: Path) -> None:
    """Outcomes of requests without a key too; and while it ships, new ones come."""
    spool = Spool(tmp_path, INSTANCE, segment_bytes=5_000, max_in_memory=10)
    for number in range(1, 61):
        await asyncio.gather(*append(spool, [number]))
    assert sum(len(group.tickets) for group in spool.ready) == 10
    assert spool.is_behind(0)
    assert spool.depth == 60
    posted = post_all(spool)
    for number in range(61, 101):
        await asyncio.gather(*append(spool, [number]))
        if number % 3 == 0:
            posted += post_all(spool)
    assert spool.read_until is None
    assert spool.ready
    assert not spool.is_behind(10)
    posted += post_all(spool)
    assert posted == list(range(1, 101))
    assert (spool.depth, spool.shipped_end) == (0, spool.durable_end)
    await spool.close()


async def test_memory_is_used_again_under_traffic_that_never_pauses(tmp_path: Path) -> None:
    spool = Spool(tmp_path, INSTANCE, max_in_memory=40)
    posted: list[int] = []
    for number in range(1, 101):
        await asyncio.gather(*append(spool, [number]))
    for number in range(101, 400):
        await asyncio.gather(*append(spool, [number]))
        if spool.ready and spool.ready[0].tickets[0].admission_no > 100:
            break
        posted += post_one(spool) + post_one(spool)
    assert spool.depth > 1, "it never caught up"
    assert posted + post_all(spool) == list(range(1, number + 1))
    await spool.close()


async def test_what_the_disk_is_writing_is_not_forgotten_by_the_depth(tmp_path: Path) -> None:
    """It was neither waiting nor durable, so an end in this moment took it for posted."""
    spool = Spool(tmp_path, INSTANCE)
    (future,) = append(spool, [1])
    while not future.done():
        assert spool.depth == 1
        await asyncio.sleep(0)
    assert spool.depth == 1
    post_all(spool)
    assert spool.depth == 0
    spool.delivered(1)
    await spool.close()


async def test_groups_of_a_busy_process_follow_each_other_no_faster_than_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.metering.spool.GATHER_S", 0.2)
    spool = Spool(tmp_path, INSTANCE)
    spool.under_way = range(MANY)
    began_s = time.monotonic()
    waiting = []
    for number in range(1, 21):
        waiting += append(spool, [number])
        await asyncio.sleep(0.002)
    await asyncio.gather(*waiting)
    most = 2 + (time.monotonic() - began_s) / 0.2
    assert len(frames_of(spool)) <= most
    assert sum(len(frame.events) for frame in frames_of(spool)) == 20
    await spool.close()
