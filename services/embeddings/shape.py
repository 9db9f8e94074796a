"""Vectors as they are written: cut to a width, in one encoding or several, as JSON. Pure.

It refuses nothing. Long answers are written in blocks, so that a thread that writes one lets
others run in between.
"""

import binascii
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from services.embeddings.ask import Ask
from services.models.engine import Embedded
from services.models.windows import Floats, normalised

# About a millisecond of writing.
BLOCK_ROWS: Final = 64
INT8_SHIFT: Final = 128


def body(found: Embedded, ask: Ask) -> bytes:
    """The whole answer."""
    total = sum(found.tokens)
    head = {
        "model": found.model,
        "object": "list",
        "usage": {"total_tokens": total, "prompt_tokens": total},
    }
    blocks = b",".join(_blocks(cut(found, ask), ask))
    return orjson.dumps(head)[:-1] + b',"data":[' + blocks + b"]}"


def cut(found: Embedded, ask: Ask) -> Floats:
    """The vectors at the width that was asked for, at length 1 again unless that was declined."""
    vectors = found.vectors
    if not ask.normalized:
        vectors = vectors * found.lengths[:, None]
    if ask.dimensions is None or ask.dimensions == vectors.shape[1]:
        return np.ascontiguousarray(vectors, np.float32)
    vectors = vectors[:, : ask.dimensions]
    return np.ascontiguousarray(normalised(vectors) if ask.normalized else vectors, np.float32)


def _blocks(vectors: Floats, ask: Ask) -> Iterator[bytes]:
    for begin in range(0, len(vectors), BLOCK_ROWS):
        rows = vectors[begin : begin + BLOCK_ROWS]
        columns = {name: ENCODERS[name](rows) for name in ask.types}
        entries = [
            {
                "object": "embedding",
                "index": begin + at,
                "embedding": {name: column[at] for name, column in columns.items()}
                if ask.keyed
                else columns[ask.types[0]][at],
            }
            for at in range(len(rows))
        ]
        yield orjson.dumps(entries, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


def _floats(rows: Floats) -> Any:
    return rows


def _base64(rows: Floats) -> Any:
    """Little-endian float32, as openai-python reads it."""
    little = rows.astype("<f4", copy=False)
    return [binascii.b2a_base64(row.tobytes(), newline=False).decode() for row in little]


def _ubinary(rows: Floats) -> NDArray[np.uint8]:
    """One bit for each number, 1 where it is positive, most significant bit first."""
    return np.packbits(rows > 0, axis=1)


def _binary(rows: Floats) -> Any:
    """The same as signed bytes: each less by 128."""
    return (_ubinary(rows).astype(np.int16) - INT8_SHIFT).astype(np.int8)


ENCODERS: Final[dict[str, Callable[[Floats], Any]]] = {
    "float": _floats,
    "base64": _base64,
    "binary": _binary,
    "ubinary": _ubinary,
}
