"""What is wrong with a request is a 4xx with `detail`, never charged, and never a 5xx."""

from typing import Any

import pytest

from tests.services.asking import Answer, Asker, signed_headers

PATH = "/v1/embeddings"


def assert_refused(answer: Answer, status: int) -> None:
    assert answer.status == status, answer.text[:500]
    body = answer.json
    assert set(body) == {"detail", "code", "request_id", "message", "error"}
    assert isinstance(body["detail"], list if status == 422 else str)
    assert body["detail"]
    assert answer.void


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 422),
        ({"input": None}, 422),
        ({"input": 5}, 422),
        ({"input": True}, 422),
        ({"input": []}, 422),
        ({"input": {}}, 422),
        ({"input": {"text": 5}}, 422),
        ({"input": {"text": None}}, 422),
        ({"input": {"text": "a", "image": "b"}}, 422),
        ({"input": [5]}, 422),
        ({"input": [None]}, 422),
        ({"input": [["a"]]}, 422),
        ({"input": [[1, 2, 3]]}, 422),
        ({"input": ["a", {}]}, 422),
        ({"input": ["a", {"text": ["b"]}]}, 422),
        ({"input": {"url": "ftp://h/x"}}, 422),
        ({"input": {"image": 5}}, 422),
        ({"input": {"image": "data:image/png,abc"}}, 422),
        ({"input": {"pdf": "x"}}, 400),
        ({"input": {"image": "aGFsbG8="}}, 400),
        ({"input": ["a", {"image": "http://192.0.2.1/a.png"}]}, 400),
        ({"input": {"bytes": "aGFsbG8="}}, 400),
        ({"input": ["a"] * 1_025}, 400),
        ({"input": "a " * 8_192}, 400),
        ({"input": ["a", "a " * 8_192]}, 400),
        ({"input": ["a " * 5_000] * 2, "late_chunking": True}, 400),
        ({"input": "a", "model": 5}, 422),
        ({"input": "a", "model": ["jina-embeddings-v3"]}, 422),
        ({"input": "a", "model": ""}, 400),
        ({"input": "a", "model": "nothing-v9"}, 400),
        ({"input": "a", "dimensions": 0}, 422),
        ({"input": "a", "dimensions": -1}, 422),
        ({"input": "a", "dimensions": 385}, 422),
        ({"input": "a", "dimensions": 2**80}, 422),
        ({"input": "a", "dimensions": "64"}, 422),
        ({"input": "a", "dimensions": 1.5}, 422),
        ({"input": "a", "dimensions": True}, 422),
        ({"input": "a", "normalized": "perhaps"}, 422),
        ({"input": "a", "normalized": 2}, 422),
        ({"input": "a", "late_chunking": []}, 422),
        ({"input": "a", "truncate": {}}, 422),
        ({"input": "a", "task": 5}, 422),
        ({"input": "a", "embedding_type": 5}, 422),
        ({"input": "a", "embedding_type": "int4"}, 422),
        ({"input": "a", "embedding_type": []}, 422),
        ({"input": "a", "embedding_type": ["float", 5]}, 422),
        ({"input": "a", "encoding_format": "hex"}, 422),
        ({"input": "a", "return_multivector": True}, 400),
    ],
)
async def test_wrong_field_is_refused(fields: dict[str, Any], status: int, api: Asker) -> None:
    if any(isinstance(value, int) and value > 2**64 for value in fields.values()):
        body = b'{"input":"a","dimensions":%d}' % fields["dimensions"]
        assert_refused(await api.post(PATH, body), status)
    else:
        assert_refused(await api.post(PATH, fields), status)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"5",
        b'"a"',
        b'["a"]',
        b"{",
        b'{"input": NaN}',
        b'{"input": "a", "dimensions": NaN}',
        b'{"input": "a", "dimensions": Infinity}',
        b'{"input": "\\ud800"}',
        b'{"input": ["ok", "\\udc00x"]}',
        b'{"input": "\xff\xfe"}',
        b'{"input": "a" "b"}',
        b'{"input": ' + b"[" * 5_000,
        b'{"input": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"dimensions": 1e999, "input": "a"}',
    ],
)
async def test_body_that_is_no_object_of_json_is_refused(body: bytes, api: Asker) -> None:
    assert_refused(await api.post(PATH, body), 422)


async def test_unknown_model_is_told_the_known_ones(api: Asker) -> None:
    answer = await api.post(PATH, {"input": "a", "model": "text-embedding-9"})
    assert_refused(answer, 400)
    assert "jina-embeddings-v3" in answer.json["detail"]
    assert answer.json["code"] == "INPUT_MODEL_NOT_FOUND"


async def test_model_that_cannot_be_loaded_is_503_and_void(api: Asker) -> None:
    answer = await api.post(PATH, {"input": "a", "model": "broken"})
    assert (answer.status, answer.void) == (503, True)
    assert int(answer.headers["Retry-After"]) >= 1
    assert "broken" in answer.json["detail"]


async def test_body_beyond_the_cap_is_refused(api: Asker) -> None:
    body = b'{"input": "' + b"a" * (64 * 1024 * 1024 + 1) + b'"}'
    assert_refused(await api.post(PATH, body), 413)


@pytest.mark.parametrize("letter", ["x", " ", "\u0301", "\0"])
async def test_huge_text_of_hardly_any_tokens_is_not_even_counted(letter: str, api: Asker) -> None:
    assert_refused(await api.post(PATH, {"input": letter * 5_000_000}), 400)
    cut = await api.post(PATH, {"input": letter * 5_000_000, "truncate": True})
    assert cut.status == 200
    assert cut.tokens < 100


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_other_methods_are_refused(method: str, api: Asker) -> None:
    answer = await api.raw(method, PATH, signed_headers(method, PATH))
    assert_refused(answer, 405)
    assert answer.headers["Allow"] == "POST"


async def test_other_paths_are_refused(api: Asker) -> None:
    assert_refused(await api.post("/v1/embedding", {"input": "a"}), 404)
