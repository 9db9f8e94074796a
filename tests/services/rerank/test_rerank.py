"""POST /v1/rerank: the answer of the contract, and every wrong request in its envelope."""

from typing import Any

import pytest

from tests.services.asking import Answer, Asker
from tests.services.embeddings.test_bad_input import assert_refused

PATH = "/v1/rerank"
DOCUMENTS = ["Saturn has rings.", "Jupiter is the largest planet.", "Whales are mammals."]
QUERY = "Which planet is the biggest?"


async def ask(api: Asker, **fields: Any) -> Answer:
    model = "jina-reranker-v2-base-multilingual"
    answer = await api.post(PATH, {"model": model, "query": QUERY, "documents": DOCUMENTS} | fields)
    assert answer.status == 200, answer.text
    return answer


async def test_answer_has_the_fields_of_the_contract(api: Asker) -> None:
    answer = await ask(api)
    body = answer.json
    assert list(body) == ["model", "object", "usage", "results"]
    assert (body["model"], body["object"]) == ("all-minilm-l6-v2", "list")
    assert [list(result) for result in body["results"]] == [
        ["index", "document", "relevance_score"]
    ] * 3
    assert body["results"][0]["index"] == 1
    assert body["results"][0]["document"] == {"text": DOCUMENTS[1]}
    scores = [result["relevance_score"] for result in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] < scores[0] <= 1


async def test_usage_is_the_query_once_and_every_document(api: Asker) -> None:
    answer = await ask(api)
    counted = await api.post("/v1/embeddings", {"input": [QUERY, *DOCUMENTS]})
    assert answer.tokens == answer.json["usage"]["total_tokens"] == counted.tokens


async def test_null_is_the_default(api: Asker) -> None:
    answer = await ask(api, top_n=None, return_documents=None, truncate=None)
    assert answer.json == (await ask(api)).json


@pytest.mark.parametrize(("top_n", "count"), [(1, 1), (2, 2), (99, 3), (2.0, 2)])
async def test_top_n_is_how_many_are_answered_but_all_are_counted(
    top_n: float, count: int, api: Asker
) -> None:
    answer = await ask(api, top_n=top_n)
    assert len(answer.json["results"]) == count
    assert answer.tokens == (await ask(api)).tokens


async def test_without_documents_only_places_and_scores(api: Asker) -> None:
    answer = await ask(api, return_documents=False)
    assert [list(result) for result in answer.json["results"]] == [["index", "relevance_score"]] * 3


async def test_objects_come_back_with_all_their_fields(api: Asker) -> None:
    documents = [{"text": "Jupiter", "id": 7, "more": {"a": [1, None]}}, "Saturn", {"text": ""}]
    answer = await ask(api, documents=documents)
    found = {result["index"]: result["document"] for result in answer.json["results"]}
    assert found == {0: documents[0], 1: {"text": "Saturn"}, 2: {"text": ""}}


async def test_query_may_be_an_object(api: Asker) -> None:
    assert (await ask(api, query={"text": QUERY})).json == (await ask(api)).json


async def test_equal_documents_keep_their_order(api: Asker) -> None:
    answer = await ask(api, documents=["same"] * 5)
    assert [result["index"] for result in answer.json["results"]] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("query", ["", " ", "?!", "太陽", "\0", "the of and"])
async def test_query_without_words_has_scores_nevertheless(query: str, api: Asker) -> None:
    answer = await ask(api, query=query)
    assert all(0 <= result["relevance_score"] <= 1 for result in answer.json["results"])


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"query": None}, 422),
        ({"query": 5}, 422),
        ({"query": ["a"]}, 422),
        ({"query": {}}, 422),
        ({"query": {"image": "http://192.0.2.1/a.png"}}, 400),
        ({"documents": None}, 422),
        ({"documents": []}, 422),
        ({"documents": "a"}, 422),
        ({"documents": {"text": "a"}}, 422),
        ({"documents": [5]}, 422),
        ({"documents": [{"text": None}]}, 422),
        ({"documents": ["a", {"body": "b"}]}, 422),
        ({"documents": ["a", {"image": "aGFsbG8="}]}, 400),
        ({"documents": ["a"] * 1_025}, 400),
        ({"documents": ["a", "a " * 8_200]}, 400),
        ({"query": "a " * 8_200}, 400),
        ({"top_n": 0}, 422),
        ({"top_n": -1}, 422),
        ({"top_n": "3"}, 422),
        ({"top_n": 1.5}, 422),
        ({"top_n": True}, 422),
        ({"return_documents": "perhaps"}, 422),
        ({"model": 5}, 422),
        ({"model": "nothing-v9"}, 400),
        ({"model": "broken"}, 503),
    ],
)
async def test_wrong_request_is_refused_and_free(
    fields: dict[str, Any], status: int, api: Asker
) -> None:
    answer = await api.post(PATH, {"query": QUERY, "documents": DOCUMENTS} | fields)
    assert_refused(answer, status)


async def test_long_document_is_cut_when_asked(api: Asker) -> None:
    answer = await ask(api, documents=["a " * 9_000, "b"], truncation=True)
    assert answer.tokens == (await ask(api, documents=["b"])).tokens + 8_192
