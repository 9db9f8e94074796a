"""The segmenter over HTTP: the answers of the contract, and every wrong request in its envelope."""

from typing import Any

import pytest

from tests.services.asking import Answer, Asker, signed_headers

PATH = "/v1/segment"
SAMPLE = (
    "\n  Jina AI: Your Search Foundation, Supercharged! 🚀\n  Ihrer Suchgrundlage, aufgeladen! 🚀\n"
    "  您的搜索底座，从此不同！🚀\n  検索ベース,もう二度と同じことはありません！🚀\n"
)


async def test_count_alone_is_three_fields(segmenter: Asker) -> None:
    answer = await segmenter.post(PATH, {"content": SAMPLE})
    assert answer.json == {"num_tokens": 78, "tokenizer": "cl100k_base", "usage": {"tokens": 0}}
    assert answer.tokens == 0


async def test_get_takes_the_same_fields_in_its_query(segmenter: Asker) -> None:
    answer = await segmenter.get(f"{PATH}?content=hello%20world&tokenizer=o200k_base")
    assert answer.json["num_tokens"] == 2
    assert answer.json["tokenizer"] == "o200k_base"
    chunked = await segmenter.get(f"{PATH}?content=a.%0Ab.&return_chunks=true")
    assert chunked.json["chunks"] == ["a.\n", "b."]


async def test_sample_of_the_contract_in_full(segmenter: Asker) -> None:
    wanted = {"content": SAMPLE, "return_tokens": True, "return_chunks": True}
    answer = (await segmenter.post(PATH, wanted)).json
    assert list(answer) == [
        "num_tokens", "tokenizer", "usage", "num_chunks", "chunk_positions", "tokens", "chunks",
    ]  # fmt: skip
    assert answer["num_tokens"] == 78
    assert answer["num_chunks"] == 4
    assert answer["chunk_positions"][0][0] == 3
    assert answer["chunks"] == [SAMPLE[a:b] for a, b in answer["chunk_positions"]]
    assert answer["tokens"][0][:2] == [["J", [41]], ["ina", [2259]]]
    assert ["底", [11795, 243]] in answer["tokens"][2]
    joined = ["".join(text for text, _ in piece) for piece in answer["tokens"]]
    assert joined == answer["chunks"]


async def test_tokens_without_chunks_are_one_list(segmenter: Asker) -> None:
    answer = (await segmenter.post(PATH, {"content": "hello 底", "return_tokens": True})).json
    assert answer["tokens"] == [[["hello", [15339]], [" 底", [96622, 243]]]]
    assert "chunks" not in answer


async def test_head_and_tail_are_the_first_and_last_tokens(segmenter: Asker) -> None:
    content = "one two three four five."
    head = (await segmenter.post(PATH, {"content": content, "head": 2})).json
    assert head["num_tokens"] == 2
    assert [text for text, _ in head["tokens"][0]] == ["one", " two"]
    wanted = {"content": content, "tail": 2, "return_chunks": True}
    tail = (await segmenter.post(PATH, wanted)).json
    assert tail["num_tokens"] == 2
    assert tail["chunks"] == ["five."]
    [[start, end]] = tail["chunk_positions"]
    assert content[start:end] == "five."


async def test_head_beyond_the_content_is_all_of_it(segmenter: Asker) -> None:
    answer = (await segmenter.post(PATH, {"content": "one two", "head": 99})).json
    assert answer["num_tokens"] == 2


async def test_max_chunk_length_caps_every_chunk(segmenter: Asker) -> None:
    wanted = {"content": "word " * 500, "return_chunks": True, "max_chunk_length": 50}
    answer = (await segmenter.post(PATH, wanted)).json
    assert max(len(chunk) for chunk in answer["chunks"]) <= 50
    assert "".join(answer["chunks"]) == "word " * 500


async def test_null_and_unknown_fields_are_absent(segmenter: Asker) -> None:
    wanted = {"content": "a b", "tokenizer": None, "head": None, "max_chunk_length": None, "x": 1}
    assert (await segmenter.post(PATH, wanted)).json["num_tokens"] == 2


async def test_largest_content_is_taken_and_answered(segmenter: Asker) -> None:
    wanted = {"content": "🚀é " * 21_845, "return_tokens": True, "return_chunks": True}
    answer = await segmenter.post(PATH, wanted)
    assert answer.status == 200
    assert "".join(answer.json["chunks"]) == wanted["content"]


async def test_empty_content_has_no_tokens(segmenter: Asker) -> None:
    answer = (await segmenter.post(PATH, {"content": "", "return_chunks": True})).json
    assert (answer["num_tokens"], answer["num_chunks"], answer["chunks"]) == (0, 0, [])


def assert_envelope(answer: Answer, status: int) -> None:
    """The superset envelope that every client of api. can read."""
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json
    assert set(body) == {"detail", "code", "request_id", "message", "error"}
    assert set(body["error"]) == {"message", "type", "code", "param"}
    assert isinstance(body["detail"], list if status == 422 else str)
    assert body["request_id"]
    assert answer.void


@pytest.mark.parametrize(
    ("fields", "status", "where"),
    [
        ({}, 422, "content"),
        ({"content": None}, 422, "content"),
        ({"content": 5}, 422, "content"),
        ({"content": ["a"]}, 422, "content"),
        ({"content": {"text": "a"}}, 422, "content"),
        ({"content": "a" * 65_537}, 400, "content"),
        ({"content": "a", "tokenizer": 5}, 422, "tokenizer"),
        ({"content": "a", "tokenizer": "gpt2"}, 400, "tokenizer"),
        ({"content": "a", "tokenizer": "p50k_base"}, 400, "tokenizer"),
        ({"content": "a", "tokenizer": "../etc"}, 400, "tokenizer"),
        ({"content": "a", "return_tokens": "perhaps"}, 422, "return_tokens"),
        ({"content": "a", "return_chunks": 2}, 422, "return_chunks"),
        ({"content": "a", "return_chunks": [True]}, 422, "return_chunks"),
        ({"content": "a", "max_chunk_length": 0}, 422, "max_chunk_length"),
        ({"content": "a", "max_chunk_length": -5}, 422, "max_chunk_length"),
        ({"content": "a", "max_chunk_length": "long"}, 422, "max_chunk_length"),
        ({"content": "a", "max_chunk_length": 1.5}, 422, "max_chunk_length"),
        ({"content": "a", "max_chunk_length": True}, 422, "max_chunk_length"),
        ({"content": "a", "max_chunk_length": 10**30}, 422, "max_chunk_length"),
        ({"content": "a", "head": 0}, 422, "head"),
        ({"content": "a", "tail": -1}, 422, "tail"),
        ({"content": "a", "head": 1, "tail": 1}, 422, "tail"),
    ],
)
async def test_wrong_fields_are_named_in_the_envelope(
    segmenter: Asker, fields: dict[str, Any], status: int, where: str
) -> None:
    body = str(fields).encode() if 10**30 in fields.values() else None
    text = b'{"content": "a", "max_chunk_length": 1' + b"0" * 30 + b"}" if body else None
    answer = await segmenter.post(PATH, text or fields)
    assert_envelope(answer, status)
    if not text:
        assert answer.json["error"]["param"] == where


@pytest.mark.parametrize("name", ["gpt2", "nonsense"])
async def test_other_tokenizer_is_400_that_lists_the_available(segmenter: Asker, name: str) -> None:
    answer = await segmenter.post(PATH, {"content": "a", "tokenizer": name})
    assert "cl100k_base, o200k_base" in answer.json["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"a"',
        b"\xff",
        b'{"content": "\\ud800"}',
        b'{"content": NaN}',
        b"[" * 9999,
    ],
)
async def test_bodies_that_are_no_object_are_422(segmenter: Asker, body: bytes) -> None:
    assert_envelope(await segmenter.post(PATH, body), 422)


async def test_other_paths_and_methods_are_refused(segmenter: Asker) -> None:
    assert_envelope(await segmenter.get("/v1/segments"), 404)
    answer = await segmenter.raw("DELETE", PATH, signed_headers("DELETE", PATH))
    assert_envelope(answer, 405)
    assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_root_of_the_segmenter_host_is_the_same_door(segmenter: Asker) -> None:
    assert (await segmenter.post("/", {"content": "a b"})).json["num_tokens"] == 2
