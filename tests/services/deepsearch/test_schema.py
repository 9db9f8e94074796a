"""Answers in JSON: valid by the client's schema, or an error that costs nothing."""

import time
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from services.deepsearch import checking
from services.deepsearch.fitting import fitted
from services.deepsearch.research.mind import Draft, Evidence
from tests.services.deepsearch import standin as standins
from tests.services.deepsearch.desk import Desk
from tests.services.deepsearch.standin import Standin

YEAR: dict[str, Any] = {
    "type": "object",
    "properties": {"year": {"type": "integer"}, "place": {"type": "string"}},
    "required": ["year"],
    "additionalProperties": False,
}
RIGHT = {"value": {"year": 1788, "place": "Fallenmoor"}, "sources": [1]}


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": schema}


async def test_both_shapes_of_a_schema_give_json_that_is_valid(desk: Desk, model: Standin) -> None:
    model.answers[standins.FIELDS] = RIGHT
    for shape in (YEAR, {"name": "year", "strict": True, "schema": YEAR}):
        heard = await desk.hear(desk.ask(response_format=_format(shape)))
        delta = heard.last["choices"][0]["delta"]
        assert delta["type"] == "json"
        assert delta["content"] == '{"year":1788,"place":"Fallenmoor"}'
        assert delta["annotations"][0]["url_citation"]["url"].startswith("http")
        assert heard.reasons[-1] == "stop"


async def test_json_that_is_not_valid_is_asked_for_again_with_the_reason(
    desk: Desk, model: Standin
) -> None:
    wrong = {"value": {"year": "long ago"}, "sources": [1]}
    model.answers[standins.FIELDS] = wrong
    model.answers["Your last reply was not valid: year: 'long ago' is not of type"] = RIGHT
    model.answers = dict(reversed(model.answers.items()))
    answer = await desk.post(desk.ask(response_format=_format(YEAR)))
    assert answer.json["choices"][0]["message"]["content"] == '{"year":1788,"place":"Fallenmoor"}'


async def test_answer_that_never_becomes_valid_is_an_error_that_costs_nothing(
    desk: Desk, model: Standin
) -> None:
    model.answers[standins.FIELDS] = "I would rather talk about it."
    answer = await desk.post(desk.ask(response_format=_format(YEAR), max_attempts=1))
    assert answer.void
    [choice] = answer.json["choices"]
    assert choice["finish_reason"] == "error"
    assert "valid by the schema" in choice["message"]["content"]


async def test_plain_text_formats_are_no_schema(desk: Desk) -> None:
    answer = await desk.post(desk.ask(response_format={"type": "text"}))
    assert answer.json["choices"][0]["message"]["type"] == "text"


async def test_pattern_and_references_that_take_for_ever_are_given_up() -> None:
    begun_s = time.monotonic()
    evil = {"type": "string", "pattern": "^(a+)+$"}
    assert "too long" in str(await checking.why_not(evil, "a" * 64 + "!"))
    assert time.monotonic() - begun_s < checking.WITHIN_S + 30
    assert await checking.why_not({"type": "integer"}, 5) is None
    assert "not of type" in str(await checking.why_not({"type": "integer"}, "5"))
    assert await checking.why_not({"$ref": "http://127.0.0.1/x"}, 5) is not None


async def test_without_a_model_found_words_fill_the_fields(plain: Desk) -> None:
    schema = {
        "type": "object",
        "properties": {
            "answer": {"type": "string", "maxLength": 2_000},
            "year": {"type": "integer"},
            "material": {"enum": ["stone", "oak", None]},
            "sources": {"type": "array", "items": {"$ref": "#/$defs/source"}},
        },
        "required": ["answer", "sources"],
        "$defs": {
            "source": {
                "type": "object",
                "properties": {"title": {"type": "string"}, "url": {"format": "uri"}},
                "required": ["url"],
            }
        },
    }
    answer = await plain.post(plain.ask(response_format=_format(schema)))
    [choice] = answer.json["choices"]
    assert choice["finish_reason"] == "stop"
    found = orjson.loads(choice["message"]["content"])
    assert checking.mistake(schema, found) is None
    assert "1788" in found["answer"]
    assert found["year"] == 1788
    assert found["sources"][0]["url"].startswith("http")


def test_schema_that_refers_to_itself_many_times_is_given_up_soon() -> None:
    many = {name: {"$ref": "#"} for name in "abcdefgh"}
    begun_s = time.process_time()
    fitted({"type": "object", "properties": many}, Draft("yes"))
    assert time.process_time() - begun_s < 10


NODES = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer"},
            {"type": ["null", "number"]},
            {"type": "boolean"},
            {"enum": ["a", 1, None]},
            {"const": 5},
            {"$ref": "#"},
            {"$ref": "#/nowhere"},
            {"type": "string", "format": "uri"},
            True,
            {},
        ]
    ),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["a", "url", "quote"]), inner, max_size=3).map(
            lambda properties: {"type": "object", "properties": properties}
        ),
        inner.map(lambda items: {"type": "array", "items": items}),
        st.lists(inner, max_size=3).map(lambda nodes: {"anyOf": nodes}),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(NODES, st.text(max_size=30))
def test_any_schema_is_filled_or_not_but_never_breaks(schema: Any, answer: str) -> None:
    source = Evidence("https://a.test/", "A", "a quote")
    if isinstance(schema, dict):
        fitted(schema, Draft(answer, (source,), short=answer[:5]))
