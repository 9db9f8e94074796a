"""How well the right text comes first: the sixty pairs of the tests, and Python's documentation."""

import random
from collections.abc import Sequence

import numpy as np

from ops.bench.public_texts import documentation
from ops.bench.quality_door import Door
from services.rerank import fusion, lexical
from services.rerank.words import familiar_share
from tests.services.pairs import PAIRS
from tests.services.ranking import ndcg_at_10, place

_DOCUMENTS = 300
_QUESTIONS = 150
_CANDIDATES = 100

Places = dict[str, list[int]]


async def order(door: Door) -> list[tuple[str, str, str]]:
    """Rows: what, asked, measured."""
    everyone = list(range(len(PAIRS)))
    pairs = await _places(door, PAIRS, dict.fromkeys(everyone, everyone))
    found = documentation(_DOCUMENTS)
    chance = random.Random(2)
    lists = {
        right: [
            right,
            *chance.sample([at for at in range(len(found)) if at != right], _CANDIDATES - 1),
        ]
        for right in range(_QUESTIONS)
    }
    manual = await _places(door, found, lists)
    count = len(PAIRS)
    return [
        ("60 pairs: right passage first, by embeddings", "", _first(pairs["dense"], count)),
        ("60 pairs: right passage first, by rerank", "", _first(pairs["rerank"], count)),
        ("60 pairs: nDCG@10 of rerank", f"> BM25: {_n(pairs, 'bm25')}", _n(pairs, "rerank")),
        (
            f"Python's documentation, {_QUESTIONS} questions x {_CANDIDATES} answers: nDCG@10",
            f"> BM25: {_n(manual, 'bm25')}",
            f"{_n(manual, 'rerank')} (embeddings alone {_n(manual, 'dense')})",
        ),
    ]


async def _places(
    door: Door, pairs: Sequence[tuple[str, str]], lists: dict[int, list[int]]
) -> Places:
    questions = await door.vectors([pairs[right][0] for right in lists])
    answers = await door.vectors([answer for _, answer in pairs])
    places: Places = {"dense": [], "bm25": [], "rerank": []}
    for at, (right, candidates) in enumerate(lists.items()):
        question = pairs[right][0]
        dense = (answers[candidates] @ questions[at]).astype(np.float32)
        words = lexical.shares(question, [pairs[other][1] for other in candidates])
        fused = fusion.scores(dense, words, familiar_share(question))
        spot = candidates.index(right)
        for name, scores in (("dense", dense), ("bm25", words), ("rerank", fused)):
            places[name].append(place(scores.tolist(), spot))
    return places


def _first(places: Sequence[int], count: int) -> str:
    return f"{places.count(0)} of {count}"


def _n(places: Places, name: str) -> str:
    return f"{ndcg_at_10(places[name]):.3f}"
