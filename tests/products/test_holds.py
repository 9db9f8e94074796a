"""A hold bounds what a request may cost, or is what such requests cost lately."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.errors import Problem
from gateway.products.builtin import load_catalogue
from gateway.products.estimator import FLOOR_TOKENS, UNLEARNED_TOKENS, HoldEstimator
from gateway.products.holds import (
    MAX_HOLD_TOKENS,
    MAX_ITERATIONS,
    Bound,
    bound_of,
    wanted_fields,
)
from gateway.tokenizer import Tokenizer
from services.deepsearch import ask as asking
from services.deepsearch.refusals import AskError

PRODUCTS = load_catalogue(None).products
TOKENIZER = Tokenizer()


def hold(
    name: str,
    body_bytes: int = 0,
    fields: dict[str, object] | None = None,
    headers: dict[str, str] | None = None,
    path: str = "/",
    learned: HoldEstimator | None = None,
) -> int | Problem:
    found = bound(name, body_bytes, fields, headers, path, learned)
    return found.hold_tokens if isinstance(found, Bound) else found


def bound(
    name: str,
    body_bytes: int = 0,
    fields: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    path: str = "/",
    learned: HoldEstimator | None = None,
) -> Bound | Problem:
    learned = HoldEstimator() if learned is None else learned
    lower = CIMultiDict(headers or {})
    return bound_of(PRODUCTS[name], body_bytes, fields or {}, lower, path, learned)


@given(text=st.text(max_size=200))
def test_body_bytes_bound_its_tokens(text: str) -> None:
    body = text.encode("utf-8", "replace")
    for name in ("embeddings", "rerank", "classify_few_shot", "classify_zero_shot"):
        assert hold(name, len(body)) == len(body) >= TOKENIZER.count(body.decode())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 1000),
        ({"num_iters": None}, 1000),
        ({"num_iters": 1}, 100),
        ({"num_iters": 7}, 700),
        ({"num_iters": 7.0}, 700),
        ({"num_iters": MAX_ITERATIONS}, 100_000_000),
    ],
)
def test_train_holds_the_body_for_each_iteration(fields: dict[str, object], expected: int) -> None:
    assert hold("train", 100, fields) == expected


@pytest.mark.parametrize("bad", [0, -1, True, "10", 1.5, 1e300, MAX_ITERATIONS + 1, [], {}])
def test_train_with_an_absurd_number_of_iterations_is_refused(bad: object) -> None:
    problem = hold("train", 100, {"num_iters": bad})
    assert isinstance(problem, Problem)
    assert (problem.status, problem.fields["field"]) == (400, "num_iters")


@given(body_bytes=st.integers(0, 2**40), iterations=st.integers(1, MAX_ITERATIONS))
def test_train_hold_is_the_product_or_a_refusal_never_an_overflow(
    body_bytes: int, iterations: int
) -> None:
    found = hold("train", body_bytes, {"num_iters": iterations})
    if isinstance(found, Problem):
        assert (found.status, body_bytes * iterations > MAX_HOLD_TOKENS) == (400, True)
    else:
        assert found == body_bytes * iterations


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/hello", 10_000),
        ("/hello?num=10", 10_000),
        ("/hello?num=11", 20_000),
        ("/?q=x&count=20", 20_000),
        ("/?q=num=99", 10_000),
        ("/hello?num=0", 10_000),
        ("/hello?num=9999", 2_000_000),
        ("/hello?num=99999999", 10_000),
        ("/hello?num=-5", 10_000),
        ("/hello?xnum=50", 10_000),
    ],
)
def test_search_holds_its_price_for_the_results_asked(path: str, expected: int) -> None:
    assert hold("search", path=path) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-token-budget": "5000"}, 5000),
        ({"x-max-tokens": "700"}, 700),
        ({"x-max-tokens": "5"}, 500),
        ({"x-token-budget": "600", "x-max-tokens": "900"}, 600),
        ({"x-token-budget": "99999999999"}, 2_000_000),
        ({"x-token-budget": "0"}, UNLEARNED_TOKENS),
        ({"x-token-budget": ""}, UNLEARNED_TOKENS),
        ({"x-token-budget": "-3"}, UNLEARNED_TOKENS),
        ({"x-token-budget": "many"}, UNLEARNED_TOKENS),
        ({"x-token-budget": "9" * 5000}, UNLEARNED_TOKENS),
        ({"x-token-budget": "٣"}, UNLEARNED_TOKENS),
        ({}, UNLEARNED_TOKENS),
    ],
)
def test_reader_holds_the_clients_budget_else_what_was_learned(
    headers: dict[str, str], expected: int
) -> None:
    assert hold("reader", headers=headers) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 500_000),
        ({"budget_tokens": 1000}, 1000),
        ({"max_completion_tokens": 2000}, 2000),
        ({"budget_tokens": 1000, "max_completion_tokens": 5}, 1000),
        ({"budget_tokens": 0}, 500_000),
        ({"budget_tokens": -1}, 500_000),
        ({"budget_tokens": True}, 500_000),
        ({"budget_tokens": "1000"}, 1000),
        ({"budget_tokens": "many"}, 500_000),
        ({"reasoning_effort": " HIGH "}, 1_000_000),
        ({"budget_tokens": None, "max_completion_tokens": 9}, 9),
        ({"budget_tokens": 10**30}, MAX_HOLD_TOKENS),
        ({"reasoning_effort": "low"}, 100_000),
        ({"reasoning_effort": "medium"}, 500_000),
        ({"reasoning_effort": "high"}, 1_000_000),
        ({"reasoning_effort": "none"}, 500_000),
        ({"reasoning_effort": 3}, 500_000),
        ({"reasoning_effort": "low", "stream": False}, 100_000),
        ({"reasoning_effort": "low", "stream": "true"}, 100_000),
    ],
)
def test_a_whole_deepsearch_holds_its_whole_budget(
    fields: dict[str, object], expected: int
) -> None:
    found = bound("deepsearch", 10_000, fields)
    assert isinstance(found, Bound)
    assert (found.hold_tokens, found.in_blocks) == (expected, False)


@pytest.mark.parametrize(
    ("fields", "expected", "in_blocks"),
    [
        ({}, 50_000, True),
        ({"reasoning_effort": "high"}, 50_000, True),
        ({"budget_tokens": 200_000}, 200_000, False),
        ({"max_completion_tokens": 1_000}, 1_000, False),
    ],
)
def test_a_streamed_deepsearch_holds_its_budget_else_one_block(
    fields: dict[str, object], expected: int, in_blocks: bool
) -> None:
    found = bound("deepsearch", 10_000, {"stream": True, **fields})
    assert isinstance(found, Bound)
    assert (found.hold_tokens, found.in_blocks) == (expected, in_blocks)


BUDGETS = st.one_of(
    st.none(),
    st.integers(-5, 3_000_000),
    st.integers(1, 3_000_000).map(str),
    st.sampled_from(["", " 70000 ", "x", 2e6, True, [5]]),
)


@settings(max_examples=300)
@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "budget_tokens": BUDGETS,
            "max_completion_tokens": BUDGETS,
            "reasoning_effort": st.sampled_from(["low", "medium", "high", " High", "x", None, 7]),
            "stream": st.sampled_from([True, False, None, "true", "false", 1, 0]),
        },
    )
)
def test_a_deepsearch_that_is_not_in_blocks_holds_what_its_service_may_use(
    fields: dict[str, object],
) -> None:
    try:
        ask = asking.read({**fields, "messages": [{"role": "user", "content": "x"}]})
    except AskError:
        return
    found = bound("deepsearch", 100, fields)
    assert isinstance(found, Bound)
    if found.in_blocks:
        assert ask.stream
        assert (found.hold_tokens, found.class_bytes) == (50_000, ask.budget_tokens)
    else:
        assert found.hold_tokens == ask.budget_tokens


@given(body_bytes=st.integers(0, 2**30))
def test_segment_holds_nothing(body_bytes: int) -> None:
    assert hold("segment", body_bytes) == 0


def test_only_train_deepsearch_and_search_need_a_look_into_the_body() -> None:
    wanting = {name for name, product in PRODUCTS.items() if wanted_fields(product)}
    assert wanting == {"train", "deepsearch", "search"}


def test_estimate_covers_ninety_nine_of_a_hundred_and_not_much_more() -> None:
    learned = HoldEstimator()
    for number in range(1000):
        learned.observe("reader", 0, 20_000 if number % 10 == 0 else 3_000)
    assert 20_000 <= learned.estimate("reader", 0) <= 25_000


def test_estimate_never_falls_below_the_floor_and_starts_unlearned() -> None:
    learned = HoldEstimator()
    assert learned.estimate("reader", 0) == UNLEARNED_TOKENS
    for _ in range(100):
        learned.observe("reader", 0, 1)
    assert learned.estimate("reader", 0) == FLOOR_TOKENS
    assert learned.estimate("reader", 10**6) == UNLEARNED_TOKENS, "another size class"


def test_a_price_that_is_always_the_same_is_learned_exactly() -> None:
    learned = HoldEstimator()
    for _ in range(5_000):
        learned.observe("search", 5 << 10, 10_000)
    # A balance of one search more has to be good for it.
    assert learned.estimate("search", 5 << 10) == 10_000
    assert learned.middle("search", 5 << 10) == 10_000


def test_estimate_forgets_old_answers() -> None:
    learned = HoldEstimator()
    for _ in range(2_000):
        learned.observe("reader", 0, 500_000)
    for _ in range(20_000):
        learned.observe("reader", 0, 2_000)
    assert learned.estimate("reader", 0) < 5_000


@settings(max_examples=30)
@given(
    sizes=st.lists(
        st.tuples(st.integers(-5, 2**62), st.integers(0, 2**62)), min_size=1, max_size=200
    )
)
def test_estimator_stays_bounded_and_never_raises(sizes: list[tuple[int, int]]) -> None:
    learned = HoldEstimator()
    for body_bytes, tokens in sizes:
        learned.observe("reader", body_bytes, tokens)
        assert learned.estimate("reader", body_bytes) >= FLOOR_TOKENS
    assert len(learned._histograms) <= 16
