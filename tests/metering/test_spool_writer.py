"""Random lives of a spool on a disk that fails: what was acknowledged is read, nothing else is."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.metering.spool_files import NOWHERE, read_frames, segment_numbers, segment_path
from gateway.metering.spool_writer import SpoolWriter

FAILURES = ["short write", "no write", "no sync", "no sync, no cut", "no segment"]


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
        st.sampled_from([""] * 6 + FAILURES),
    ),
    max_size=25,
)


def _refuse(*_: object) -> None:
    raise OSError(5, "Input/output error")


@contextmanager
def disk(failure: str) -> Iterator[None]:
    """A disk that works or fails in this way."""
    real = os.write
    broken: dict[str, object] = {
        "short write": {"write": lambda fd, data: real(fd, data[: len(data) // 2])},
        "no write": {"write": _refuse},
        "no sync": {"fdatasync": _refuse},
        "no sync, no cut": {"fdatasync": _refuse, "ftruncate": _refuse},
        "no segment": {"fsync": _refuse},
    }.get(failure, {})  # type: ignore[assignment]
    with ExitStack() as stack:
        for function, instead in broken.items():
            stack.enter_context(patch.object(os, function, instead))
        yield


@given(STEPS, st.integers(60, 400), st.integers(0, 30), st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_was_acknowledged_is_read_in_order_and_nothing_else(
    steps: list[Step], segment_bytes: int, torn_bytes: int, goes_on: bool
) -> None:
    """Also with a torn tail, and when the last segments were never begun."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = SpoolWriter(folder, segment_bytes)
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
