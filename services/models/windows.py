"""How a text that is longer than the model's window is cut, and how its parts are pooled. Pure.

It refuses to leave a window nearly empty: the parts of a text are of equal length, give or take
one token, so no part weighs on the mean with a handful of words and no batch is mostly padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Below this a vector is as good as zero, and has no direction.
LEAST_LENGTH: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `start` to `end` of a window, which belong to the text `owner`."""

    owner: int
    start: int
    end: int


def cuts(tokens: int, window: int) -> list[tuple[int, int]]:
    """Begin and end of every window over `tokens`, at most `window` long; one if there are none."""
    parts = max(1, -(-tokens // window))
    edges = [tokens * part // parts for part in range(parts + 1)]
    return list(pairwise(edges))


def overlapping(tokens: int, window: int) -> list[tuple[int, int, int, int]]:
    """Windows that overlap by half: (begin, end, first, last) of each.

    `first` to `last` are the tokens whose vectors are taken from this window: those that lie
    nearer to its middle than to the middle of a neighbour. Together they are all tokens, once.
    """
    if tokens <= window:
        return [(0, tokens, 0, tokens)]
    steps = -(-(tokens - window) // (window // 2))
    begins = [(tokens - window) * step // steps for step in range(steps + 1)]
    seams = [
        0,
        *((left + right + window) // 2 for left, right in pairwise(begins)),
        tokens,
    ]
    return [(begin, begin + window, seams[at], seams[at + 1]) for at, begin in enumerate(begins)]


def pooled(vectors: Floats, owners: Sequence[int], weights: Sequence[int], count: int) -> Floats:
    """Weighted mean of the vectors of each owner; those without any have zeros."""
    if list(owners) == list(range(count)):
        return vectors
    sums = np.zeros((count, vectors.shape[1]), np.float32)
    shares = np.asarray(weights, np.float32)[:, None]
    totals = np.zeros((count, 1), np.float32)
    np.add.at(sums, np.asarray(owners, np.intp), vectors * shares)
    np.add.at(totals, np.asarray(owners, np.intp), shares)
    found: Floats = np.divide(sums, np.maximum(totals, np.float32(1)), dtype=np.float32)
    return found


def normalised(vectors: Floats) -> Floats:
    """Every row at length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Floats = (vectors / np.maximum(lengths, LEAST_LENGTH)).astype(np.float32, copy=False)
    return found
