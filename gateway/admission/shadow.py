"""Limits that are only tried: the pure twin of shadow.lua.

Refuses nothing: among the requests that the limits in force admit it says which ones it would have
refused. What it would have refused does not count in its windows, so that it answers for what
would really have happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.admission.ask import SHADOW_DIMENSIONS, Ask, Code
from gateway.admission.rule import Sight, never, refusal
from gateway.admission.window import Window
from gateway.ledger.rows import BalanceRow
from gateway.products.product import Limits, Shadow

_REFUSES: Final = {Code.RPM: 8, Code.TPM: 16, Code.CONCURRENCY: 24}


@dataclass(frozen=True, slots=True)
class Mark:
    """What the shadow counts of one request: an entry of its token window, a place, or both."""

    tpm: int
    entry: int | None


@dataclass(slots=True)
class ShadowSide:
    """The windows of one subject and product as the shadow sees them."""

    requests: Window
    tokens: Window
    marks: dict[str, Mark] = field(default_factory=dict)
    places: set[str] = field(default_factory=set)

    def look(self, shadow: Shadow, ask: Ask, time_us: int) -> int:
        """What is told of an admitted request, as `tried` reads it; counts it if it fits."""
        values = (shadow.rpm, shadow.tpm, shadow.concurrency)
        told = sum(1 << n for n, value in enumerate(values) if value is not None)
        if not told:
            return 0
        seen = Sight(
            self.requests,
            self.requests.look(time_us),
            self.tokens,
            self.tokens.look(time_us),
            len(self.places),
        )
        refused = never(shadow, ask.tpm_cost)
        if refused is None:
            waits = refusal(shadow, seen, ask.tpm_cost)
            refused = None if waits is None else waits[0]
        if refused is not None:
            return told + _REFUSES[refused]
        self._count(shadow, ask, seen)
        return told

    def _count(self, shadow: Shadow, ask: Ask, seen: Sight) -> None:
        if shadow.rpm is not None:
            self.requests.record(seen.request_view, 1)
        cost, entry = 0, None
        if shadow.tpm is not None:
            cost = min(ask.tpm_cost, shadow.tpm)
            entry = self.tokens.record(seen.token_view, cost)
        if shadow.concurrency is not None:
            self.places.add(ask.request_id)
        self.marks[ask.request_id] = Mark(cost, entry)

    def leave(self, request_id: str, actual_tpm: int | None) -> None:
        """The request is over. Harmless when the shadow does not count it, and when repeated."""
        self.places.discard(request_id)
        mark = self.marks.pop(request_id, None)
        if mark is not None and mark.entry is not None and actual_tpm is not None:
            self.tokens.amend(mark.entry, actual_tpm - mark.tpm)


def shadow_for(limits: Limits, row: BalanceRow | None, product: str) -> Shadow:
    """The tier's shadow, each limit overridden by the key's own."""
    own: Mapping[str, int | None] = row.limits.get(product, {}) if row is not None else {}
    values = []
    for name in SHADOW_DIMENSIONS:
        value = own.get(f"shadow_{name}")
        values.append(getattr(limits.shadow, name, None) if value is None else value)
    return Shadow(*values)
