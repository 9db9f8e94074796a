"""The arrival log on disk: bounded, counted where it cannot be written, and never in the way."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from gateway.admission.ask import Code, Decision
from gateway.arrivals.form import Block
from gateway.arrivals.log import ArrivalLog
from gateway.arrivals.pseudonym import pseudonyms
from gateway.arrivals.segments import SUFFIX, Caps, SegmentWriter, tidy
from gateway.arrivals.shelf import Shelf
from gateway.telemetry import Telemetry
from gateway.units import MIB
from tests.admission.asking import START_US, Asker, limits

CAPS = Caps(100 * MIB, 8, least_free_bytes=0)
PEPPER = b"a pepper of the tests"


def _decided(code: Code, at_us: int) -> Decision:
    return Decision(code, 0, 9, 8, None, 0, 0, 0, 0, at_us, "key")


def _counted(telemetry: Telemetry) -> dict[str, float]:
    return {kind: numbers[0] for kind, numbers in telemetry.counts()["sluice_arrivals"].items()}


async def _log(folder: Path, telemetry: Telemetry, caps: Caps, count: int) -> None:
    """So many requests of two subjects, each ended a second after it came."""
    now_us = START_US
    writer = SegmentWriter(folder, "here-1", caps, telemetry)
    log = ArrivalLog(pseudonyms(PEPPER), writer, telemetry, lambda: now_us * 1_000)
    asker = Asker("k:1", "reader", limits(9)), Asker("a:10.0.0.1", "reader", limits(9))
    for number in range(count):
        now_us = START_US + number * 2_000_000
        ask = asker[number % 2].ask(number)
        log.arrived(ask, _decided(Code.ADMITTED, now_us))
        now_us += 1_000_000
        log.ended(ask.request_id, 2 * number)
        if number % 100 == 0:
            await log.run_once()
    await log.close()


async def test_what_was_told_is_read_back_with_its_ends(tmp_path: Path) -> None:
    telemetry = Telemetry()
    await _log(tmp_path, telemetry, CAPS, 1_000)
    assert _counted(telemetry)["written"] == 2_000
    events = list(Shelf(tmp_path).events())
    assert len(events) == 2_000
    assert [each.time_us for each in events] == sorted(each.time_us for each in events)
    came = {each.name: each for each in events if each.is_arrival}
    for each in events:
        if not each.is_arrival:
            assert each.tokens == 2 * came[each.name].tokens
            assert each.time_us - came[each.name].time_us == 1_000_000
    names = {each.subject for each in came.values()}
    assert names == {pseudonyms(PEPPER)("k:1"), pseudonyms(PEPPER)("a:10.0.0.1")}
    assert names.isdisjoint({pseudonyms(b"another pepper")("k:1")})


async def test_it_takes_at_most_twenty_bytes_a_request_and_names_nobody(tmp_path: Path) -> None:
    await _log(tmp_path, Telemetry(), CAPS, 5_000)
    data = b"".join(path.read_bytes() for path in tmp_path.glob(f"*{SUFFIX}"))
    assert len(data) <= 20 * 5_000
    assert b"10.0.0.1" not in data
    assert b"k:1" not in data


async def test_what_the_disk_does_not_take_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    telemetry = Telemetry()
    await _log(in_the_way / "folder", telemetry, CAPS, 10)
    assert _counted(telemetry) == {"dropped": 0, "written": 0, "lost": 20}
    # The rest of a disk is for what is charged.
    telemetry = Telemetry()
    await _log(tmp_path / "full", telemetry, Caps(100 * MIB, 8, least_free_bytes=2**62), 10)
    assert _counted(telemetry)["lost"] == 20
    assert list((tmp_path / "full").iterdir()) == []


async def test_a_disk_that_hangs_makes_it_forget_and_nobody_wait(tmp_path: Path) -> None:
    class Hanging(SegmentWriter):
        def start(self) -> None:
            """Its thread never comes."""

        def stop(self, wait_s: float) -> None:
            """There is nothing to wait for."""

    telemetry = Telemetry()
    writer = Hanging(tmp_path, "here-1", CAPS, telemetry)
    log = ArrivalLog(pseudonyms(PEPPER), writer, telemetry, lambda: START_US * 1_000)
    asker = Asker("k:1", "reader", limits(9))
    for _ in range(40):
        for _ in range(4_096):
            log.arrived(asker.ask(), _decided(Code.RPM, START_US))
        await log.run_once()
    assert _counted(telemetry)["dropped"] > 0
    assert writer.put(Block(), 1) is False


def _segment(folder: Path, name: str, size: int, age_days: float) -> Path:
    path = folder / f"{name}{SUFFIX}"
    with path.open("wb") as file:
        file.truncate(size)
    then = time.time() - age_days * 86_400
    os.utime(path, (then, then))
    return path


def test_the_oldest_go_first_and_none_is_kept_too_long(tmp_path: Path) -> None:
    old = _segment(tmp_path, "old", 1, 9)
    middle = _segment(tmp_path, "middle", 30 * MIB, 3)
    fresh = _segment(tmp_path, "fresh", 40 * MIB, 1)
    other = tmp_path / "notes.txt"
    other.write_text("somebody's")
    tidy(tmp_path, Caps(100 * MIB, 8))
    assert [old.exists(), middle.exists(), fresh.exists()] == [False, True, True]
    tidy(tmp_path, Caps(70 * MIB, 8))
    assert [middle.exists(), fresh.exists(), other.exists()] == [False, True, True]


@pytest.mark.parametrize("junk", [b"", b"SLA\x01", b"not a segment at all" * 10])
async def test_a_segment_that_says_nothing_is_named_and_the_others_are_read(
    tmp_path: Path, junk: bytes
) -> None:
    await asyncio.to_thread((tmp_path / f"20270115T000000-x-1{SUFFIX}").write_bytes, junk)
    await _log(tmp_path, Telemetry(), CAPS, 3)
    shelf = Shelf(tmp_path)
    assert len(list(shelf.events())) == 6
    assert [Path(each).stem for each in shelf.unread] == ["20270115T000000-x-1"]
