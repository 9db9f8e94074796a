"""From examples to what is stored: the whole of one training, in one call for a thread. Pure.

It refuses vectors of another dimension than the classifier has; the caller has seen to the rest.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.classifier import fitting, sums
from services.classifier.store import Learned
from services.classifier.sums import Floats


def learn(
    before: bytes | None,
    known: Sequence[str],
    vectors: Floats,
    labels: Sequence[str],
    iterations: int,
) -> Learned:
    """What is known after these examples too; `known` are the labels of `before`, in order.

    Examples of a label that is not known add it behind the others.
    """
    names = tuple(dict.fromkeys((*known, *labels)))
    places = {name: index for index, name in enumerate(names)}
    indices: NDArray[np.intp] = np.array([places[label] for label in labels], np.intp)
    weight = fitting.weight_of(iterations)
    added = sums.of_examples(vectors, indices, len(names), weight)
    if before is not None:
        old = sums.widened(sums.unpacked(before), len(names))
        added = sums.combined(old, added)
    found = fitting.judged(added, vectors, indices, weight)
    weights = fitting.decision(found).astype("<f4").tobytes()
    return Learned(names, weights, sums.packed(found))


def read_weights(raw: bytes, label_count: int) -> Floats:
    """[C, d + 1] for `fitting.scores`."""
    return np.frombuffer(raw, "<f4").reshape(label_count, -1)
