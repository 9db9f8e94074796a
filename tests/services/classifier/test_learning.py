"""What is learned from vectors: nothing forgotten, order of no matter, time bounded. Pure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier import fitting, sums
from services.classifier.learning import learn, read_weights
from services.classifier.store import Learned
from services.classifier.sums import Doubles, Floats

SEEDS = st.integers(0, 2**32 - 1)


def clouds(seed: int, labels: int, each: int, dimension: int, spread: float) -> Floats:
    """[labels, each, dimension] unit vectors around one direction a label."""
    chance = np.random.default_rng(seed)
    means = chance.normal(size=(labels, 1, dimension))
    means /= np.linalg.norm(means, axis=2, keepdims=True)
    found = means + chance.normal(size=(labels, each, dimension)) * spread / np.sqrt(dimension)
    found /= np.linalg.norm(found, axis=2, keepdims=True)
    floats: Floats = found.astype(np.float32)
    return floats


def taught(
    vectors: Floats, names: list[str], before: Learned | None = None, iterations: int = 10
) -> Learned:
    """What is learned of [labels, each, d], the first label being names[0]."""
    flat = vectors.reshape(-1, vectors.shape[-1])
    labels = [name for name in names for _ in range(vectors.shape[1])]
    known = () if before is None else before.labels
    return learn(before.statistics if before else None, known, flat, labels, iterations)


def scored(learned: Learned, vectors: Floats) -> Doubles:
    return fitting.scores(read_weights(learned.weights, len(learned.labels)), vectors)


def hits(learned: Learned, vectors: Floats, names: list[str]) -> float:
    """The share of [labels, each, d] that is given its own label."""
    rightly = [
        learned.labels[place] == name
        for name, group in zip(names, vectors, strict=True)
        for place in scored(learned, group).argmax(axis=1)
    ]
    return float(np.mean(rightly))


@pytest.mark.parametrize("labels", [2, 5, 16])
@pytest.mark.parametrize("iterations", [1, 10, 1_000_000])
def test_eight_examples_a_label_of_a_separable_set_are_enough(labels: int, iterations: int) -> None:
    vectors = clouds(3, labels, 8 + 50, 384, spread=2.0)
    names = [f"l{n}" for n in range(labels)]
    learned = taught(vectors[:, :8], names, iterations=iterations)
    assert hits(learned, vectors[:, :8], names) == 1.0
    assert hits(learned, vectors[:, 8:], names) >= 0.95


def test_labels_that_were_drawn_by_lot_are_learned_by_heart() -> None:
    vectors = np.random.default_rng(1).normal(size=(4, 8, 384))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    names = ["a", "b", "c", "d"]
    assert hits(taught(vectors.astype(np.float32), names), vectors.astype(np.float32), names) == 1.0


def test_one_label_after_the_other_is_as_good_as_all_at_once() -> None:
    vectors = clouds(5, 8, 60, 384, spread=3.0)
    names = [f"l{n}" for n in range(8)]
    at_once = taught(vectors[:, :8], names)
    learned = taught(vectors[:2, :8], names[:2])
    for place in range(2, 8):
        learned = taught(vectors[place : place + 1, :8], names[place : place + 1], learned)
    assert learned.labels == at_once.labels
    rest = vectors[:, 8:]
    assert hits(learned, rest, names) >= hits(at_once, rest, names) - 0.01
    assert hits(learned, rest[:2], names[:2]) >= 0.95


def test_much_training_of_a_new_label_does_not_drown_the_old_ones() -> None:
    vectors = clouds(6, 3, 400, 384, spread=3.0)
    learned = taught(vectors[:2, :8], ["a", "b"])
    learned = taught(vectors[2:, :300], ["c"], learned, iterations=1_000_000)
    assert hits(learned, vectors[:2, 300:], ["a", "b"]) >= 0.95
    for _ in range(3):
        learned = taught(vectors[2:, :300], ["c"], learned, iterations=1_000_000)
    assert hits(learned, vectors[:2, 300:], ["a", "b"]) >= 0.85
    assert hits(learned, vectors[2:, 300:], ["c"]) >= 0.95


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, order=st.permutations(range(24)), cut=st.integers(1, 23))
def test_order_and_batches_of_examples_change_no_sum(seed: int, order: list[int], cut: int) -> None:
    vectors = clouds(seed, 3, 8, 48, spread=2.0).reshape(24, 48)
    names = [name for name in "abc" for _ in range(8)]
    whole = learn(None, "abc", vectors, names, 10)
    shuffled = [names[place] for place in order]
    first = learn(None, "abc", vectors[order[:cut]], shuffled[:cut], 10)
    second = learn(first.statistics, first.labels, vectors[order[cut:]], shuffled[cut:], 10)
    one, other = sums.unpacked(whole.statistics), sums.unpacked(second.statistics)
    for name in ("mass", "squares", "firsts", "seconds"):
        assert np.allclose(getattr(one, name), getattr(other, name), atol=1e-5)


def test_order_and_batches_of_examples_change_few_decisions() -> None:
    agreed = []
    for seed in range(20):
        vectors = clouds(seed, 4, 48, 96, spread=3.0)
        examples, rest = vectors[:, :8].reshape(32, 96), vectors[:, 8:].reshape(-1, 96)
        names = [name for name in "abcd" for _ in range(8)]
        whole = learn(None, "abcd", examples, names, 10)
        order = np.random.default_rng(seed).permutation(32)
        parts = None
        for part in np.split(order, 4):
            labels = [names[place] for place in part]
            before = None if parts is None else parts.statistics
            parts = learn(before, "abcd", examples[part], labels, 10)
        assert parts is not None
        agreed.append(np.mean(scored(whole, rest).argmax(1) == scored(parts, rest).argmax(1)))
    assert np.mean(agreed) >= 0.98


def test_more_iterations_weigh_more_up_to_a_hundred_and_cost_no_time() -> None:
    vectors = clouds(9, 2, 8, 384, spread=1.0)
    against = taught(vectors, ["a", "b"])
    one = vectors[:1, :1]
    pulled = [
        scored(learn(against.statistics, "ab", one[0], ["b"], iterations), one[0])[0, 1]
        for iterations in (1, 10, 50, 100, 1_000_000)
    ]
    assert pulled[0] < pulled[1] < pulled[2] < pulled[3]
    assert pulled[3] == pulled[4]


def test_same_examples_give_the_same_bytes() -> None:
    vectors = clouds(2, 4, 8, 96, spread=2.0)
    assert taught(vectors, list("abcd")) == taught(vectors, list("abcd"))


@settings(max_examples=50, deadline=None)
@given(
    seed=SEEDS,
    labels=st.integers(2, 5),
    each=st.integers(1, 4),
    dimension=st.integers(1, 24),
    iterations=st.integers(1, 10**6),
)
def test_scores_are_probabilities_whatever_was_learned(
    seed: int, labels: int, each: int, dimension: int, iterations: int
) -> None:
    vectors = clouds(seed, labels, each, dimension, spread=3.0)
    learned = taught(vectors, [f"l{n}" for n in range(labels)], iterations=iterations)
    assert len(learned.weights) == 4 * labels * (dimension + 1)
    found = scored(learned, clouds(seed + 1, 1, 7, dimension, spread=9.0)[0])
    assert np.isfinite(found).all()
    assert np.allclose(found.sum(axis=1), 1.0, atol=1e-9)


def test_equal_vectors_with_different_labels_are_undecided() -> None:
    vectors = np.tile(clouds(1, 1, 1, 32, 1.0), (2, 4, 1))
    found = scored(taught(vectors, ["a", "b"]), vectors[0, :1])
    assert np.allclose(found, 0.5, atol=1e-4)


def test_scores_are_as_sure_as_they_are_right() -> None:
    vectors = clouds(8, 6, 300, 64, spread=2.6)
    learned = taught(vectors[:, :20], list("abcdef"))
    rest = vectors[:, 20:]
    sure = scored(learned, rest.reshape(-1, 64)).max(axis=1).mean()
    assert abs(sure - hits(learned, rest, list("abcdef"))) < 0.08


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, labels=st.integers(1, 5), dimension=st.integers(1, 20))
def test_sums_survive_being_packed(seed: int, labels: int, dimension: int) -> None:
    chance = np.random.default_rng(seed)
    vectors = chance.normal(size=(9, dimension)).astype(np.float32)
    indices = chance.integers(0, labels, 9)
    before = sums.of_examples(vectors, indices, labels, 1.5)
    after = sums.unpacked(sums.packed(before))
    assert np.array_equal(before.firsts, after.firsts)
    assert np.array_equal(before.mass, after.mass)
    assert np.allclose(before.seconds, after.seconds, rtol=1e-6, atol=1e-5)
    assert np.allclose(after.seconds, after.seconds.T)
    assert len(sums.packed(after)) == len(sums.packed(before))


def test_million_like_examples_drown_no_label() -> None:
    vectors = clouds(12, 3, 60, 384, spread=2.0)
    learned = taught(vectors[:, :8], ["a", "b", "c"])
    same = np.tile(vectors[:1, :1], (1, 1_024, 1))
    for _ in range(3):
        learned = taught(same, ["a"], learned, iterations=100)
    grown = sums.unpacked(learned.statistics)
    for _ in range(7):
        grown = sums.combined(grown, sums.unpacked(sums.packed(grown)))
    weights = fitting.decision(sums.unpacked(sums.packed(grown)))
    assert grown.mass.sum() > 3_000_000
    for place, group in enumerate(vectors[:, 8:]):
        found = fitting.scores(weights, group)
        assert np.isfinite(found).all()
        assert np.mean(found.argmax(axis=1) == place) >= 0.9


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=200))
def test_bytes_that_are_no_sums_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="sums of a classifier"):
        sums.unpacked(raw)
