"""Who would have been refused: the arrivals under the plan that was in force and under another one.

1. `Comparison.take` gets every event in the order of time.
2. The plan in force is replayed as well, with the limits that the log tells for each arrival: how
   often that agrees with what was really decided says how far the other replay can be trusted.

Refuses to compare in the first minute of the log, of which the windows before are not known.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gateway.admission.ask import Code
from gateway.arrivals.form import Kind
from gateway.arrivals.replay import OF_LIMITS, Replay
from gateway.arrivals.shelf import Event
from gateway.products.product import Catalogue, Limits
from gateway.units import WINDOW_US

Key = TypeVar("Key")
_MINUTE_US: Final = 60_000_000
_DIMENSIONS: Final = {Code.RPM: "rpm", Code.TPM: "tpm", Code.CONCURRENCY: "concurrency"}


@dataclass(slots=True)
class Tally:
    """Arrivals of one sort: `now` refused by the plan in force, `then` by the other one."""

    arrivals: int = 0
    now: int = 0
    then: int = 0
    newly_refused: int = 0
    newly_admitted: int = 0
    by: Counter[str] = field(default_factory=Counter)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        share = self.newly_refused / self.arrivals if self.arrivals else 0.0
        return {
            "arrivals": self.arrivals,
            "refused_in_force": self.now,
            "refused_by_plan": self.then,
            "newly_refused": self.newly_refused,
            "newly_refused_share": round(share, 6),
            "newly_admitted": self.newly_admitted,
            "refused_by_plan_by": dict(self.by),
        }


class Comparison:
    """Fed with events; `plan` None: only the plan in force."""

    def __init__(self, plan: Catalogue | None, span_us: int) -> None:
        self._plan = plan
        self._in_force, self._other = Replay(span_us), Replay(span_us)
        self._limits: dict[Kind, tuple[Limits, Limits | None]] = {}
        self._codes = {int(code): code for code in Code}
        self.arrivals_of: Counter[tuple[bytes, str]] = Counter()
        self._from_us: int | None = None
        self.until_us = 0
        self.compared = self.agreed = 0
        self.disagreed: Counter[tuple[str, str]] = Counter()
        self.left_out: Counter[str] = Counter()
        self.tiers: dict[tuple[str, str], Tally] = {}
        self.subjects: dict[tuple[bytes, str], Tally] = {}
        self.minutes: Counter[tuple[int, str]] = Counter()

    @property
    def from_us(self) -> int:
        """When the log begins."""
        return self._from_us or 0

    def take(self, event: Event, *, only: frozenset[str] = frozenset()) -> None:
        """One more; `only` these products are looked at, if any are named."""
        if self._from_us is None:
            self._from_us = event.time_us
        self.until_us = event.time_us
        kind = event.kind
        if kind is None:
            self._in_force.ended(event.time_us, event.name, event.tokens)
            self._other.ended(event.time_us, event.name, event.tokens)
            return
        if not only or kind.product in only:
            self._arrived(event, kind)

    def _arrived(self, event: Event, kind: Kind) -> None:
        limits = self._limits.get(kind)
        if limits is None:
            limits = self._limits.setdefault(kind, (in_force(kind), _planned(self._plan, kind)))
        really = self._codes.get(kind.code)
        if kind.degraded:
            self.left_out["decided without Redis"] += 1
        if really is None or really not in OF_LIMITS:
            self.left_out["unknown" if really is None else really.name.lower()] += 1
            return
        who, at_us = (event.subject, kind.product), event.time_us
        now = self._in_force.arrived(at_us, who, event.name, event.tokens, limits[0], really=really)
        known = self._from_us is not None and at_us - self._from_us >= WINDOW_US
        if known and not kind.degraded:
            self.compared += 1
            if now is really:
                self.agreed += 1
            else:
                self.disagreed[really.name.lower(), now.name.lower()] += 1
        if limits[1] is None:
            if self._plan is not None:
                self.left_out[f"{kind.product} is not in the plan"] += 1
            return
        then = self._other.arrived(at_us, who, event.name, event.tokens, limits[1], really=really)
        self._count(event, kind, really, then)

    def _count(self, event: Event, kind: Kind, really: Code, then: Code) -> None:
        was, would = really is not Code.ADMITTED, then is not Code.ADMITTED
        subject = (event.subject, kind.product)
        self.arrivals_of[subject] += 1
        tallies = [_tally(self.tiers, (kind.product, kind.tier))]
        if was or would:
            tallies.append(_tally(self.subjects, subject))
        for tally in tallies:
            tally.arrivals += 1
            tally.now += was
            tally.then += would
            tally.newly_refused += would and not was
            tally.newly_admitted += was and not would
            if would:
                tally.by[_DIMENSIONS.get(then, "never fits")] += 1
        if would and not was:
            self.minutes[event.time_us // _MINUTE_US, kind.product] += 1


def _tally(tallies: dict[Key, Tally], key: Key) -> Tally:
    found = tallies.get(key)
    return tallies.setdefault(key, Tally()) if found is None else found


def in_force(kind: Kind) -> Limits:
    """The limits that the arrival met; a key's own concurrency is not told and taken for its
    tier's."""
    return Limits(kind.rpm, kind.tpm, kind.usual[2])


def _planned(plan: Catalogue | None, kind: Kind) -> Limits | None:
    """The plan's limits for such an arrival; what was the key's own stays its own."""
    product = None if plan is None else plan.products.get(kind.product)
    if product is None:
        return None
    tiers: Mapping[str, Limits | None] = {
        "anonymous": product.anonymous,
        "key": product.key,
        "premium": product.premium,
    }
    limits = tiers.get(kind.tier)
    if limits is None:
        return None
    rpm, tpm, _ = kind.usual
    return Limits(
        limits.rpm if kind.rpm == rpm else kind.rpm,
        limits.tpm if kind.tpm == tpm else kind.tpm,
        limits.concurrency,
    )
