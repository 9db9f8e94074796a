"""What is held for a search covers the fixed part of what the service charges for it."""

from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.errors import Problem
from gateway.products.builtin import load_catalogue
from gateway.products.estimator import HoldEstimator
from gateway.products.holds import Bound, bound_of
from gateway.products.searches import SEARCH_FIELDS, form_fields, multipart_fields
from services.reader import inputs
from services.reader.refusals import Refusal
from services.search import ask as asking
from services.search.charge import BING_SCALER, MEDIA_SCALER, charge
from services.search.hits import Kind

SEARCH = load_catalogue(None).products["search"]
FORM = "application/x-www-form-urlencoded"
NUMBERS = st.one_of(
    st.none(),
    st.integers(-2, 25),
    st.sampled_from(["", "0", "5", "11", " 20", "20", "020", "x", "99999999", "000000020"]),
    st.lists(st.integers(1, 20), max_size=2),
)
KINDS = st.sampled_from([None, "", "web", "images", "news", "IMAGES", " news ", ["news"], 7])
PROVIDERS = st.sampled_from([None, "", "bing", "Bing", "google", "local", ["bing"]])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "num": NUMBERS,
        "count": NUMBERS,
        "type": KINDS,
        "provider": PROVIDERS,
        "engine": PROVIDERS,
    },
)


def held(
    fields: dict[str, object] | None = None,
    headers: dict[str, str] | None = None,
    path: str = "/",
    learned: HoldEstimator | None = None,
) -> Bound:
    found = bound_of(
        SEARCH, 0, fields or {}, CIMultiDict(headers or {}), path, learned or HoldEstimator()
    )
    assert not isinstance(found, Problem)
    return found


def scaler(ask: asking.Ask) -> int:
    """The dearest that this search may have: Bing's price needs Bing's hits."""
    question = ask.question
    if question.kind is not Kind.WEB:
        return MEDIA_SCALER
    return BING_SCALER if question.engine == "bing" else 1


def fixed_part(fields: dict[str, object]) -> int | None:
    """What the service charges for as many empty hits as were asked for; None: it refuses."""
    ask = asking.read("q", {}, fields)
    if isinstance(ask, Refusal):
        return None
    return charge([0] * ask.question.count, scaler(ask)).tokens


@settings(max_examples=300, deadline=None)
@given(query=FIELDS, body=FIELDS)
def test_the_hold_covers_the_fixed_part_however_it_is_asked_for(
    query: dict[str, object], body: dict[str, object]
) -> None:
    """Query and body, JSON and form: of both together, as the service reads them."""
    path = "/?" + urlencode([(n, v) for n, v in query.items() if isinstance(v, str | int)])
    in_query = {n: str(v) for n, v in query.items() if isinstance(v, str | int)}
    json_body = {**in_query, **orjson.loads(orjson.dumps(body))}
    wanted = fixed_part(json_body)
    if wanted is not None:
        assert held(body, path=path).hold_tokens >= wanted
        assert held(body, path=path).least_tokens >= wanted
    form = urlencode(
        [(n, each) for n, v in body.items() for each in (v if isinstance(v, list) else [v])]
    ).encode()
    given_form = inputs.fields(FORM, form)
    assert not isinstance(given_form, Refusal)
    wanted = fixed_part({**in_query, **given_form})
    if wanted is not None:
        assert held(form_fields(form), path=path).hold_tokens >= wanted


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 10_000),
        ({"num": 10}, 10_000),
        ({"num": 11}, 20_000),
        ({"count": "20"}, 20_000),
        ({"num": 5, "type": "images"}, 50_000),
        ({"num": 20, "type": "news"}, 100_000),
        ({"provider": "bing", "num": 20}, 60_000),
        ({"type": "web"}, 10_000),
        ({"num": None, "type": None}, 10_000),
        ({"num": 10**30}, 10_000),
    ],
)
def test_a_usual_search_holds_no_more_than_its_fixed_part(
    fields: dict[str, object], expected: int
) -> None:
    assert held(fields).hold_tokens == expected


def test_a_form_in_parts_holds_for_the_dearest_word_in_it() -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    web = part % (b"q", b"cats") + b"--x--"
    assert held(multipart_fields(web)).hold_tokens == 20_000
    news = part % (b"type", b"News") + part % (b"num", b"20") + b"--x--"
    assert held(multipart_fields(news)).hold_tokens == 100_000


def test_content_is_held_as_it_was_learned_or_as_it_is_capped() -> None:
    learned = HoldEstimator()
    for _ in range(200):
        learned.observe("search", held().class_bytes or 0, 90_000)
    found = held(learned=learned)
    assert 90_000 <= found.hold_tokens <= 115_000
    assert not found.is_sure
    without = held(headers={"X-Respond-With": "no-content"}, learned=learned)
    assert (without.hold_tokens, without.is_sure) == (10_000, True)
    trimmed = held(headers={"X-Max-Tokens": "2000"}, learned=learned)
    assert (trimmed.hold_tokens, trimmed.is_sure) == (20_000, True)
    assert held({"num": 20, "type": "images"}, learned=learned).hold_tokens == 100_000


def test_every_field_that_is_read_is_looked_for() -> None:
    assert {"num", "count", "type", "provider", "engine"} <= SEARCH_FIELDS


@settings(max_examples=50)
@given(body=st.binary(max_size=200), query=st.text(max_size=60))
def test_no_form_and_no_query_makes_it_fail(body: bytes, query: str) -> None:
    assert held(form_fields(body), path="/?" + query).hold_tokens >= 10_000
    assert held(multipart_fields(body), path="/?" + query).hold_tokens >= 10_000
