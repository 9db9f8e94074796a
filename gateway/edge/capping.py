"""X-Max-Charge: what a client allows one request to cost at most.

Refuses, before anything is admitted, what surely costs more: nobody works for a price that was
ruled out. What passes is charged no more than that, whatever it cost (`crossing`).
"""

import asyncio
from typing import Final

from multidict import MultiMapping

from gateway.edge import refusals
from gateway.errors import Problem
from gateway.products.counting import Input, input_of
from gateway.products.holds import MAX_HOLD_TOKENS, Bound
from gateway.products.product import Counting, Holding, Product
from gateway.tokenizer import Tokenizer
from gateway.units import KIB

MAX_CHARGE: Final = "X-Max-Charge"
_INPUT: Final = (Counting.INPUT, Counting.INPUT_TIMES_ITERATIONS)
# Counting takes some 35 ms per MiB: what a request may stop the event loop for.
COUNTED_AT_ONCE_BYTES: Final = 64 * KIB


def max_charge(headers: MultiMapping[str]) -> int | Problem | None:
    """The cap that was sent; an empty header is an absent one, two that differ are a mistake."""
    texts = {given.strip() for given in headers.getall(MAX_CHARGE, ())}
    if len(texts) > 1:
        return refusals.invalid_max_charge(MAX_HOLD_TOKENS)
    text = texts.pop() if texts else ""
    if not text:
        return None
    # Sixteen digits are more than any balance has, and no cap at all.
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > MAX_HOLD_TOKENS:
        return refusals.invalid_max_charge(MAX_HOLD_TOKENS)
    return int(text)


def needs_whole_body(product: Product) -> bool:
    """Whether the cap of such a request can only be judged by all of its body."""
    return product.counting in _INPUT


def takes_budget(product: Product) -> bool:
    """Whether the service keeps to a budget by itself (`x-token-budget`).

    Those that count an input do so exactly before they begin, and refuse what would cost more.
    """
    return product.holding in (Holding.LEARNED, Holding.BUDGET) or needs_whole_body(product)


async def counted(product: Product, body: bytes, tokenizer: Tokenizer) -> Input | None:
    """Our own count of an input, beside the event loop if it is long; None where it cannot be."""
    if len(body) <= COUNTED_AT_ONCE_BYTES:
        return input_of(product, body, tokenizer.count)
    return await asyncio.to_thread(input_of, product, body, tokenizer.count)


async def surely_above(
    product: Product, bound: Bound, body: bytes | None, cap: int, tokenizer: Tokenizer
) -> Problem | None:
    """Why a request cannot be kept within its cap; None where it may be."""
    if product.counting is not Counting.FREE and cap < product.least_cap_tokens:
        return refusals.max_charge_too_low(product.name, product.least_cap_tokens, cap)
    if product.counting is Counting.FREE or bound.hold_tokens <= cap:
        return None
    if not needs_whole_body(product):
        if bound.least_tokens <= cap:
            return None
        return refusals.max_charge_too_low(product.name, bound.least_tokens, cap)
    found = await counted(product, body or b"", tokenizer)
    if found is None or (found.is_whole and found.tokens <= cap):
        return None
    if found.is_whole:
        return refusals.max_charge_too_low(product.name, found.tokens, cap)
    # What a picture costs is known when it was looked at, but never more than its bytes.
    return refusals.max_charge_too_low(product.name, bound.hold_tokens, cap)
