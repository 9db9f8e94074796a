"""How much balance is set aside for a request before anyone knows what it will cost.

An upper bound where there is one (no token is shorter than a byte), else the client's own budget,
else what such requests cost lately. Refuses to refuse for money: it only names numbers.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from gateway.errors import Problem
from gateway.products.counting import DEFAULT_ITERATIONS
from gateway.products.product import Holding, Product
from gateway.products.searches import SEARCH_FIELDS, asked_of
from gateway.record import record

# A thousand passes over a few samples is already far beyond use; beyond a million is a slip.
MAX_ITERATIONS: Final = 1_000_000
# Beyond this no balance could ever cover it, and sums of several must stay below 2**63.
MAX_HOLD_TOKENS: Final = 10**15
# X-Max-Tokens below this is taken as this by the reader (wire contract 1.2).
_LEAST_MAX_TOKENS: Final = 500
# What a deepsearch may use by its reasoning_effort (wire contract 3.1).
EFFORT_TOKENS: Final[Mapping[str, int]] = {"low": 100_000, "medium": 500_000, "high": 1_000_000}
_USUAL_EFFORT: Final = "medium"
_WANTED: Final[Mapping[Holding, frozenset[str]]] = {
    Holding.BODY_TIMES_ITERATIONS: frozenset({"num_iters"}),
    Holding.BUDGET: frozenset(
        {"budget_tokens", "max_completion_tokens", "stream", "reasoning_effort"}
    ),
    Holding.MINIMUM: SEARCH_FIELDS,
}
_NONE_WANTED: Final[frozenset[str]] = frozenset()


class Learned(Protocol):
    """What requests of one size cost lately."""

    def estimate(self, product: str, body_bytes: int) -> int:
        """Tokens that few of them exceed."""


@record
class Bound:
    """What a request may cost, as far as that is known before.

    `hold_tokens` is set aside. `least_tokens`: a successful answer costs no less. `is_sure`: no
    answer costs more than the hold. `in_blocks`: more is set aside while the answer streams, well
    before it is used. `class_bytes`: the size class in which its cost is learned; None: it is not.
    """

    hold_tokens: int
    least_tokens: int = 1
    is_sure: bool = True
    in_blocks: bool = False
    class_bytes: int | None = None


def wanted_fields(product: Product) -> frozenset[str]:
    """The top-level body fields that `bound_of` reads; empty: the body need not be looked at."""
    return _WANTED.get(product.holding, _NONE_WANTED)


def bound_of(
    product: Product,
    body_bytes: int,
    fields: Mapping[str, object],
    headers: Mapping[str, str],
    upstream_path: str,
    learned: Learned,
) -> Bound | Problem:
    """What to hold; a Problem where the body's own numbers are absurd.

    `fields` are those of `wanted_fields` found in the body, `headers` the client's (any case),
    `upstream_path` carries the query of a search.
    """
    rule = product.holding
    if rule is Holding.BODY:
        return Bound(body_bytes)
    if rule is Holding.LEARNED:
        return _learned(product, body_bytes, headers, learned)
    if rule is Holding.NOTHING:
        return Bound(0, 0)
    if rule is Holding.MINIMUM:
        return _search(product, fields, headers, upstream_path, learned)
    if rule is Holding.BUDGET:
        return _budget(product, fields)
    return _times_iterations(body_bytes, fields)


def _times_iterations(body_bytes: int, fields: Mapping[str, object]) -> Bound | Problem:
    given = fields.get("num_iters")
    if given is None:
        return Bound(body_bytes * DEFAULT_ITERATIONS)
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
    return Bound(held)


def _learned(
    product: Product, body_bytes: int, headers: Mapping[str, str], learned: Learned
) -> Bound:
    """The least of what the client allows; without that what such requests cost lately."""
    allowed = _positive(headers.get("x-token-budget"))
    trimmed = _trimmed(headers)
    if trimmed is not None:
        allowed = trimmed if allowed is None else min(allowed, trimmed)
    is_sure = allowed is not None
    if allowed is None:
        allowed = learned.estimate(product.name, body_bytes)
    if product.maximum_tokens is not None:
        allowed = min(allowed, product.maximum_tokens)
    return Bound(allowed, is_sure=is_sure, class_bytes=None if is_sure else body_bytes)


def _search(
    product: Product,
    fields: Mapping[str, object],
    headers: Mapping[str, str],
    upstream_path: str,
    learned: Learned,
) -> Bound:
    """The fixed price of what is asked for; for its pages the known cap, or what was learned."""
    asked = asked_of(fields, headers, upstream_path)
    most = MAX_HOLD_TOKENS if product.maximum_tokens is None else product.maximum_tokens
    fixed = min(asked.prices * product.minimum_tokens, most)
    if not asked.with_pages:
        return Bound(fixed, fixed)
    class_bytes = asked.results << 10
    content = learned.estimate(product.name, class_bytes)
    trimmed = _trimmed(headers)
    cap = most if trimmed is None else asked.results * trimmed
    hold = min(max(fixed, min(content, cap)), most)
    return Bound(hold, fixed, is_sure=max(fixed, cap) <= hold, class_bytes=class_bytes)


def _budget(product: Product, fields: Mapping[str, object]) -> Bound:
    """The client's budget; else that of its effort, or blocks where usage is told meanwhile."""
    for name in ("budget_tokens", "max_completion_tokens"):
        value = fields.get(name)
        given = _positive(value) if isinstance(value, str) else _whole(value)
        if given is not None and given > 0:
            return Bound(min(given, MAX_HOLD_TOKENS), class_bytes=given)
    effort = fields.get("reasoning_effort")
    budget = EFFORT_TOKENS.get(effort.strip().lower() if isinstance(effort, str) else "")
    if budget is None:
        budget = EFFORT_TOKENS[_USUAL_EFFORT]
    if fields.get("stream") is True:
        return Bound(product.block_tokens, in_blocks=True, class_bytes=budget)
    return Bound(budget, class_bytes=budget)


def _trimmed(headers: Mapping[str, str]) -> int | None:
    """The length to which a page is cut, where the client says so."""
    given = _positive(headers.get("x-max-tokens"))
    return None if given is None else max(given, _LEAST_MAX_TOKENS)


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
