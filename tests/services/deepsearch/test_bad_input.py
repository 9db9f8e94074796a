"""What is refused, in the words of the contract, before a byte of the answer; all of it free."""

from typing import Any

import orjson
import pytest

from tests.services.deepsearch.desk import COMPLETIONS, Desk
from tests.services.deepsearch.standin import Standin

USER = {"role": "user", "content": "Hi"}
SENTENCES: dict[str, tuple[Any, str]] = {
    "no_messages": ({}, "Messages array is required and must not be empty"),
    "empty": ({"messages": []}, "Messages array is required and must not be empty"),
    "null": ({"messages": None}, "Messages array is required and must not be empty"),
    "no_list": ({"messages": "Hi"}, "Messages array is required and must not be empty"),
    "no_object": ([USER], "Messages array is required and must not be empty"),
    "assistant_last": (
        {"messages": [USER, {"role": "assistant", "content": "Hi"}]},
        "Last message must be from user",
    ),
    "blank": ({"messages": [{"role": "user", "content": " "}]}, "Last message must not be empty"),
    "schema_type": (
        {
            "messages": [USER],
            "response_format": {"type": "json_schema", "json_schema": {"type": "objekt"}},
        },
        "Invalid JSON schema: ",
    ),
    "schema_empty": (
        {"messages": [USER], "response_format": {"type": "json_schema", "json_schema": {}}},
        "Invalid JSON schema: ",
    ),
    "schema_outside": (
        {
            "messages": [USER],
            "response_format": {"json_schema": {"$ref": "http://127.0.0.1/schema"}},
        },
        "Invalid JSON schema: ",
    ),
    "schema_pattern": (
        {
            "messages": [USER],
            "response_format": {"json_schema": {"type": "string", "pattern": "("}},
        },
        "Invalid JSON schema: ",
    ),
    "schema_deep": (
        {
            "messages": [USER],
            "response_format": {"json_schema": orjson.loads('{"not":' * 60 + "{}" + "}" * 60)},
        },
        "Invalid JSON schema: ",
    ),
    "question_long": (
        {"messages": [{"role": "user", "content": "a" * 100_001}]},
        "The last message has more than 100,000 characters",
    ),
}
FIELDS: dict[str, Any] = {
    "budget_tokens": -5,
    "max_completion_tokens": "many",
    "max_attempts": 0,
    "team_size": 1_000,
    "max_returned_urls": "one",
    "reasoning_effort": "extreme",
    "stream": "perhaps",
    "no_direct_answer": [1],
    "boost_hostnames": "not a host name",
    "bad_hostnames": [7],
    "only_hostnames": {"a": 1},
    "search_provider": "altavista",
    "search_language_code": "klingon",
    "language_code": 5,
    "response_format": "json",
    "min_annotation_relevance": 3,
}


@pytest.mark.parametrize("name", sorted(SENTENCES))
async def test_bad_conversations_get_the_sentence_of_the_contract(plain: Desk, name: str) -> None:
    body, sentence = SENTENCES[name]
    answer = await plain.post(orjson.dumps(body))
    assert answer.status == 400
    assert answer.void
    assert answer.json["error"].startswith(sentence)


@pytest.mark.parametrize("name", sorted(FIELDS))
async def test_bad_fields_are_named_with_their_place(plain: Desk, name: str) -> None:
    answer = await plain.post({"messages": [USER], name: FIELDS[name]})
    assert answer.status == 400
    assert answer.void
    assert answer.json["error"] == "Invalid request body"
    [detail] = answer.json["details"]
    assert detail["path"] == name
    assert detail["location"] == "body"
    assert detail["msg"]


@pytest.mark.parametrize(
    "message",
    [
        "Hi",
        {"role": "wizard", "content": "Hi"},
        {"content": "Hi"},
        {"role": "user", "content": 5},
        {"role": "user", "content": [5]},
        {"role": "user", "content": [{"type": "video", "url": "data:,"}]},
        {"role": "user", "content": [{"type": ["text"]}]},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a.b/"}}]},
    ],
)
async def test_bad_messages_are_named_with_their_place(plain: Desk, message: Any) -> None:
    answer = await plain.post({"messages": [message]})
    assert answer.status == 400
    assert answer.json["details"][0]["path"].startswith("messages[0]")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"messages": "\xff"}', b"[" * 100_000])
async def test_what_is_no_json_is_400(plain: Desk, body: bytes) -> None:
    answer = await plain.post(body)
    assert answer.status == 400
    assert answer.void


async def test_null_and_unknown_fields_are_nobodys_business(desk: Desk, model: Standin) -> None:
    names = (*FIELDS, "model", "temperature", "tools", "user")
    answer = await desk.post({**dict.fromkeys(names), **desk.ask(), "unheard_of": {"x": 1}})
    assert answer.status == 200
    assert "1788" in answer.text


async def test_whatever_else_is_asked_for_gets_json_too(plain: Desk) -> None:
    for method, path, status in (
        ("GET", COMPLETIONS, 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/models/gpt-0", 404),
    ):
        answer = await plain.send(method, path)
        assert answer.status == status
        assert answer.json["error"]
        assert answer.void
    unknown = (await plain.send("GET", "/v1/models/gpt-0")).json["error"]
    assert unknown == {
        "message": "Model 'gpt-0' not found",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }


async def test_models_are_listed_as_openai_lists_them(plain: Desk) -> None:
    answer = await plain.send("GET", "/v1/models")
    assert answer.json["object"] == "list"
    first = answer.json["data"][0]
    assert first["id"] == "jina-deepsearch-v1"
    assert set(first) == {"id", "object", "created", "owned_by"}
    assert (await plain.send("GET", f"/v1/models/{first['id']}")).json == first
