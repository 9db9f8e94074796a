"""Reads a safetensors file: a JSON head with the place of every tensor, then the tensors.

It refuses a file whose head does not match its size; it never unpickles anything. Only float32 is
read, which is what the built-in model is stored in.
"""

import mmap
from pathlib import Path
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LENGTH_BYTES: Final = 8
HEAD_MOST_BYTES: Final = 64 * 1024 * 1024


class BrokenWeightsError(ValueError):
    """The file is no safetensors file, or a part of it is missing."""


def read(path: Path) -> dict[str, Floats]:
    """Every float32 tensor by name; views into the mapped file, not to be written to."""
    try:
        with path.open("rb") as file:
            raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as fault:
        raise BrokenWeightsError(f"{path.name} cannot be read: {fault}") from fault
    head_bytes = int.from_bytes(raw[:LENGTH_BYTES], "little")
    begin = LENGTH_BYTES + head_bytes
    if not 0 < head_bytes <= HEAD_MOST_BYTES or begin > len(raw):
        raise BrokenWeightsError(f"{path.name} has no head")
    try:
        return {
            name: _tensor(raw, begin, entry, f"{path.name}: {name}")
            for name, entry in orjson.loads(raw[LENGTH_BYTES:begin]).items()
            if name != "__metadata__" and entry["dtype"] == "F32"
        }
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as fault:
        raise BrokenWeightsError(f"{path.name} has a head of another shape") from fault


def _tensor(raw: mmap.mmap, begin: int, entry: dict[str, list[int]], shown: str) -> Floats:
    first, last = entry["data_offsets"]
    shape = entry["shape"]
    count = int(np.prod(shape, dtype=np.int64))
    if not 0 <= first <= last <= len(raw) - begin or (last - first) != 4 * count:
        raise BrokenWeightsError(f"{shown} is not where the head says")
    return np.frombuffer(raw, np.float32, count, begin + first).reshape(shape)
