"""From sums to a decision: linear discriminants that begin as prototypes. Pure and deterministic.

Each label is a cloud around its mean; all clouds share one covariance, which is the measured one
mixed with a round one, the prior. Few examples: nearest prototype. Many: Fisher's discriminant.
How many examples the prior counts for, and the temperature that makes probabilities of
discriminants, are found by setting every fifth example aside in turn.

There is no iteration, so training takes the same time whatever num_iters says: num_iters is the
weight of an example against the prior and against the examples of other updates.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.classifier.sums import Doubles, Floats, Sums, combined, of_examples, scatter

Indices = NDArray[np.intp]

# Passes that make an example weigh 1; the default of num_iters.
USUAL_ITERATIONS: Final = 10
# Beyond a hundred passes an example is as good as learned: ten times the usual weight.
MOST_ITERATIONS: Final = 100

# Examples that the round prior counts for: before any was judged, and what is tried. Moods of a
# review want the least, subjects of texts the most; 200 lost least on all sets that were tried.
USUAL_PRIOR: Final = 200.0
PRIORS: Final = (30.0, 120.0, 480.0)
# Variance of unit vectors around the mean of their label, all dimensions together, before any was
# seen; and the examples that this guess counts for.
USUAL_VARIANCE: Final = 0.5
USUAL_VARIANCE_MASS: Final = 4.0

# The temperature before any was judged, for a label of n examples and 384 dimensions: what was
# found on the sets of tests/services/classifier and on docstrings for n from 2 to 40.
LEAST_TEMPERATURE: Final = 5.0
ONE_EXAMPLE: Final = 110.0
USUAL_DIMENSIONS: Final = 384
# Parts of it that are tried, and how much likelihood a fit must gain to leave it, in nats per
# squared logarithm.
PARTS: Final = np.exp(np.linspace(np.log(0.02), np.log(10.0), 63))
PART_INERTIA: Final = 4.0
PRIOR_INERTIA: Final = 0.5
FOLDS: Final = 5


def weight_of(iterations: int) -> float:
    """The weight of an example that is trained for this many passes."""
    return min(iterations, MOST_ITERATIONS) / USUAL_ITERATIONS


def decision(sums: Sums) -> Floats:
    """[C, d + 1] for `scores`: per label the direction, then the bias."""
    found = _discriminants(sums, _prior(sums)) / np.exp(sums.log_part)
    floats: Floats = found.astype(np.float32)
    return floats


def scores(weights: Floats, vectors: Floats) -> Doubles:
    """[n, C] probabilities; each row sums to 1."""
    logits = vectors @ weights[:, :-1].T + weights[:, -1]
    return softmax(logits.astype(np.float64))


def softmax(logits: Doubles) -> Doubles:
    """Over the last axis."""
    raised: Doubles = np.exp(logits - logits.max(axis=-1, keepdims=True))
    raised /= raised.sum(axis=-1, keepdims=True)
    return raised


def judged(sums: Sums, vectors: Floats, labels: Indices, weight: float) -> Sums:
    """`sums`, which contain these examples, with prior and temperature that fit them too.

    What was found for earlier updates counts by the number of their examples. Examples of a single
    label say nothing: whatever favours that label fits them best.
    """
    if len(np.unique(labels)) < 2:
        return sums
    folds = _folds(sums, vectors, labels, weight)
    right = np.concatenate([fold.labels for fold in folds]) if folds else np.zeros(0, np.intp)
    if not len(right):
        return sums
    tried = []
    for prior in PRIORS:
        loss = _losses(_logits(folds, prior), right).min()
        tried.append(loss + PRIOR_INERTIA * np.log(prior / USUAL_PRIOR) ** 2)
    total = sums.judged + len(right)

    def mean(old: float, found: float) -> float:
        return float((old * sums.judged + np.log(found) * len(right)) / total)

    log_prior = mean(sums.log_prior, PRIORS[int(np.argmin(tried))])
    losses = _losses(_logits(folds, float(np.exp(log_prior))), right)
    part = float(PARTS[int(np.argmin(losses))])
    return replace(
        sums,
        log_prior=log_prior,
        log_part=mean(sums.log_part, part),
        judged=float(total),
    )


class _Fold:
    """What is learned without some examples, and those examples."""

    def __init__(self, rest: Sums, vectors: Floats, labels: Indices) -> None:
        self.rest = rest
        self.vectors = vectors
        self.labels = labels


def _folds(sums: Sums, vectors: Floats, labels: Indices, weight: float) -> list[_Fold]:
    """FOLDS parts, each with its share of every label; an only example of a label is in none."""
    places: dict[int, int] = {}
    parts: list[list[int]] = [[] for _ in range(FOLDS)]
    for index, label in enumerate(labels.tolist()):
        place = places.get(label, 0)
        places[label] = place + 1
        parts[place % FOLDS].append(index)
    folds = []
    for part in parts:
        if part:
            aside = of_examples(vectors[part], labels[part], sums.label_count, weight)
            rest = combined(sums, aside, -1.0)
            # What is left of a label that lies aside as a whole is rounding.
            rest = replace(rest, mass=np.where(rest.mass < weight / 2, 0.0, rest.mass))
            seen = rest.mass[labels[part]] > 0
            folds.append(_Fold(rest, vectors[part][seen], labels[part][seen]))
    return folds


def _logits(folds: list[_Fold], prior: float) -> Doubles:
    found = []
    for fold in folds:
        discriminants = _discriminants(fold.rest, prior)
        found.append(fold.vectors @ discriminants[:, :-1].T + discriminants[:, -1])
    return np.concatenate(found)


def _losses(logits: Doubles, right: Indices) -> Doubles:
    """Per part the negative log likelihood, and what leaving the usual temperature costs."""
    raised = logits[None] / PARTS[:, None, None]
    most = raised.max(axis=2, keepdims=True)
    total = np.log(np.exp(raised - most).sum(axis=2)) + most[:, :, 0]
    loss: Doubles = (total - raised[:, np.arange(len(right)), right]).sum(axis=1)
    loss += PART_INERTIA * np.log(PARTS) ** 2
    return loss


def _prior(sums: Sums) -> float:
    return float(np.exp(sums.log_prior)) if sums.judged else USUAL_PRIOR


def _discriminants(sums: Sums, prior: float) -> Doubles:
    """[C, d + 1] at the usual temperature. A label without examples is never chosen."""
    dimensions = sums.dimension_count
    known = sums.mass > 0
    mass = np.where(known, sums.mass, 1.0)
    means = sums.firsts / mass[:, None]
    total = float(sums.mass.sum())
    around = scatter(sums)
    spread = max(float(np.trace(around)), 0.0) + USUAL_VARIANCE_MASS * USUAL_VARIANCE
    variance = spread / (total + USUAL_VARIANCE_MASS) / dimensions
    prior *= _prior_weight(sums)
    around[np.diag_indices(dimensions)] += prior * variance
    directions = np.linalg.solve(around / (total + prior), means.T).T
    # The mean of n examples lies off the true one by a share 1/n of the cloud's variance, which
    # would make a label with few examples look further away than it is.
    examples = np.where(known, mass**2 / np.where(known, sums.squares, 1.0), 1.0)
    bias = -0.5 * ((directions * means).sum(axis=1) - dimensions / examples)
    usual = _usual_temperature(examples[known], dimensions)
    return np.hstack([directions, np.where(known, bias, -1e9)[:, None]]) / usual


def _usual_temperature(examples: Doubles, dimensions: int) -> float:
    """Discriminants grow with the dimensions; the fewer the examples, the less they are worth."""
    scarcity = float((1.0 / examples).mean()) if len(examples) else 1.0
    return (LEAST_TEMPERATURE + ONE_EXAMPLE * scarcity) * dimensions / USUAL_DIMENSIONS


def _prior_weight(sums: Sums) -> float:
    """The weight of an example of the prior: what the others weigh, but for half the intensity.

    Repeating examples does not make them many, so the prior gives way only to the root of their
    weight, of that of the average label: one that was trained hard leaves the others their shape.
    """
    known = sums.mass > 0
    if not known.any():
        return 1.0
    per_label = sums.squares[known] / sums.mass[known]
    average = float(sums.squares.sum() / sums.mass.sum())
    return average / float(np.exp(np.log(per_label).mean() / 2))
