"""What a request costs: the service's report, inside the product's minimum and maximum.

1. A service that voids its answer, or a product that is free, costs nothing.
2. A report is the truth; the minimum and the cap of the product are applied to it.
3. Without a report our own count stands in where the input is what counts, else nothing is charged.

Refuses to confuse 0 with None: a report of 0 is 0 tokens, None is no report.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from gateway.products.product import Counting, Product
from gateway.record import record
from gateway.units import MAX_TOKENS

VOID: Final = "void"
# What `num_iters` is when the body does not say (wire contract 6).
DEFAULT_ITERATIONS: Final = 10
_INPUT_COUNTS: Final = (Counting.INPUT, Counting.INPUT_TIMES_ITERATIONS)
# The fields that carry text to be counted, over all products whose input counts.
_TEXT_FIELDS: Final = ("input", "query", "documents")


@record
class Reported:
    """What the service said. `tokens` None: nothing; `charge_rule`: its x-charge-rule."""

    tokens: int | None
    charge_rule: str | None = None


@record
class Input:
    """Our own count of an input; not `is_whole`: images and the like in it were not counted.

    `expected_tokens`: the same with what models add to every text; it bounds nothing.
    """

    tokens: int
    is_whole: bool
    expected_tokens: int


@record
class Price:
    """Tokens to charge, and the rule by which: one word for the ledger and the client."""

    tokens: int
    rule: str


def price(product: Product, reported: Reported, own_count: int | None = None) -> Price:
    """The price of a complete, successful answer.

    Rules: void, free, reported, minimum, maximum, own_count, unreported (0, and worth an alarm).
    """
    if reported.charge_rule == VOID:
        return Price(0, VOID)
    if product.counting is Counting.FREE:
        return Price(0, "free")
    if reported.tokens is not None:
        return _bounded(product, reported.tokens, "reported")
    if own_count is not None and product.counting in _INPUT_COUNTS:
        return _bounded(product, own_count, "own_count")
    return Price(0, "unreported")


def _bounded(product: Product, tokens: int, rule: str) -> Price:
    # 0 stays 0: a service that says so found nothing to charge, a search without results.
    if tokens <= 0:
        return Price(0, rule)
    if tokens < product.minimum_tokens:
        return Price(product.minimum_tokens, "minimum")
    most = MAX_TOKENS if product.maximum_tokens is None else product.maximum_tokens
    return Price(most, "maximum") if tokens > most else Price(tokens, rule)


def own_count(product: Product, body: bytes, count: Callable[[str], int]) -> int | None:
    """Tokens of the texts in a request body; None where the input does not count or is no JSON.

    `count` counts one text. Images and other bytes count nothing: their price is the service's.
    Labels count once per request, and only for zero-shot.
    """
    found = input_of(product, body, count)
    return None if found is None else found.tokens


def input_of(product: Product, body: bytes, count: Callable[[str], int]) -> Input | None:
    """The same, and whether all of the input was counted."""
    if product.counting not in _INPUT_COUNTS:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict):
        return None
    counts = [count(text) for text in _texts(document, product.body_field == "labels")]
    tokens = sum(counts)
    expected = tokens + len(counts) * product.added_tokens
    if product.counting is Counting.INPUT_TIMES_ITERATIONS:
        iterations = document.get("num_iters")
        times = iterations if type(iterations) is int else DEFAULT_ITERATIONS
        tokens, expected = tokens * times, expected * times
    is_whole = not any(_is_other(each) for each in _items(document))
    return Input(max(0, tokens), is_whole, max(0, expected))


def _is_other(item: Any) -> bool:
    return isinstance(item, dict) and not isinstance(item.get("text"), str)


def _items(document: dict[str, Any]) -> Iterator[Any]:
    for field in _TEXT_FIELDS:
        value = document.get(field)
        yield from value if isinstance(value, list) else (value,)


def _texts(document: dict[str, Any], with_labels: bool) -> Iterator[str]:
    for each in _items(document):
        text = each.get("text") if isinstance(each, dict) else each
        if isinstance(text, str):
            yield text
    if with_labels:
        labels = document.get("labels")
        groups = labels.values() if isinstance(labels, dict) else [labels]
        distinct = [each for group in groups if isinstance(group, list) for each in group]
        yield from dict.fromkeys(each for each in distinct if isinstance(each, str))
