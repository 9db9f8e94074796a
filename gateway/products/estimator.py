"""Learns what requests of a product and size cost, so that holds are neither timid nor greedy.

One histogram per product and size class, buckets of a quarter more each, halved now and then so
that old answers fade. Of each bucket the highest cost is known, so that a price which is always the
same is learned exactly. Refuses to grow: the state is a fixed number of small lists.
"""

from bisect import bisect_left
from typing import Final

# A page of average length; what is held before anything was learned.
UNLEARNED_TOKENS: Final = 10_000
# Even if all pages were tiny lately, the next may be a usual one.
FLOOR_TOKENS: Final = 1_000
# Of 100 requests one may cost more than was held; then its balance, if empty, falls short once.
_QUANTILE_PERCENT: Final = 99
_MEMORY: Final = 2_000
_NEEDED: Final = 50
# To say what is usual, fewer do.
_KNOWN: Final = 5
_SIZE_CLASSES: Final = 16
_MAX_PRODUCTS: Final = 64
# Upper edges: 64 tokens, then a quarter more each time, beyond 10 million.
_EDGES: Final = tuple(int(64 * 1.25**step) for step in range(56))


class HoldEstimator:
    """What requests cost lately; one per process. Bounded: 64 products, 16 classes, 56 buckets."""

    def __init__(self) -> None:
        self._histograms: dict[tuple[str, int], list[int]] = {}
        self._tops: dict[tuple[str, int], list[int]] = {}
        self._totals: dict[tuple[str, int], int] = {}
        self._estimates: dict[tuple[str, int], int] = {}

    def observe(self, product: str, body_bytes: int, tokens: int) -> None:
        """Learn the cost of one finished request of this size."""
        key = (product, _size_class(body_bytes))
        histogram = self._histograms.get(key)
        if histogram is None:
            if len(self._histograms) >= _MAX_PRODUCTS * _SIZE_CLASSES:
                return
            histogram = self._histograms[key] = [0] * len(_EDGES)
            self._tops[key] = [0] * len(_EDGES)
            self._totals[key] = 0
        tops, bucket = self._tops[key], _bucket(tokens)
        histogram[bucket] += 1
        tops[bucket] = max(tops[bucket], min(tokens, _EDGES[bucket]))
        self._totals[key] += 1
        if self._totals[key] >= _MEMORY:
            histogram[:] = [count // 2 for count in histogram]
            tops[:] = [top if count else 0 for top, count in zip(tops, histogram, strict=True)]
            self._totals[key] = sum(histogram)
        # The estimate moves slowly, so it need not be found anew for each answer.
        if self._totals[key] >= _NEEDED and self._totals[key] % 16 == 0:
            found = _quantile(histogram, tops, self._totals[key], _QUANTILE_PERCENT)
            self._estimates[key] = max(FLOOR_TOKENS, found)

    def estimate(self, product: str, body_bytes: int) -> int:
        """Tokens that 99 of 100 requests of this size stay below, at least the floor."""
        return self._estimates.get((product, _size_class(body_bytes)), UNLEARNED_TOKENS)

    def middle(self, product: str, body_bytes: int) -> int | None:
        """Tokens that half of the requests of this size stay below; None until some are known."""
        key = (product, _size_class(body_bytes))
        total = self._totals.get(key, 0)
        if total < _KNOWN:
            return None
        return _quantile(self._histograms[key], self._tops[key], total, 50)


def _size_class(body_bytes: int) -> int:
    """0 for no body, then one class for each factor of four from 1 KiB."""
    if body_bytes <= 0:
        return 0
    return min(_SIZE_CLASSES - 1, 1 + max(0, body_bytes.bit_length() - 9) // 2)


def _bucket(tokens: int) -> int:
    return min(bisect_left(_EDGES, tokens), len(_EDGES) - 1)


def _quantile(histogram: list[int], tops: list[int], total: int, percent: int) -> int:
    """The highest cost in the bucket in which the quantile lies."""
    wanted = -(-total * percent // 100)
    seen = 0
    for count, top in zip(histogram, tops, strict=True):
        seen += count
        if seen >= wanted:
            return top
    return _EDGES[-1]
