"""Separation on sixty hand-written pairs: the right passage comes first, and words alone fail."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from services.rerank import fusion, lexical
from services.rerank.words import familiar_share
from tests.services.asking import Asker
from tests.services.pairs import PAIRS
from tests.services.ranking import ndcg_at_10, place

QUESTIONS = [question for question, _ in PAIRS]
PASSAGES = [passage for _, passage in PAIRS]


async def vectors(api: Asker) -> tuple[Any, Any]:
    """Of the questions and of the passages."""
    answer = await api.post("/v1/embeddings", {"input": QUESTIONS + PASSAGES})
    found = np.array([entry["embedding"] for entry in answer.json["data"]], np.float32)
    return found[: len(PAIRS)], found[len(PAIRS) :]


def places_of(rows: Iterable[Any]) -> list[int]:
    return [place(row.tolist(), right) for right, row in enumerate(rows)]


async def test_embeddings_put_the_right_passage_first(api: Asker) -> None:
    questions, passages = await vectors(api)
    places = places_of(questions @ passages.T)
    assert places.count(0) >= 57
    assert ndcg_at_10(places) > 0.97


async def test_fused_evidence_puts_the_right_passage_first_and_beats_words(api: Asker) -> None:
    questions, passages = await vectors(api)
    words = [lexical.shares(question, PASSAGES) for question in QUESTIONS]
    fused = [
        fusion.scores(passages @ vector, shares, familiar_share(question))
        for vector, shares, question in zip(questions, words, QUESTIONS, strict=True)
    ]
    assert places_of(fused).count(0) >= 57
    assert ndcg_at_10(places_of(fused)) > 0.97 > ndcg_at_10(places_of(words)) + 0.5


async def test_service_orders_by_the_fused_evidence(api: Asker) -> None:
    for right in range(0, len(PAIRS), 12):
        answer = await api.post("/v1/rerank", {"query": QUESTIONS[right], "documents": PASSAGES})
        assert answer.json["results"][0]["index"] == right


async def test_scores_of_right_passages_are_high_and_of_wrong_ones_low(api: Asker) -> None:
    right: list[float] = []
    wrong: list[float] = []
    for at in range(3, len(PAIRS), 12):
        answer = await api.post("/v1/rerank", {"query": QUESTIONS[at], "documents": PASSAGES})
        for result in answer.json["results"]:
            (right if result["index"] == at else wrong).append(result["relevance_score"])
    assert np.median(right) > 0.5 > 0.3 > np.quantile(wrong, 0.95)


async def test_words_decide_where_meanings_are_equal(api: Asker) -> None:
    documents = [
        f"Error E-{4700 + n} means that part {n} of the pump must be checked." for n in range(30)
    ]
    answer = await api.post(
        "/v1/rerank", {"query": "what is error E-4717?", "documents": documents}
    )
    assert answer.json["results"][0]["index"] == 17


async def test_meaning_decides_where_no_word_is_shared(api: Asker) -> None:
    documents = [
        "The parliament passed the budget.",
        "Felines purr when they are content.",
        "Rain.",
    ]
    answer = await api.post(
        "/v1/rerank", {"query": "why do cats make noises", "documents": documents}
    )
    assert answer.json["results"][0]["index"] == 1


async def test_best_window_of_a_long_document_counts(api: Asker) -> None:
    filler = "The committee met again on Thursday and adjourned without a decision. " * 60
    needle = "Octopuses have three hearts, two of which pump blood to the gills. "
    documents = [filler, filler + needle + filler, "Squids are caught at night with lamps."]
    answer = await api.post(
        "/v1/rerank", {"query": "How many hearts does an octopus have?", "documents": documents}
    )
    assert answer.json["results"][0]["index"] == 1
