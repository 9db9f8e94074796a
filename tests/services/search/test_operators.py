"""Operators from parameters, headers and the query text mean the same thing."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.reader.refusals import Refusal
from services.search.index.query import parse
from services.search.operators import NAMES, compose, gather

VALUE = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1, max_size=12)
OPERATORS = st.dictionaries(
    st.sampled_from(NAMES), st.lists(VALUE, min_size=1, max_size=3, unique=True), max_size=4
)


def test_composed_as_the_contract_says() -> None:
    assert compose("q", {}) == "q"
    assert compose("q", {"site": ("a.com",)}) == "q site:a.com"
    assert compose("q", {"site": ("a.com", "b.com")}) == "q site:a.com OR site:b.com"
    both = compose("q", {"site": ("a", "b"), "intitle": ("x y",)})
    assert both == 'q (site:a OR site:b) AND (intitle:"x y")'


def test_headers_and_parameters_are_gathered_together() -> None:
    found = gather(
        {"site": ["https://a.com/", "b.com"], "ext": ".PDF"},
        {"x-site": "c.com, a.com", "x-intitle": "the sluice"},
    )
    assert found == {
        "site": ("a.com", "b.com", "c.com"),
        "ext": ("pdf",),
        "intitle": ("the sluice",),
    }


@given(OPERATORS)
@settings(max_examples=60)
def test_the_index_reads_a_composed_query_as_the_operators_themselves(
    given_: dict[str, list[str]],
) -> None:
    operators = gather(given_, {})
    assert not isinstance(operators, Refusal)
    composed = parse(compose("locks", operators), {})
    direct = parse("locks", operators)
    assert composed.words == direct.words == ("locks",)
    assert {name: set(values) for name, values in composed.operators.items()} == {
        name: set(values) for name, values in direct.operators.items()
    }


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.one_of(st.text(max_size=30), st.lists(st.text(max_size=10)), st.integers(), st.none()),
    )
)
@settings(max_examples=100)
def test_any_value_is_gathered_or_refused_and_never_leaves_its_operator(
    fields: dict[str, Any],
) -> None:
    found = gather(fields, {})
    if isinstance(found, Refusal):
        assert found.status == 400
        assert found.path in NAMES
        return
    for name, values in found.items():
        for value in values:
            assert value
            assert not set(value) & set('"()')
            assert name == "intitle" or " " not in value


@given(st.text(max_size=60))
@settings(max_examples=150)
def test_any_query_is_understood_somehow(query: str) -> None:
    found = parse(query, {})
    assert all(found.words)
    assert all(found.phrases)


def test_query_language() -> None:
    found = parse('lock "upper gate" -weir -"old mill" site:a.com -site:x.a.com', {})
    assert found.words == ("lock",)
    assert found.phrases == (("upper", "gate"),)
    assert found.without == (("weir",), ("old", "mill"))
    assert found.operators == {"site": ("a.com",)}
    assert found.excluded == {"site": ("x.a.com",)}
    assert parse("a1 OR b1", {}).any_word
    assert parse("what is the lock", {}).words == ("lock",)
    assert parse("the who", {}).words == ("the", "who")
    assert parse("filetype:pdf ext:md", {}).operators == {"ext": ("pdf", "md")}
    assert parse("loc:de lang:fr", {}).is_empty
