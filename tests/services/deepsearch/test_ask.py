"""What a request means: presets, what overrides them, and spellings that are taken."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.deepsearch.ask import Ask, read
from services.deepsearch.messages import conversation
from services.deepsearch.refusals import AskError, Refusal

USER = {"role": "user", "content": "Hi"}


def asked(header: str = "", **fields: Any) -> Any:
    return read({"messages": [USER], **fields}, header)


@pytest.mark.parametrize(
    ("fields", "budget", "attempts"),
    [
        ({}, 500_000, 2),
        ({"reasoning_effort": "low"}, 100_000, 1),
        ({"reasoning_effort": "Medium"}, 500_000, 2),
        ({"reasoning_effort": "high"}, 1_000_000, 4),
        ({"reasoning_effort": "high", "max_completion_tokens": 7_000}, 7_000, 1),
        ({"max_completion_tokens": 7_000, "budget_tokens": 9_000}, 9_000, 1),
        ({"budget_tokens": "9000", "max_attempts": 3}, 9_000, 3),
        ({"reasoning_effort": "low", "max_attempts": 5.0}, 100_000, 5),
    ],
)
def test_effort_stands_below_what_is_said_in_numbers(
    fields: dict[str, Any], budget: int, attempts: int
) -> None:
    ask = asked(**fields)
    assert (ask.budget_tokens, ask.max_attempts) == (budget, attempts)


def test_ceiling_of_the_gateway_only_lowers_the_budget() -> None:
    assert asked("300", budget_tokens=9_000).budget_tokens == 300
    assert asked("90000", budget_tokens=9_000).budget_tokens == 9_000
    assert asked("much", budget_tokens=9_000).budget_tokens == 9_000


def test_hostnames_are_taken_as_people_write_them() -> None:
    ask = asked(
        only_hostnames=["https://Example.com/a?b", "*.wiki.org", "münchen.de", "", "example.com"],
        bad_hostnames="a.com, b.com:8080",
    )
    assert ask.only_hostnames == ("example.com", "wiki.org", "xn--mnchen-3ya.de")
    assert ask.bad_hostnames == ("a.com", "b.com")


def test_languages_and_providers_are_taken_in_any_case() -> None:
    ask = asked(language_code="pt_BR", search_language_code="DE", search_provider=" arXiv ")
    assert (ask.language, ask.search_language, ask.provider) == ("pt-br", "de", "arxiv")


def test_model_is_echoed_or_has_a_name() -> None:
    assert asked(model="whatever").model == "whatever"
    for odd in (None, "", 5, "x" * 300):
        assert asked(model=odd).model == "jina-deepsearch-v1"


def test_system_messages_are_joined_and_thoughts_left_out() -> None:
    talk = conversation(
        [
            {"role": "system", "content": "One."},
            {"role": "user", "content": "Q"},
            {"role": "developer", "content": "Two."},
            {"role": "assistant", "content": "<think>a</think>A<think>never closed"},
            {"role": "assistant", "content": None},
            {"role": "user", "content": ["Hel", {"type": "text", "text": "lo"}]},
        ]
    )
    assert talk.question == "Hel\nlo"
    told = [(turn.role, turn.text) for turn in talk.history]
    assert told == [("system", "One.\n\nTwo."), ("user", "Q"), ("assistant", "A")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *("model", "messages", "stream", "reasoning_effort", "budget_tokens", "max_attempts"),
        *("team_size", "max_returned_urls", "boost_hostnames", "search_provider"),
        *("language_code", "response_format", "min_annotation_relevance"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=4), st.text(max_size=5))
def test_whatever_is_sent_is_an_ask_or_a_refusal(fields: dict[str, Any], header: str) -> None:
    for body in (fields, {"messages": [USER], **fields}):
        found = _outcome(body, header)
        if isinstance(found, Refusal):
            assert found.status == 400
            assert found.message
        else:
            assert found.budget_tokens >= 0


def _outcome(body: dict[str, Any], header: str) -> Ask | Refusal:
    try:
        return read(body, header)
    except AskError as fault:
        return fault.refusal
