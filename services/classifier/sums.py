"""The running sums of a classifier: all that is kept of its examples. Pure.

Adding is commutative and associative, up to rounding: neither the order of updates nor that of
examples matters, and no label is forgotten. It refuses bytes that it did not write.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

# Format, labels, dimensions, logarithms of prior and part, examples that they were fitted on.
HEAD: Final = struct.Struct("<4sIIddd")
FORMAT: Final = b"sum1"


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over examples x of weight w, with C labels and d dimensions.

    `mass` [C] is the sum of w per label and `squares` [C] that of w^2; `firsts` [C, d] the sum of
    w x per label; `seconds` [d, d] the sum of w x x' over all. `log_prior` and `log_part` are the
    means of what the updates found to fit (see fitting.py), over `judged` examples.
    """

    mass: Doubles
    squares: Doubles
    firsts: Doubles
    seconds: Doubles
    log_prior: float
    log_part: float
    judged: float

    @property
    def label_count(self) -> int:
        return int(self.firsts.shape[0])

    @property
    def dimension_count(self) -> int:
        return int(self.firsts.shape[1])


def nothing(label_count: int, dimension_count: int) -> Sums:
    """The sums of no example."""
    return Sums(
        np.zeros(label_count),
        np.zeros(label_count),
        np.zeros((label_count, dimension_count)),
        np.zeros((dimension_count, dimension_count)),
        0.0,
        0.0,
        0.0,
    )


def of_examples(
    vectors: Floats, labels: Sequence[int] | NDArray[np.intp], label_count: int, weight: float
) -> Sums:
    """The sums of these examples, each of the same weight; `labels` are indices."""
    x = vectors.astype(np.float64)
    one_hot = np.zeros((len(x), label_count))
    one_hot[np.arange(len(x)), labels] = 1.0
    counts = one_hot.sum(axis=0)
    return Sums(
        counts * weight,
        counts * weight * weight,
        one_hot.T @ x * weight,
        x.T @ x * weight,
        0.0,
        0.0,
        0.0,
    )


def combined(one: Sums, other: Sums, sign: float = 1.0) -> Sums:
    """One and the other; with `sign` -1 one without the other. Keeps what was fitted of `one`."""
    return Sums(
        one.mass + sign * other.mass,
        one.squares + sign * other.squares,
        one.firsts + sign * other.firsts,
        one.seconds + sign * other.seconds,
        one.log_prior,
        one.log_part,
        one.judged,
    )


def widened(sums: Sums, label_count: int) -> Sums:
    """The same sums with room for further labels behind those that it has."""
    more = label_count - sums.label_count
    return Sums(
        np.pad(sums.mass, (0, more)),
        np.pad(sums.squares, (0, more)),
        np.pad(sums.firsts, ((0, more), (0, 0))),
        sums.seconds,
        sums.log_prior,
        sums.log_part,
        sums.judged,
    )


def scatter(sums: Sums) -> Doubles:
    """[d, d]: how the examples lie around the means of their labels."""
    return sums.seconds - _of_means(sums.mass, sums.firsts)


def packed(sums: Sums) -> bytes:
    """Sums as bytes: doubles, but of the seconds the upper triangle of the scatter, as float32.

    The scatter is small where the seconds are large: of those float32 would keep nothing of it
    once a million like examples were seen.
    """
    upper = np.triu_indices(sums.dimension_count)
    fitted = (sums.log_prior, sums.log_part, sums.judged)
    head = HEAD.pack(FORMAT, sums.label_count, sums.dimension_count, *fitted)
    per_label = (sums.mass, sums.squares, sums.firsts)
    return b"".join(
        (
            head,
            *(part.astype("<f8").tobytes() for part in per_label),
            scatter(sums)[upper].astype("<f4").tobytes(),
        )
    )


def unpacked(raw: bytes) -> Sums:
    """The sums that were `packed`. Raises ValueError for anything else."""
    if len(raw) < HEAD.size:
        raise ValueError("too short for the sums of a classifier")
    form, labels, dimensions, *fitted = HEAD.unpack_from(raw)
    triangle = dimensions * (dimensions + 1) // 2
    doubles = labels * (2 + dimensions)
    if form != FORMAT or len(raw) != HEAD.size + 8 * doubles + 4 * triangle:
        raise ValueError("not the sums of a classifier")
    flat = np.frombuffer(raw, "<f8", doubles, HEAD.size).astype(np.float64)
    mass, firsts = flat[:labels], flat[2 * labels :].reshape(labels, dimensions)
    around = np.zeros((dimensions, dimensions))
    around[np.triu_indices(dimensions)] = np.frombuffer(
        raw, "<f4", triangle, HEAD.size + 8 * doubles
    )
    seconds = around + np.triu(around, 1).T + _of_means(mass, firsts)
    return Sums(mass, flat[labels : 2 * labels], firsts, seconds, *fitted)


def _of_means(mass: Doubles, firsts: Doubles) -> Doubles:
    """What the seconds would be if every example were the mean of its label."""
    means = firsts / np.where(mass > 0, mass, 1.0)[:, None]
    found: Doubles = firsts.T @ means
    return found
