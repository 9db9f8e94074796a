"""POST /v1/embeddings: every form of input and of answer that the contract names."""

import base64
from typing import Any

import numpy as np
import pytest

from tests.services.asking import Answer, Asker

PATH = "/v1/embeddings"
TEXTS = ["The cat sat on the mat.", "Share prices fell.", "Ein Satz auf Deutsch."]


async def ask(api: Asker, **fields: Any) -> Answer:
    answer = await api.post(PATH, {"model": "jina-embeddings-v3", **fields})
    assert answer.status == 200, answer.text
    assert answer.tokens == answer.json["usage"]["total_tokens"]
    return answer


def vectors(answer: Answer) -> Any:
    return np.array([entry["embedding"] for entry in answer.json["data"]], np.float32)


async def test_answer_has_the_fields_of_the_contract(api: Asker) -> None:
    answer = await ask(api, input=TEXTS)
    body = answer.json
    assert list(body) == ["model", "object", "usage", "data"]
    assert (body["model"], body["object"]) == ("all-minilm-l6-v2", "list")
    assert body["usage"] == {"total_tokens": 25, "prompt_tokens": 25}
    assert [entry["index"] for entry in body["data"]] == [0, 1, 2]
    assert {entry["object"] for entry in body["data"]} == {"embedding"}
    assert vectors(answer).shape == (3, 384)
    assert np.linalg.norm(vectors(answer), axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert answer.headers["Content-Type"] == "application/json"
    assert "x-charge-rule" not in answer.headers


@pytest.mark.parametrize(
    "given", [TEXTS[0], {"text": TEXTS[0]}, [TEXTS[0]], [{"text": TEXTS[0], "id": 5}]]
)
async def test_every_form_of_input_is_the_same_text(given: Any, api: Asker) -> None:
    answer = await ask(api, input=given)
    expected = await ask(api, input=[TEXTS[0]])
    assert answer.json == expected.json


async def test_null_and_unknown_fields_are_absent(api: Asker) -> None:
    names = ["dimensions", "normalized", "task", "late_chunking", "truncate", "embedding_type"]
    nothing = dict.fromkeys([*names, "encoding_format", "return_multivector"])
    answer = await ask(api, input="a", encoding_type="float", user="u", **nothing)
    assert answer.json == (await ask(api, input="a")).json


async def test_model_may_be_left_out(api: Asker) -> None:
    answer = await api.post(PATH, {"input": "a"})
    assert answer.json["model"] == "all-minilm-l6-v2"


async def test_dimensions_cut_and_normalise_again(api: Asker) -> None:
    whole = vectors(await ask(api, input=TEXTS))
    cut = vectors(await ask(api, input=TEXTS, dimensions=64))
    expected = whole[:, :64] / np.linalg.norm(whole[:, :64], axis=1, keepdims=True)
    assert np.abs(cut - expected).max() < 1e-6
    assert vectors(await ask(api, input="a", dimensions=384)).shape == (1, 384)
    assert vectors(await ask(api, input="a", dimensions=1.0)).shape == (1, 1)


async def test_vectors_that_are_not_normalised_have_the_same_direction(api: Asker) -> None:
    whole = vectors(await ask(api, input=TEXTS))
    raw = vectors(await ask(api, input=TEXTS, normalized=False))
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.abs(lengths - 1).min() > 1e-3
    assert np.abs(raw / lengths - whole).max() < 1e-5


@pytest.mark.parametrize("field", ["embedding_type", "encoding_format"])
async def test_base64_is_little_endian_float32(field: str, api: Asker) -> None:
    whole = vectors(await ask(api, input=TEXTS))
    answer = await ask(api, input=TEXTS, **{field: "base64"})
    for entry, vector in zip(answer.json["data"], whole, strict=True):
        found = np.frombuffer(base64.b64decode(entry["embedding"]), "<f4")
        assert np.abs(found - vector).max() < 1e-6


async def test_embedding_type_is_stronger_than_encoding_format(api: Asker) -> None:
    answer = await ask(api, input="a", embedding_type="float", encoding_format="base64")
    assert isinstance(answer.json["data"][0]["embedding"], list)


async def test_binary_forms_are_the_signs_of_the_numbers(api: Asker) -> None:
    signs = vectors(await ask(api, input=TEXTS)) > 0
    unsigned = vectors(await ask(api, input=TEXTS, embedding_type="ubinary"))
    signed = vectors(await ask(api, input=TEXTS, embedding_type="binary"))
    assert unsigned.shape == signed.shape == (3, 48)
    assert (np.unpackbits(unsigned.astype(np.uint8), axis=1) == signs).all()
    assert (np.unpackbits((signed + 128).astype(np.uint8), axis=1) == signs).all()


async def test_several_types_are_an_object_by_type(api: Asker) -> None:
    names = ["float", "base64", "binary", "ubinary"]
    answer = await ask(api, input=TEXTS, embedding_type=[*names, "float"])
    for entry in answer.json["data"]:
        assert list(entry["embedding"]) == names
    single = await ask(api, input=TEXTS)
    for several, one in zip(answer.json["data"], single.json["data"], strict=True):
        assert several["embedding"]["float"] == one["embedding"]


async def test_late_chunking_gives_one_vector_for_each_input(api: Asker) -> None:
    texts = ["Berlin is the capital of Germany.", "It has four million people."]
    late = await ask(api, input=texts, late_chunking=True)
    plain = await ask(api, input=texts)
    assert vectors(late).shape == (2, 384)
    assert late.tokens == plain.tokens
    assert np.abs(vectors(late) - vectors(plain)).max() > 0.01


async def test_too_long_is_cut_when_asked_and_counted_as_cut(api: Asker) -> None:
    answer = await ask(api, input=["a " * 9_000, "b"], truncate=True)
    assert answer.tokens == 8_192 + 3


async def test_thousand_inputs_are_answered_in_order(api: Asker) -> None:
    texts = [f"number {n}" for n in range(1_024)]
    answer = await ask(api, input=texts, model="tiny-clip", dimensions=4)
    assert [entry["index"] for entry in answer.json["data"]] == list(range(1_024))


async def test_empty_text_costs_its_specials(api: Asker) -> None:
    answer = await ask(api, input=["", " "])
    assert answer.tokens == 4
    assert np.isfinite(vectors(answer)).all()


async def test_models_are_listed_for_nothing(api: Asker) -> None:
    answer = await api.get("/v1/models")
    assert (answer.status, answer.json["object"], answer.tokens) == (200, "list", 0)
    names = [entry["id"] for entry in answer.json["data"]]
    assert {"all-minilm-l6-v2", "jina-embeddings-v3", "tiny-clip"} <= set(names)
    for entry in answer.json["data"]:
        assert entry["object"] == "model"
        assert isinstance(entry["created"], int)
        assert entry["owned_by"]


async def test_one_model_is_shown_with_what_serves_it(api: Asker) -> None:
    answer = await api.get("/v1/models/jina-embeddings-v3")
    assert answer.json["id"] == "jina-embeddings-v3"
    assert answer.json["served_by"] == "all-minilm-l6-v2"
    missing = await api.get("/v1/models/no%2Fsuch")
    assert (missing.status, missing.void) == (404, True)
    assert (await api.post("/v1/models", {})).status == 405
