"""The baseline: words weighed by how rare they are, and the nearest mean. No model, no training."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

WORD = re.compile(r"[a-z0-9']+")
Weights = dict[str, float]


def few_shot(examples: Mapping[str, Sequence[str]], texts: Sequence[str]) -> list[str]:
    """The label of each text by the mean of the label's examples."""
    documents = [text for group in examples.values() for text in group]
    means = {label: _sum([_of(text, documents) for text in group])
             for label, group in examples.items()}  # fmt: skip
    return [_nearest(_of(text, documents), means) for text in texts]


def zero_shot(labels: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The label of each text by the words that they share."""
    documents = [*labels, *texts]
    vectors = {label: _of(label, documents) for label in labels}
    return [_nearest(_of(text, documents), vectors) for text in texts]


def _of(text: str, documents: Sequence[str]) -> Weights:
    words = Counter(_words(text))
    found = {}
    for word, count in words.items():
        holding = sum(word in _words(document) for document in documents)
        found[word] = count * (math.log((1 + len(documents)) / (1 + holding)) + 1)
    return _normalised(found)


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _sum(vectors: Sequence[Weights]) -> Weights:
    total: Counter[str] = Counter()
    for vector in vectors:
        total.update(vector)
    return _normalised(dict(total))


def _normalised(vector: Weights) -> Weights:
    length = math.sqrt(sum(value * value for value in vector.values())) or 1.0
    return {word: value / length for word, value in vector.items()}


def _nearest(vector: Weights, labels: Mapping[str, Weights]) -> str:
    def near(label: str) -> float:
        return sum(value * labels[label].get(word, 0.0) for word, value in vector.items())

    return max(labels, key=near)
