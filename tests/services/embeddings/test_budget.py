"""The gateway's cap on what a request may cost: kept by the service, which counts as it charges."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services import images
from tests.services.asking import Answer, Asker

TEXTS = ["The cat sat on the mat.", "Share prices fell.", "Ein Satz auf Deutsch."]
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/embeddings", {"input": TEXTS}),
    ("/v1/embeddings", {"input": TEXTS, "late_chunking": True}),
    ("/v1/embeddings", {"input": ["word " * 20_000], "truncate": True}),
    (
        "/v1/embeddings",
        {"model": "tiny-clip", "input": ["a cat", {"image": images.encoded(images.solid("red"))}]},
    ),
    ("/v1/rerank", {"query": "cats", "documents": TEXTS}),
    ("/v1/classify", {"input": TEXTS, "labels": ["animals", "money", "a longer label of words"]}),
]


async def ask(api: Asker, path: str, fields: dict[str, Any], budget: int | None) -> Answer:
    head = {} if budget is None else {"x-token-budget": str(budget)}
    return await api.post(path, {"model": "jina-embeddings-v3", **fields}, head)


@pytest.mark.parametrize(("path", "fields"), REQUESTS)
async def test_a_cap_of_the_cost_is_enough_and_one_less_is_refused_for_free(
    api: Asker, path: str, fields: dict[str, Any]
) -> None:
    cost = (await ask(api, path, fields, None)).tokens
    assert cost > 2
    for budget in (cost, cost + 1):
        assert (await ask(api, path, fields, budget)).tokens == cost
    for budget in (cost - 1, 0):
        refused = await ask(api, path, fields, budget)
        found = refused.json
        assert (refused.status, found["code"]) == (400, "MAX_CHARGE_TOO_LOW")
        assert (found["needed_tokens"], found["max_charge"]) == (cost, budget)
        assert found["error"]["code"] == found["code"]
        assert str(cost) in found["detail"].replace(",", "")
        assert refused.void


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=6))
async def test_what_is_counted_before_is_what_is_charged(api: Asker, texts: list[str]) -> None:
    for path, fields in (
        ("/v1/embeddings", {"input": texts}),
        ("/v1/rerank", {"query": texts[0], "documents": texts}),
    ):
        refused = await ask(api, path, fields, 0)
        told = refused.json["needed_tokens"]
        assert (await ask(api, path, fields, told)).tokens == told


@pytest.mark.parametrize("text", ["", " ", "many", "-1", "٣".encode().decode("latin-1")])
async def test_a_budget_that_is_no_number_is_none(api: Asker, text: str) -> None:
    answer = await api.post("/v1/embeddings", {"input": "a"}, {"x-token-budget": text})
    assert answer.status == 200


async def test_a_mistake_is_told_as_the_mistake_that_it_is(api: Asker) -> None:
    answer = await ask(api, "/v1/embeddings", {"input": ["a", "word " * 20_000]}, 10)
    assert answer.json["code"] == "INPUT_TOKEN_LIMIT_EXCEEDED"
