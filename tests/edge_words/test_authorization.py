"""The key is taken from the header as each host's clients send it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.authorization import extract_key
from gateway.errors import Problem
from gateway.products.product import Family


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ("", None),
        ("   ", None),
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER   abc ", "abc"),
    ],
)
def test_bearer_key_is_taken_on_every_host(
    family: Family, header: str | None, key: str | None
) -> None:
    assert extract_key(header, family) == key


@pytest.mark.parametrize(
    ("header", "key"), [("abc", "abc"), ("Token abc", "abc"), ("Bearer", None), ("Bearer ", None)]
)
def test_reader_and_search_take_a_bare_key_and_an_empty_bearer_as_none(
    header: str, key: str | None
) -> None:
    assert extract_key(header, Family.READER) == key


@pytest.mark.parametrize("family", [Family.API, Family.DEEPSEARCH])
@pytest.mark.parametrize("header", ["abc", "Token abc", "Bearer", "Bearer a b", "Basic YTpi"])
def test_api_and_deepsearch_demand_bearer(family: Family, header: str) -> None:
    problem = extract_key(header, family)
    assert isinstance(problem, Problem)
    assert (problem.status, problem.code) == (401, "AUTH_INVALID_FORMAT")


@pytest.mark.parametrize("header", ["Bearer a b", "a b c"])
def test_reader_refuses_more_words_than_a_key_has(header: str) -> None:
    assert isinstance(extract_key(header, Family.READER), Problem)


@given(header=st.text(max_size=50), family=st.sampled_from(Family))
def test_any_header_gives_a_word_none_or_a_401(header: str, family: Family) -> None:
    found = extract_key(header, family)
    if isinstance(found, Problem):
        assert found.status == 401
        assert header.strip() not in found.detail or len(header.strip()) < 8
    elif found is not None:
        assert found.split() == [found]
