"""How much balance is set aside for a request before anyone knows what it will cost.

An upper bound where there is one (no token is shorter than a byte), else the client's own budget,
else what such requests cost lately. Refuses to refuse for money: it only names the number.
"""

import re
from collections.abc import Mapping
from typing import Final, Protocol

from gateway.errors import Problem
from gateway.products.counting import DEFAULT_ITERATIONS
from gateway.products.product import Holding, Product

# A thousand passes over a few samples is already far beyond use; beyond a million is a slip.
MAX_ITERATIONS: Final = 1_000_000
# Beyond this no balance could ever cover it, and sums of several must stay below 2**63.
MAX_HOLD_TOKENS: Final = 10**15
# X-Max-Tokens below this is taken as this by the reader (wire contract 1.2).
_LEAST_MAX_TOKENS: Final = 500
_RESULTS: Final = re.compile(r"(?:^|[?&])(?:num|count)=([0-9]{1,4})(?:&|$)")
_RESULTS_PER_PRICE: Final = 10
_WANTED: Final[Mapping[Holding, frozenset[str]]] = {
    Holding.BODY_TIMES_ITERATIONS: frozenset({"num_iters"}),
    Holding.BUDGET: frozenset({"budget_tokens", "max_completion_tokens"}),
}
_NONE_WANTED: Final[frozenset[str]] = frozenset()


class Learned(Protocol):
    """What requests of one size cost lately."""

    def estimate(self, product: str, body_bytes: int) -> int:
        """Tokens that few of them exceed."""


def wanted_fields(product: Product) -> frozenset[str]:
    """The top-level body fields that `hold_tokens` reads; empty: the body need not be looked at."""
    return _WANTED.get(product.holding, _NONE_WANTED)


def hold_tokens(
    product: Product,
    body_bytes: int,
    fields: Mapping[str, object],
    headers: Mapping[str, str],
    upstream_path: str,
    learned: Learned,
) -> int | Problem:
    """Tokens to hold; a Problem where the body's own numbers are absurd.

    `fields` are those of `wanted_fields` found in the body, `headers` the client's (any case),
    `upstream_path` carries the query of a search.
    """
    rule = product.holding
    if rule is Holding.BODY:
        return body_bytes
    if rule is Holding.LEARNED:
        return _learned(product, body_bytes, headers, learned)
    if rule is Holding.NOTHING:
        return 0
    if rule is Holding.MINIMUM:
        return _minimum(product, upstream_path)
    if rule is Holding.BUDGET:
        return _budget(product, fields)
    return _times_iterations(body_bytes, fields)


def _times_iterations(body_bytes: int, fields: Mapping[str, object]) -> int | Problem:
    given = fields.get("num_iters")
    if given is None:
        return body_bytes * DEFAULT_ITERATIONS
    iterations = _whole(given)
    if iterations is None or not 1 <= iterations <= MAX_ITERATIONS:
        return Problem(
            "INPUT_INVALID",
            400,
            f"num_iters must be a whole number from 1 to {MAX_ITERATIONS:,}",
            fields={"field": "num_iters"},
        )
    held = body_bytes * iterations
    if held > MAX_HOLD_TOKENS:
        return Problem(
            "INPUT_TOKEN_LIMIT_EXCEEDED",
            400,
            f"This training may need {held:,} tokens, more than any balance; please send less",
            fields={"field": "num_iters"},
        )
    return held


def _learned(
    product: Product, body_bytes: int, headers: Mapping[str, str], learned: Learned
) -> int:
    """The least of what the client allows; without that what such requests cost lately."""
    allowed = _positive(headers.get("x-token-budget"))
    trimmed = _positive(headers.get("x-max-tokens"))
    if trimmed is not None:
        trimmed = max(trimmed, _LEAST_MAX_TOKENS)
        allowed = trimmed if allowed is None else min(allowed, trimmed)
    if allowed is None:
        allowed = learned.estimate(product.name, body_bytes)
    return allowed if product.maximum_tokens is None else min(allowed, product.maximum_tokens)


def _minimum(product: Product, upstream_path: str) -> int:
    """The fixed number for each ten results that the query asks for."""
    if "=" not in upstream_path:
        return product.minimum_tokens
    asked = _RESULTS.search(upstream_path.partition("?")[2])
    results = int(asked[1]) if asked else 0
    held = max(1, -(-results // _RESULTS_PER_PRICE)) * product.minimum_tokens
    return held if product.maximum_tokens is None else min(held, product.maximum_tokens)


def _budget(product: Product, fields: Mapping[str, object]) -> int:
    for name in ("budget_tokens", "max_completion_tokens"):
        given = _whole(fields.get(name))
        if given is not None and given > 0:
            return min(given, MAX_HOLD_TOKENS)
    return product.block_tokens


def _positive(text: str | None) -> int | None:
    """A header's whole number above 0; anything else is as good as absent."""
    if text is None:
        return None
    text = text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        return None
    return int(text) or None


def _whole(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
