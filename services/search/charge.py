"""What a search costs (wire contract 2.5). Pure arithmetic; it refuses nothing.

charge = max(sum of content tokens, ceil(results / 10) * 10,000 * scaler), at most 2,000,000
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

RESULTS_PER_PRICE: Final = 10
PRICE_TOKENS: Final = 10_000
MAXIMUM_TOKENS: Final = 2_000_000
# Images and news cost a provider more, and so does Bing.
MEDIA_SCALER: Final = 5
BING_SCALER: Final = 3


@dataclass(frozen=True, slots=True)
class Charge:
    """`tokens` for the whole answer, and what each hit says of itself, in order."""

    tokens: int
    per_hit: tuple[int, ...]


def charge(content_tokens: Sequence[int], scaler: int) -> Charge:
    """The charge for hits with so many content tokens each; nothing for no hits.

    Where the flat part wins, it is spread over the hits, rounded up.
    """
    hits = len(content_tokens)
    if not hits:
        return Charge(0, ())
    flat = -(-hits // RESULTS_PER_PRICE) * PRICE_TOKENS * scaler
    total = sum(content_tokens)
    if total > flat:
        return Charge(min(total, MAXIMUM_TOKENS), tuple(content_tokens))
    flat = min(flat, MAXIMUM_TOKENS)
    return Charge(flat, (-(-flat // hits),) * hits)
