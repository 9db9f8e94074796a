"""The bytes of a spool: what is whole is read back, a torn tail is not, damage is told."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.metering.spool_files import (
    NOWHERE,
    Frame,
    Position,
    SpoolDamaged,
    encode_frame,
    encode_opening,
    lock,
    read_cursor,
    read_frames,
    segment_path,
    write_cursor,
)

EVENTS = st.lists(
    st.lists(st.integers(-(2**53), 2**53) | st.text() | st.none(), max_size=4), max_size=4
)
NUMBERS = st.lists(st.integers(1, 2**53), max_size=4)
CARRIED = st.lists(st.tuples(st.integers(1, 2**53), st.text(max_size=40)), max_size=3)


def three_frames(folder: Path) -> list[int]:
    """A segment of three frames; where each of them ends."""
    frames = [encode_frame([b"[%d,%d]" % (n, 10**n)], [n]) for n in (1, 2, 3)]
    segment_path(folder, 1).write_bytes(b"".join(frames))
    return [sum(map(len, frames[: n + 1])) for n in range(3)]


def read(folder: Path, start: Position = NOWHERE) -> list[Frame]:
    return list(read_frames(folder, start))


@given(EVENTS, NUMBERS, CARRIED)
@settings(max_examples=50, deadline=None)
def test_a_frame_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[list[int | str | None]],
    delivered: list[int],
    carried: list[tuple[int, str]],
) -> None:
    folder = tmp_path_factory.mktemp("frame")
    encoded = [orjson.dumps(event) for event in events]
    bytes_of = encode_frame(encoded, delivered, encode_opening(carried, Position(3, 7)))
    segment_path(folder, 4).write_bytes(bytes_of)
    (frame,) = read(folder)
    assert frame.events == [orjson.loads(each) for each in encoded]
    assert frame.delivered == delivered
    assert [tuple(pair) for pair in frame.outstanding] == carried
    assert (frame.after, frame.end) == (Position(3, 7), Position(4, len(bytes_of)))


def test_reading_goes_on_behind_a_position(tmp_path: Path) -> None:
    ends = three_frames(tmp_path)
    assert [f.delivered for f in read(tmp_path, Position(1, ends[0]))] == [[2], [3]]
    assert read(tmp_path, Position(1, ends[2])) == []


def test_a_torn_tail_is_ignored_wherever_it_is_torn(tmp_path: Path) -> None:
    ends = three_frames(tmp_path)
    path = segment_path(tmp_path, 1)
    content = path.read_bytes()
    for size in range(ends[1], ends[2]):
        path.write_bytes(content[:size])
        assert [f.delivered for f in read(tmp_path)] == [[1], [2]]


@pytest.mark.parametrize("tail", [b"\0" * 64, b"\xff" * 64, b"garbage " * 9, b'{"e":[' * 20])
def test_a_tail_of_anything_is_ignored(tmp_path: Path, tail: bytes) -> None:
    """After a loss of power a file may end in bytes that were never written."""
    three_frames(tmp_path)
    with segment_path(tmp_path, 1).open("ab") as file:
        file.write(tail)
    assert [f.delivered for f in read(tmp_path)] == [[1], [2], [3]]


def test_a_tail_whose_header_never_reached_the_disk_is_torn(tmp_path: Path) -> None:
    ends = three_frames(tmp_path)
    path = segment_path(tmp_path, 1)
    content = bytearray(path.read_bytes())
    content[ends[1] : ends[1] + 8] = bytes(8)
    path.write_bytes(content)
    assert [f.delivered for f in read(tmp_path)] == [[1], [2]]


def test_damage_of_any_byte_in_the_middle_is_found(tmp_path: Path) -> None:
    ends = three_frames(tmp_path)
    path = segment_path(tmp_path, 1)
    content = path.read_bytes()
    for at in range(ends[1]):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        with pytest.raises(SpoolDamaged):
            read(tmp_path)


def test_a_segment_that_has_a_successor_is_whole_or_damaged(tmp_path: Path) -> None:
    """Its successor tells how far it counts: no tail of it can be torn."""
    ends = three_frames(tmp_path)
    opening = encode_opening([], Position(1, ends[2]))
    segment_path(tmp_path, 2).write_bytes(encode_frame([b"[4]"], [], opening))
    assert len(read(tmp_path)) == 4
    content = segment_path(tmp_path, 1).read_bytes()
    segment_path(tmp_path, 1).write_bytes(content[:-1])
    with pytest.raises(SpoolDamaged):
        read(tmp_path)


def test_what_stands_behind_the_durable_place_does_not_count(tmp_path: Path) -> None:
    """A failed group may be there in full; an empty segment in between changes nothing."""
    ends = three_frames(tmp_path)
    segment_path(tmp_path, 2).touch()
    opening = encode_opening([(9, "r")], Position(1, ends[1]))
    segment_path(tmp_path, 3).write_bytes(encode_frame([b"[4]"], [], opening))
    frames = read(tmp_path)
    assert [frame.events for frame in frames] == [[[1, 10]], [[2, 100]], [[4]]]
    assert list(map(tuple, frames[2].outstanding)) == [(9, "r")]


def test_a_whole_frame_of_foreign_content_is_damage(tmp_path: Path) -> None:
    segment_path(tmp_path, 1).write_bytes(encode_frame([b"not json"], []))
    with pytest.raises(SpoolDamaged):
        read(tmp_path)


def test_the_cursor_is_read_back_and_a_broken_one_is_the_beginning(tmp_path: Path) -> None:
    assert read_cursor(tmp_path) == NOWHERE
    with (tmp_path / "cursor").open("wb") as file:
        for position in (Position(1, 2**40), Position(12, 7)):
            write_cursor(file.fileno(), position)
            assert read_cursor(tmp_path) == position
    (tmp_path / "cursor").write_text("12 ")
    assert read_cursor(tmp_path) == NOWHERE


def test_a_cursor_torn_by_a_power_cut_is_the_beginning(tmp_path: Path) -> None:
    """The first digits of an offset are an offset too, but in the middle of a frame."""
    with (tmp_path / "cursor").open("wb") as file:
        write_cursor(file.fileno(), Position(1, 20_343))
    whole = (tmp_path / "cursor").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "cursor").write_bytes(whole[:size])
        assert read_cursor(tmp_path) == NOWHERE


def test_a_lock_is_free_as_soon_as_its_process_is_dead(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from gateway.metering.spool_files import lock\n"
    code += "print(lock(Path(sys.argv[1]), create=True), flush=True); input()"
    words = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().strip().isdigit()
        assert lock(tmp_path, create=False) is None
        owner.kill()
        owner.wait(60)
    taken = lock(tmp_path, create=False)
    assert taken is not None
    os.close(taken)


def test_a_spool_that_is_being_removed_is_nobodys(tmp_path: Path) -> None:
    assert lock(tmp_path, create=False) is None
    assert list(tmp_path.iterdir()) == []
