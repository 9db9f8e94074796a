"""Random lives of a spool on a disk that fails, or loses its power: what was acknowledged is read,
nothing else is.
"""

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from unittest.mock import patch

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.metering.spool_files import NOWHERE, read_frames, segment_numbers, segment_path
from gateway.metering.spool_writer import SpoolWriter

FAILURES = ["short write", "no write", "no sync", "no sync, no cut", "no segment"]
AHEAD = st.sampled_from([0, 1, 64, 300, 100_000])


@dataclass(frozen=True)
class Step:
    """One group of so many events and marks, and how the disk takes it ("" well)."""

    events: int
    marks: int
    failure: str


STEPS = st.lists(
    st.builds(
        Step,
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from([""] * 6 + ["no room ahead"] + FAILURES),
    ),
    max_size=25,
)


def _refuse(*_: object) -> NoReturn:
    raise OSError(5, "Input/output error")


@contextmanager
def disk(failure: str) -> Iterator[None]:
    """A disk that works or fails in this way."""
    real = os.pwritev

    def half(fd: int, parts: Sequence[bytes], offset: int, flags: int = 0) -> int:
        return real(fd, [parts[0][: len(parts[0]) // 2]], offset, flags)

    def unsynced(fd: int, parts: Sequence[bytes], offset: int, flags: int = 0) -> int:
        written = real(fd, parts, offset)
        return written if not flags else _refuse()

    broken: dict[str, object] = {
        "short write": {"pwritev": half},
        "no room ahead": {"pwritev": lambda fd, parts, *rest: real(fd, parts[:1], *rest)},
        "no write": {"pwritev": _refuse},
        "no sync": {"fdatasync": _refuse, "pwritev": unsynced},
        "no sync, no cut": {"fdatasync": _refuse, "pwritev": unsynced, "ftruncate": _refuse},
        "no segment": {"fsync": _refuse},
    }.get(failure, {})  # type: ignore[assignment]
    with ExitStack() as stack:
        for function, instead in broken.items():
            stack.enter_context(patch.object(os, function, instead))
        yield


@given(STEPS, st.integers(60, 400), AHEAD, st.integers(0, 30), st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_was_acknowledged_is_read_in_order_and_nothing_else(
    steps: list[Step], segment_bytes: int, ahead_bytes: int, torn_bytes: int, goes_on: bool
) -> None:
    """Also with a torn tail, and when the last segments were never begun."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = SpoolWriter(folder, segment_bytes, ahead_bytes)
        acknowledged: list[bytes] = []
        marks: list[int] = []
        for number, step in enumerate(steps):
            events = [b"[%d,%d]" % (number, part) for part in range(step.events)]
            given_marks = [number * 10 + part for part in range(step.marks)]
            marks += given_marks
            with disk(step.failure), suppress(OSError):
                writer.write(events, given_marks, [])
                acknowledged += events
        if goes_on:
            writer.write([b"[-1]"], [], [])
            acknowledged.append(b"[-1]")
        writer.close()
        numbers = segment_numbers(folder)
        if numbers and (goes_on or not any(step.failure for step in steps)):
            with segment_path(folder, numbers[-1]).open("ab") as file:
                file.write(b"\x13" * torn_bytes)
        frames = list(read_frames(folder, NOWHERE))
        found = [event for frame in frames for event in frame.events]
        told = [number for frame in frames for number in frame.delivered]
        if not goes_on:
            # A group that failed last, on a disk that did not even cut it off, may still be there:
            # its clients were told, it has no mark, so what it cost is given back.
            found = found[: len(acknowledged)]
        assert found == [orjson.loads(each) for each in acknowledged]
        # Marks that no sync has reached may go with a segment that failed: for the customer.
        assert set(told) <= set(marks)
        assert told == sorted(told)
        assert told == marks or any(step.failure for step in steps)


def test_marks_that_no_sync_had_reached_may_be_missing_in_front_of_what_is_there(
    tmp_path: Path,
) -> None:
    writer = SpoolWriter(tmp_path, 1_000)
    begin = writer.write([b"[1]"], [], []).offset
    end = writer.write([], [1], []).offset
    writer.write([b"[2]"], [], [])
    writer.close()
    path = segment_path(tmp_path, 1)
    content = bytearray(path.read_bytes())
    content[begin:end] = bytes(end - begin)
    path.write_bytes(content)
    assert [frame.events for frame in read_frames(tmp_path, NOWHERE)] == [[[1]]]


def test_a_kernel_that_cannot_write_through_is_asked_once_and_then_synced(tmp_path: Path) -> None:
    real, asked = os.pwritev, []

    def older(fd: int, parts: Sequence[bytes], offset: int, flags: int = 0) -> int:
        asked.append(flags)
        if flags:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(fd, parts, offset)

    writer = SpoolWriter(tmp_path, 10_000)
    with patch.object(os, "pwritev", older):
        for number in range(5):
            writer.write([b"[%d]" % number], [], [])
    writer.close()
    assert [flag for flag in asked if flag] == [os.RWF_DSYNC]
    assert writer.syncs == 5
    assert [frame.events for frame in read_frames(tmp_path, NOWHERE)] == [[[n]] for n in range(5)]


class PowerCut(BaseException):
    """The machine stops here."""


class Volatile:
    """What the kernel has and the disk not yet: each block of it may be lost, or not."""

    def __init__(self, folder: Path, data: st.DataObject, stops_at: int) -> None:
        self._folder = folder
        self._data = data
        self._stops_at = stops_at
        self._calls = 0
        self._durable: dict[str, bytes] = {}

    def _call(self) -> None:
        self._calls += 1
        if self._calls == self._stops_at:
            raise PowerCut

    def _synced(self, fd: int) -> None:
        self._call()
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if path.is_file():
            self._durable[path.name] = path.read_bytes()

    def _through(self, fd: int, content: bytes, offset: int) -> None:
        """Only these bytes are durable: what was written before them may still be lost."""
        name = Path(os.readlink(f"/proc/self/fd/{fd}")).name
        known = bytearray(self._durable.get(name, b"").ljust(offset, b"\0"))
        known[offset : offset + len(content)] = content
        self._durable[name] = bytes(known)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Every write and sync of the writer may be the last one; a write is done by then."""
        pwritev = os.pwritev

        def write(fd: int, parts: Sequence[bytes], offset: int, flags: int = 0) -> int:
            written = pwritev(fd, parts, offset)
            self._call()
            if flags:
                self._through(fd, b"".join(parts), offset)
            return written

        with ExitStack() as stack:
            for name, instead in (
                ("pwritev", write),
                ("fdatasync", self._synced),
                ("fsync", self._synced),
            ):
                stack.enter_context(patch.object(os, name, instead))
            with suppress(PowerCut):
                yield

    def left(self, into: Path, block_bytes: int) -> None:
        """Of each file what was synced, and of the rest any blocks; the others are as before."""
        for number in segment_numbers(self._folder):
            path = segment_path(self._folder, number)
            new, old = path.read_bytes(), self._durable.get(path.name, b"")
            size = self._data.draw(st.integers(min(len(old), len(new)), max(len(old), len(new))))
            kept = bytearray(old[:size].ljust(size, b"\0"))
            changed = [
                at
                for at in range(0, size, block_bytes)
                if kept[at : at + block_bytes] != new[at : min(at + block_bytes, size)]
            ]
            few = st.sets(st.sampled_from(changed), max_size=2) if changed else st.just(set[int]())
            chosen = self._data.draw(few)
            # Most of them reached the disk, or hardly any.
            written = chosen if self._data.draw(st.booleans()) else set(changed) - chosen
            for at in written:
                piece = new[at : min(at + block_bytes, size)]
                kept[at : at + len(piece)] = piece
            segment_path(into, number).write_bytes(kept)


@given(STEPS, st.integers(60, 600), AHEAD, st.integers(1, 60), st.sampled_from([8, 50]), st.data())
@settings(max_examples=300, deadline=None)
def test_a_power_cut_loses_nothing_acknowledged_and_is_never_taken_for_damage(
    steps: list[Step],
    segment_bytes: int,
    ahead_bytes: int,
    stops_at: int,
    block_bytes: int,
    data: st.DataObject,
) -> None:
    """Whatever blocks of what was not synced it keeps: also later ones without those before."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as found_later:
        folder = Path(name)
        writer = SpoolWriter(folder, segment_bytes, ahead_bytes)
        power = Volatile(folder, data, stops_at)
        acknowledged: list[bytes] = []
        tried: list[bytes] = []
        marks: list[int] = []
        marked = 0
        with power.watched():
            for number, step in enumerate(steps):
                events = [b"[%d,%d]" % (number, part) for part in range(step.events)]
                given_marks = [number * 10 + part for part in range(step.marks)]
                tried += events
                marks += given_marks
                writer.write(events, given_marks, [])
                acknowledged += events
                marked = len(marks) if events else marked
        power.left(Path(found_later), block_bytes)
        writer.close()
        frames = list(read_frames(Path(found_later), NOWHERE))
        found = [event for frame in frames for event in frame.events]
        told = [number for frame in frames for number in frame.delivered]
        # A group that was not acknowledged may have reached the disk; the reaper knows neither.
        assert found[: len(acknowledged)] == [orjson.loads(each) for each in acknowledged]
        assert found == [orjson.loads(each) for each in tried][: len(found)]
        assert told == marks[: len(told)]
        assert len(told) >= marked
