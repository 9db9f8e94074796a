"""How good an order is: where the right one stands."""

import math
from collections.abc import Sequence


def place(scores: Sequence[float], right: int) -> int:
    """How many stand before the right one, ties against it; 0 is first."""
    return sum(score >= scores[right] for score in scores) - 1


def ndcg_at_10(places: Sequence[int]) -> float:
    """Mean over questions that have one right answer each."""
    return sum(1 / math.log2(at + 2) if at < 10 else 0.0 for at in places) / len(places)
