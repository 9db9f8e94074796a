"""Blocks of the arrival log as bytes: columns of some seconds of one process, each whole in itself.

    magic and version, flags, CRC of what follows; its length, arrivals, endings; first time in us,
    number of the first arrival; then, deflated: kinds as JSON, subjects of 8 bytes, the columns

Times are differences in us, an ending names its arrival by how many numbers it lies back. Columns
of four bytes are cut into planes, which deflate to half. Refuses what is torn or foreign: `blocks`
goes on behind it.
"""

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

MAGIC: Final = b"SLA\x01"
MOST_U32: Final = 2**32 - 1
_HEAD: Final = struct.Struct("<4sIIIIQQ")
_SIZES: Final = struct.Struct("<II")
_LEVEL: Final = 1
_MOST_BYTES: Final = 64 * 1024 * 1024
SUBJECT_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Kind:
    """What many arrivals have in common.

    `tier` is anonymous, key or premium; `code` the decision's number; `usual` the limits of the
    tier (rpm, tpm or None, concurrency), `rpm` and `tpm` those that were in force for the subject.
    """

    product: str
    tier: str
    code: int
    degraded: bool
    usual: tuple[int, int | None, int]
    rpm: int
    tpm: int | None

    def row(self) -> list[Any]:
        """For JSON."""
        return [
            self.product,
            self.tier,
            self.code,
            self.degraded,
            list(self.usual),
            self.rpm,
            self.tpm,
        ]


def _kind(row: list[Any]) -> Kind:
    product, tier, code, degraded, (rpm, tpm, open_limit), in_force, tokens, *_ = row
    return Kind(product, tier, code, degraded, (rpm, tpm, open_limit), in_force, tokens)


def _column() -> "array[int]":
    return array("I")


@dataclass(slots=True)
class Block:
    """Columns; an arrival is one place in `at`, `kind`, `subject`, `tokens`, an ending in the rest.

    `at` and `ended_at` are times in us. `back`: how many numbers before the block's end its arrival
    lies.
    """

    first_number: int = 0
    kinds: list[Kind] = field(default_factory=list)
    subjects: bytes = b""
    at: "array[int]" = field(default_factory=lambda: array("q"))
    kind: "array[int]" = field(default_factory=_column)
    subject: "array[int]" = field(default_factory=_column)
    tokens: "array[int]" = field(default_factory=_column)
    ended_at: "array[int]" = field(default_factory=lambda: array("q"))
    back: "array[int]" = field(default_factory=_column)
    used: "array[int]" = field(default_factory=_column)


def packed(block: Block) -> bytes:
    """The block as bytes; one without arrivals and endings is nobody's."""
    first_us = min([*block.at[:1], *block.ended_at[:1]])
    kinds = json.dumps([each.row() for each in block.kinds], separators=(",", ":")).encode()
    body = b"".join(
        (
            _SIZES.pack(len(kinds), len(block.subjects)),
            kinds,
            block.subjects,
            _planes(_steps(block.at, first_us)),
            *(_planes(each) for each in (block.kind, block.subject, block.tokens)),
            _planes(_steps(block.ended_at, first_us)),
            *(_planes(each) for each in (block.back, block.used)),
        )
    )
    payload = zlib.compress(body, _LEVEL)
    counts = (len(payload), len(block.at), len(block.ended_at))
    rest = _HEAD.pack(MAGIC, 0, *counts, first_us, block.first_number)[8:] + payload
    return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest


def blocks(data: bytes) -> Iterator[Block]:
    """Every whole block of a segment; what is torn or foreign is left out."""
    at = data.find(MAGIC)
    while 0 <= at <= len(data) - _HEAD.size:
        found, end = _read(data, at)
        if found is not None:
            yield found
        at = data.find(MAGIC, end if found is not None else at + 1)


def _read(data: bytes, at: int) -> tuple[Block | None, int]:
    _, crc, length, arrivals, endings, first_us, number = _HEAD.unpack_from(data, at)
    start = at + _HEAD.size
    end = start + length
    if length > _MOST_BYTES or end > len(data) or zlib.crc32(data[at + 8 : end]) != crc:
        return None, at
    try:
        body = zlib.decompress(data[start:end])
        return _columns(body, arrivals, endings, first_us, number), end
    except (zlib.error, ValueError, struct.error):
        return None, at


def _columns(body: bytes, arrivals: int, endings: int, first_us: int, number: int) -> Block:
    kinds_bytes, subjects_bytes = _SIZES.unpack_from(body)
    at = _SIZES.size + kinds_bytes
    kinds = [_kind(row) for row in json.loads(body[_SIZES.size : at])]
    subjects = body[at : at + subjects_bytes]
    at += subjects_bytes
    if len(body) != at + 16 * arrivals + 12 * endings:
        raise ValueError("columns of another length")
    columns = []
    for count in (arrivals,) * 4 + (endings,) * 3:
        columns.append(_unplaned(body[at : at + 4 * count]))
        at += 4 * count
    steps, kind, subject, tokens, ended_steps, back, used = columns
    return Block(
        number,
        kinds,
        subjects,
        _times(steps, first_us),
        kind,
        subject,
        tokens,
        _times(ended_steps, first_us),
        back,
        used,
    )


def _steps(times: "array[int]", first_us: int) -> "array[int]":
    """Differences from one time to the next, folded so that small ones are small numbers."""
    before = [first_us, *times[:-1]]
    steps = (now - then for now, then in zip(times, before, strict=False))
    # A clock that jumped by more than half an hour is told as half an hour.
    # An odd number is a step back, so the largest one is not for steps ahead.
    return array(
        "I", [min(MOST_U32 - 1, 2 * s) if s >= 0 else min(MOST_U32, -2 * s - 1) for s in steps]
    )


def _times(steps: "array[int]", first_us: int) -> "array[int]":
    found, now = array("q"), first_us
    for step in steps:
        now += -(step + 1) // 2 if step & 1 else step // 2
        found.append(now)
    return found


def _planes(column: "array[int]") -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    data = column.tobytes()
    return b"".join((data[0::4], data[1::4], data[2::4], data[3::4]))


def _unplaned(data: bytes) -> "array[int]":
    count = len(data) // 4
    whole = bytearray(len(data))
    for plane in range(4):
        whole[plane::4] = data[plane * count : (plane + 1) * count]
    column = array("I", bytes(whole))
    if sys.byteorder == "big":
        column.byteswap()
    return column
