"""Every price is the service's report inside the product's bounds; 0 and None are two things."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.products.builtin import load_catalogue
from gateway.products.counting import Price, Reported, own_count, price
from gateway.products.estimator import HoldEstimator
from gateway.products.holds import Bound, bound_of
from gateway.tokenizer import Tokenizer
from gateway.units import MAX_TOKENS

PRODUCTS = load_catalogue(None).products
TOKENIZER = Tokenizer()
TOKENS = st.integers(0, MAX_TOKENS)
INPUT_COUNTS = ("embeddings", "rerank", "train", "classify_few_shot", "classify_zero_shot")


@pytest.mark.parametrize(
    ("product", "reported", "own", "expected"),
    [
        ("embeddings", 15, None, Price(15, "reported")),
        ("embeddings", 0, 99, Price(0, "reported")),
        ("embeddings", None, 12, Price(12, "own_count")),
        ("embeddings", None, None, Price(0, "unreported")),
        ("reader", 1234, None, Price(1234, "reported")),
        ("reader", None, 500, Price(0, "unreported")),
        ("reader", 3_000_000, None, Price(2_000_000, "maximum")),
        ("search", 7, None, Price(10_000, "minimum")),
        ("search", 10_000, None, Price(10_000, "reported")),
        ("search", 20_001, None, Price(20_001, "reported")),
        ("search", 0, None, Price(0, "reported")),
        ("search", None, None, Price(0, "unreported")),
        ("deepsearch", 196_526, None, Price(196_526, "reported")),
        ("deepsearch", None, 5, Price(0, "unreported")),
        ("train", 120_440, None, Price(120_440, "reported")),
        ("segment", 78, 78, Price(0, "free")),
        ("segment", None, None, Price(0, "free")),
    ],
)
def test_price_follows_the_products_rule(
    product: str, reported: int | None, own: int | None, expected: Price
) -> None:
    assert price(PRODUCTS[product], Reported(reported), own) == expected


@pytest.mark.parametrize("name", PRODUCTS)
@given(tokens=TOKENS | st.none(), own=TOKENS | st.none())
def test_void_costs_nothing_whatever_was_reported(
    name: str, tokens: int | None, own: int | None
) -> None:
    assert price(PRODUCTS[name], Reported(tokens, "void"), own) == Price(0, "void")


@pytest.mark.parametrize("name", PRODUCTS)
@given(tokens=TOKENS, own=TOKENS | st.none())
def test_report_wins_over_own_count_and_stays_in_bounds(
    name: str, tokens: int, own: int | None
) -> None:
    product = PRODUCTS[name]
    found = price(product, Reported(tokens), own)
    assert found == price(product, Reported(tokens), None)
    assert 0 <= found.tokens <= (product.maximum_tokens or MAX_TOKENS)
    if name == "segment" or tokens == 0:
        assert found.tokens == 0
    else:
        expected = max(tokens, product.minimum_tokens)
        assert found.tokens == min(expected, product.maximum_tokens or MAX_TOKENS)


@pytest.mark.parametrize("name", PRODUCTS)
@given(low=TOKENS, more=st.integers(0, 10**6))
def test_price_never_falls_when_more_is_reported(name: str, low: int, more: int) -> None:
    product = PRODUCTS[name]
    assert price(product, Reported(low)).tokens <= price(product, Reported(low + more)).tokens


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("product", "document", "expected"),
    [
        ("embeddings", {"input": "a b c"}, 3),
        ("embeddings", {"input": ["a b", {"text": "c"}, {"image": "x y z"}, 5]}, 3),
        ("embeddings", {"input": {"text": "a b"}}, 2),
        ("embeddings", {"model": "a b"}, 0),
        ("rerank", {"query": "a b", "documents": ["c", {"text": "d e"}]}, 5),
        ("train", {"input": [{"text": "a b", "label": "x"}], "num_iters": 3}, 6),
        ("train", {"input": [{"text": "a b", "label": "x"}]}, 20),
        ("classify_few_shot", {"classifier_id": "x", "input": ["a b"], "labels": ["c"]}, 2),
        ("classify_zero_shot", {"input": ["a b"], "labels": ["c", "d e", "c"]}, 5),
        ("classify_zero_shot", {"input": ["a"], "labels": {"g": ["c"], "h": ["d", "c"]}}, 3),
        ("reader", {"url": "a b"}, None),
        ("embeddings", ["a"], None),
    ],
)
def test_own_count_counts_the_texts_of_the_input(
    product: str, document: object, expected: int | None
) -> None:
    body = json.dumps(document).encode()
    assert own_count(PRODUCTS[product], body, words) == expected


@pytest.mark.parametrize("name", INPUT_COUNTS)
@given(body=st.binary(max_size=60))
def test_own_count_of_anything_is_none_or_a_number(name: str, body: bytes) -> None:
    found = own_count(PRODUCTS[name], body, words)
    assert found is None or found >= 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("name", INPUT_COUNTS)
@given(
    document=st.dictionaries(
        st.sampled_from(["input", "query", "documents", "labels", "num_iters"]), JSON
    )
)
def test_own_count_survives_any_shape(name: str, document: object) -> None:
    found = own_count(PRODUCTS[name], json.dumps(document).encode(), words)
    assert found is None or found >= 0


@given(
    texts=st.lists(st.text(max_size=40), max_size=5),
    labels=st.lists(st.text(max_size=10), max_size=4),
    iterations=st.one_of(st.none(), st.integers(1, 50)),
    product=st.sampled_from(INPUT_COUNTS),
)
def test_no_charge_of_a_counted_input_exceeds_its_hold(
    texts: list[str], labels: list[str], iterations: int | None, product: str
) -> None:
    """So the worst that a price tells is never exceeded."""
    document = {"input": texts, "query": texts[:1], "documents": texts, "labels": labels}
    fields: dict[str, object] = {} if iterations is None else {"num_iters": iterations}
    body = json.dumps({**document, **fields}, ensure_ascii=False).encode("utf-8", "replace")
    bound = bound_of(PRODUCTS[product], len(body), fields, {}, "/", HoldEstimator())
    assert isinstance(bound, Bound)
    counted = own_count(PRODUCTS[product], body, TOKENIZER.count)
    assert counted is not None
    assert price(PRODUCTS[product], Reported(None), counted).tokens <= bound.hold_tokens
