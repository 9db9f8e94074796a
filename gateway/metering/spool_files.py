"""The bytes of a spool on disk: framed segments, a cursor, a lock.

Refuses to guess: a torn tail (the crash came while writing) ends a segment, a broken frame with
more behind it raises `SpoolDamaged`.

Layout of `<spool>/<instance>/`: `lock` (held by flock while the owner lives), `cursor`
("segment offset" of what is posted), `00000001.log`, ... A frame is length and CRC-32 of its
payload, both little-endian u32, then the payload: a JSON object
`{"e": [event, ...], "d": [admission_no, ...], "u": [[admission_no, request_id], ...]}` with the
outcomes, the numbers whose last byte was handed over since, and (first frame of a segment) the
requests that were decided earlier and are still not delivered.
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
# One group is at most a few hundred outcomes; anything larger is damage, not data.
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024


class SpoolDamaged(Fault):
    """A segment has a broken frame with more behind it."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a spool: segment number and byte offset behind the last whole frame."""

    segment: int
    offset: int


NOWHERE: Final = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Frame:
    """One durable group read back, and the position behind it."""

    events: Sequence[Sequence[Any]]
    delivered: Sequence[int]
    outstanding: Sequence[tuple[int, str]]
    end: Position


def encode_frame(
    events: Sequence[bytes], delivered: Sequence[int], carried: Sequence[tuple[int, str]]
) -> bytes:
    """A frame of already encoded events."""
    payload = b'{"e":[%b],"d":%b,"u":%b}' % (
        b",".join(events),
        orjson.dumps(delivered),
        orjson.dumps(carried),
    )
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def segment_path(directory: Path, number: int) -> Path:
    """The file of one segment."""
    return directory / f"{number:08d}.log"


def segment_numbers(directory: Path) -> list[int]:
    """The segments that exist, oldest first."""
    return sorted(int(p.stem) for p in directory.glob("[0-9]*.log"))


def read_cursor(directory: Path) -> Position:
    """What is posted; the very beginning when nothing is."""
    try:
        segment, offset = (directory / "cursor").read_text().split()
        return Position(int(segment), int(offset))
    except (FileNotFoundError, ValueError):
        return Position(0, 0)


def write_cursor(fd: int, position: Position) -> None:
    """Remember what is posted; not synced, because posting again is harmless."""
    os.pwrite(fd, b"%-10d %-14d\n" % (position.segment, position.offset), 0)


def lock(directory: Path) -> int | None:
    """A descriptor that owns the spool until it is closed or its process ends; None if taken."""
    fd = os.open(directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def read_frames(directory: Path, start: Position) -> Iterator[Frame]:
    """Every whole frame behind `start`; raises SpoolDamaged on a broken one inside a segment."""
    for number in segment_numbers(directory):
        if number < start.segment:
            continue
        offset = start.offset if number == start.segment else 0
        yield from _frames_of(segment_path(directory, number), number, offset)


def _frames_of(path: Path, number: int, offset: int) -> Iterator[Frame]:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(offset)
        while True:
            header = file.read(HEADER.size)
            if len(header) < HEADER.size:
                return
            length, checksum = HEADER.unpack(header)
            end = offset + HEADER.size + length
            payload = file.read(length) if length <= MAX_FRAME_BYTES else b""
            if len(payload) < length or zlib.crc32(payload) != checksum:
                if 0 < end < size and length <= MAX_FRAME_BYTES:
                    raise SpoolDamaged(f"{path.name}: broken frame at byte {offset}")
                return
            offset = end
            yield _decode(payload, Position(number, offset))


def _decode(payload: bytes, end: Position) -> Frame:
    record = orjson.loads(payload)
    return Frame(record["e"], record["d"], record["u"], end)
