"""The bytes of a spool on disk: framed segments, a cursor, a lock.

Refuses to guess: a torn tail (the crash came while writing) ends the last segment, a broken frame
that was durable raises `SpoolDamaged`.

Layout of `<spool>/<instance>/`: `lock` (held by flock while the owner lives), `cursor`
("segment offset" of what is posted), `00000001.log`, ... A frame is length and CRC-32 of its
payload, both little-endian u32, then the payload: a JSON object
`{"e": [event, ...], "d": [admission_no, ...]}` with the outcomes and the numbers whose last byte
was handed over since. The first frame of a segment has also `"u": [[admission_no, request_id]]`,
the charges that are durable and still not delivered, and `"a": [segment, offset]`, the last
durable place before it: what stands behind that place in an older segment was never acknowledged.
Any other frame has `"a"` if something before it was not synced yet when it was written: a power cut
may keep it and lose that. Zeros stand ahead of what is written; no frame is of length 0.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.errors import Fault

HEADER: Final = struct.Struct("<II")
# One group is at most a few thousand outcomes; anything larger is damage, not data.
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
# What every payload begins with: finds the next frame behind a broken one.
_START: Final = b'{"e":['


class SpoolDamaged(Fault):
    """A segment has a broken frame that was durable: a later one says so, or its successor."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a spool: segment number and byte offset behind the last whole frame."""

    segment: int
    offset: int


NOWHERE: Final = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Frame:
    """One durable group read back, and the position behind it; `after` where it has an "a"."""

    events: Sequence[Sequence[Any]]
    delivered: Sequence[int]
    outstanding: Sequence[tuple[int, str]]
    after: Position | None
    end: Position


def encode_frame(events: Sequence[bytes], delivered: Sequence[int], opening: bytes = b"") -> bytes:
    """A frame of already encoded events; `opening` is what the first of a segment has besides."""
    payload = b'{"e":[%b],"d":%b%b}' % (b",".join(events), orjson.dumps(delivered), opening)
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def encode_opening(carried: Sequence[tuple[int, str]], after: Position) -> bytes:
    """What the first frame of a segment tells of those before it."""
    return b',"u":%b%b' % (orjson.dumps(carried), encode_after(after))


def encode_after(after: Position) -> bytes:
    """What a frame tells of the last durable place, where that is not the one in front of it."""
    return b',"a":[%d,%d]' % (after.segment, after.offset)


def segment_path(directory: Path, number: int) -> Path:
    """The file of one segment."""
    return directory / f"{number:08d}.log"


def segment_numbers(directory: Path) -> list[int]:
    """The segments that exist, oldest first."""
    return sorted(int(p.stem) for p in directory.glob("[0-9]*.log"))


def read_cursor(directory: Path) -> Position:
    """What is posted; the very beginning when nothing is, and when it is not whole.

    It is not synced, so a power cut may leave the first digits of an offset.
    """
    try:
        text = (directory / "cursor").read_text()
        segment, offset = text.split() if text.endswith("\n") else ("", "")
        return Position(int(segment), int(offset))
    except (FileNotFoundError, ValueError):
        return NOWHERE


def write_cursor(fd: int, position: Position) -> None:
    """Remember what is posted; not synced, because posting again is harmless."""
    os.pwrite(fd, b"%-10d %-14d\n" % (position.segment, position.offset), 0)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def lock(directory: Path, *, create: bool) -> int | None:
    """A descriptor that owns the spool until it is closed or its process ends; None if taken.

    Without `create` a spool that its owner is about to remove counts as taken.
    """
    path = directory / "lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return _make_lock(path) if create else None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it before may have removed the spool: then this is the lock of nothing.
        if os.path.samestat(os.fstat(fd), path.stat()):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def _make_lock(path: Path) -> int | None:
    """Locked before it has its name: in between it would look like a dead process's."""
    fresh = path.with_name(f"lock.{os.getpid()}")
    fd = os.open(fresh, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        os.link(fresh, path)
    except FileExistsError:
        os.close(fd)
        return None
    finally:
        fresh.unlink()
    return fd


def read_frames(directory: Path, start: Position) -> Iterator[Frame]:
    """Every frame behind `start` that was made durable; raises SpoolDamaged on a broken one."""
    numbers = [n for n in segment_numbers(directory) if n >= start.segment]
    for place, number in enumerate(numbers):
        offset = start.offset if number == start.segment else 0
        limit = _limit(directory, number, numbers[place + 1 :])
        yield from _frames_of(segment_path(directory, number), number, offset, limit)


def _limit(directory: Path, number: int, later: Sequence[int]) -> int | None:
    """How far a segment counts, as a later one tells; None for the last one."""
    for other in later:
        first = next(_frames_of(segment_path(directory, other), other, 0, None), None)
        if first is not None and first.after is not None:
            if first.after.segment > number:
                return segment_path(directory, number).stat().st_size
            return first.after.offset if first.after.segment == number else 0
    return None


def _frames_of(path: Path, number: int, offset: int, limit: int | None) -> Iterator[Frame]:
    with path.open("rb") as file:
        file.seek(offset)
        while limit is None or offset < limit:
            header = file.read(HEADER.size)
            if not header and limit is None:
                return
            length, checksum = HEADER.unpack(header) if len(header) == HEADER.size else (0, 0)
            payload = file.read(length) if 0 < length <= MAX_FRAME_BYTES else b""
            if not payload or len(payload) < length or zlib.crc32(payload) != checksum:
                if limit is not None or _was_durable(path, Position(number, offset)):
                    raise SpoolDamaged(f"{path.name}: broken frame at byte {offset}")
                return
            offset += HEADER.size + length
            yield _decode(payload, Position(number, offset))


def _was_durable(path: Path, place: Position) -> bool:
    """Whether a whole frame behind a broken one was written after that was synced."""
    content = path.read_bytes()
    view = memoryview(content)
    at = content.find(_START, place.offset + HEADER.size + 1)
    while at >= 0:
        length, checksum = HEADER.unpack_from(content, at - HEADER.size)
        payload = view[at : at + length]
        # A header of zeros is none, although it fits the payload of no bytes.
        if 0 < length == len(payload) and zlib.crc32(payload) == checksum:
            after = _decode(bytes(payload), place).after
            if after is None or after > place:
                return True
        at = content.find(_START, at + 1)
    return False


def _decode(payload: bytes, end: Position) -> Frame:
    try:
        record = orjson.loads(payload)
        after = Position(*record["a"]) if "a" in record else None
        return Frame(record["e"], record["d"], record.get("u", ()), after, end)
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise SpoolDamaged(f"segment {end.segment}: foreign frame before {end.offset}") from error
