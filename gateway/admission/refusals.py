"""The memory of refusals: a flood is answered without asking Redis again.

Refuses to remember longer than a second, as limits may be raised, longer than the refusal is
known to hold or than its limits are in force, and anything but a full window: balances and states
change at any time.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from gateway.admission.ask import Ask, Code, Decision
from gateway.products.product import Limits
from gateway.units import MS_PER_S, US_PER_MS

LONGEST_S: Final = 1.0
MAX_REMEMBERED: Final = 10_000
OF_WINDOWS: Final = frozenset({Code.RPM, Code.TPM})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was answered to an ask that was sent at `sent_s`, and until when it holds."""

    decision: Decision
    sent_s: float
    until_s: float
    tpm_cost: int
    limits_key: Limits
    limits_premium: Limits


class Refusals:
    """Refusals by subject and product, on the clock that is given; only those of `codes`."""

    def __init__(self, clock_s: Callable[[], float], codes: frozenset[Code] = OF_WINDOWS) -> None:
        self._clock_s = clock_s
        self._codes = codes
        self._known: dict[tuple[str, str], Refusal] = {}

    def find(self, ask: Ask) -> Decision | None:
        """The refusal that still holds for this ask, with the wait that is left of it."""
        known = self._known.get((ask.subject, ask.product))
        if known is None:
            return None
        now_s = self._clock_s()
        if now_s >= known.until_s:
            del self._known[ask.subject, ask.product]
            return None
        # Limits that have changed are other objects.
        if known.limits_key is not ask.limits_key or known.limits_premium is not ask.limits_premium:
            return None
        # A smaller request may fit into what is left of a token window.
        if known.decision.code is not Code.RPM and ask.tpm_cost < known.tpm_cost:
            return None
        passed_ms = int((now_s - known.sent_s) * MS_PER_S)
        left_ms = max(1, known.decision.retry_after_ms - passed_ms)
        now_us = known.decision.now_us + passed_ms * US_PER_MS
        return replace(known.decision, retry_after_ms=left_ms, now_us=now_us)

    def note(self, ask: Ask, decision: Decision, sent_s: float) -> None:
        """Remember it if it is of a window. From when it was sent: Redis decided later than that,
        so the memory ends before the refusal does."""
        if decision.code not in self._codes:
            return
        until_s = sent_s + min(LONGEST_S, decision.retry_after_ms / MS_PER_S)
        at = (ask.subject, ask.product)
        self._known.pop(at, None)
        if len(self._known) >= MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[at] = Refusal(
            decision, sent_s, until_s, ask.tpm_cost, ask.limits_key, ask.limits_premium
        )

    def __len__(self) -> int:
        return len(self._known)
