"""BM25 of every document for one query, as a share of what a document could score at most. Pure.

It refuses nothing; a query without terms scores 0 everywhere.
The formula is that of Robertson and Zaragoza (2009) with the idf that is never negative.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from services.models.windows import Floats
from services.rerank.words import is_light, terms

# The usual values; the documents of a request are passages of about equal length.
K1: Final = 1.2
B: Final = 0.75
# What a light word counts: enough to tell two otherwise equal documents apart.
LIGHT_WEIGHT: Final = 0.1
# A list is short, so what is rare in it is uncertain: as if so many more documents were there,
# none of which has the word.
ASSUMED_DOCUMENTS: Final = 10
# A document that reaches this share of the highest possible score is as good as one can be.
FULL_SHARE: Final = 0.5


def shares(query: str, documents: Sequence[str]) -> Floats:
    """For each document 0 to 1: its BM25 beside the best of the list, or beside half of what is

    possible where even the best is below that: a list in which nothing matches well has no best.
    """
    wanted = dict.fromkeys(terms(query))
    counts = [Counter(terms(document)) for document in documents]
    if not wanted or not counts:
        return np.zeros(len(counts), np.float32)
    weights = {term: _weight(term, counts) for term in wanted}
    lengths = [counted.total() for counted in counts]
    mean = max(1.0, sum(lengths) / len(lengths))
    scores = [
        _score(weights, counted, K1 * (1 - B + B * length / mean))
        for counted, length in zip(counts, lengths, strict=True)
    ]
    highest = sum(weights.values()) * (K1 + 1)
    return np.array(scores, np.float32) / max(*scores, highest * FULL_SHARE, 1e-9)


def _weight(term: str, counts: Sequence[Counter[str]]) -> float:
    having = sum(term in counted for counted in counts)
    total = len(counts) + ASSUMED_DOCUMENTS
    idf = math.log(1 + (total - having + 0.5) / (having + 0.5))
    return idf * (LIGHT_WEIGHT if is_light(term) else 1.0)


def _score(weights: dict[str, float], counted: Counter[str], damping: float) -> float:
    score = 0.0
    for term, weight in weights.items():
        times = counted.get(term, 0)
        if times:
            score += weight * times * (K1 + 1) / (times + damping)
    return score
