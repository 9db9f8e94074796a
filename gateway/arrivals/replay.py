"""Replays arrivals under a plan: each one decided by the rule of the limits, in windows of its own.

1. `Replay.arrived` and `ended` take events in the order of time; `arrived` says what is decided.
2. A request that was refused for its balance or its key meets no limit here either.
3. One that is let in here and was not really is taken to use what such requests usually do, for as
   long as they usually run: means of the product, so far.

Refuses to guess a plan: who asks gives the limits of each arrival.
"""

import heapq
from dataclasses import dataclass, field
from typing import Final

from gateway.admission.ask import Code
from gateway.admission.rule import Sight, never, refusal
from gateway.admission.window import Window
from gateway.products.product import Limits
from gateway.units import WINDOW_US

# What the limits have a say in; every other decision stands in any plan.
OF_LIMITS: Final = frozenset({Code.ADMITTED, Code.NEVER_FITS, Code.RPM, Code.TPM, Code.CONCURRENCY})
_SWEEP_US: Final = 5 * WINDOW_US
# Whatever is open for longer was lost with its process.
_LOST_US: Final = 3_600_000_000
_USUAL_US: Final = 1_000_000
Name = tuple[str, int]


@dataclass(slots=True)
class _State:
    """One subject and product."""

    requests: Window
    tokens: Window
    open: dict[Name, "_Held"] = field(default_factory=dict)
    seen_us: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    state: _State
    began_us: int
    cost: int
    asked: int
    entry: int | None


@dataclass(slots=True)
class Usual:
    """What ended requests of a product have used of what they asked for, and how long they ran."""

    count: int = 0
    asked: int = 0
    used: int = 0
    run_us: int = 0

    def told(self, held: _Held, used: int, at_us: int) -> None:
        """One more."""
        self.count += 1
        self.asked += held.asked
        self.used += used
        self.run_us += at_us - held.began_us

    def of(self, asked: int) -> tuple[int, int]:
        """Tokens of a request that asks for so many, and us that it runs."""
        if not self.count:
            return asked, _USUAL_US
        used = asked * self.used // self.asked if self.asked else self.used // self.count
        return used, self.run_us // self.count


class Replay:
    """All subjects under one plan. `span_us` is W / N of the windows."""

    def __init__(self, span_us: int) -> None:
        self._span_us = span_us
        self._states: dict[tuple[bytes, str], _State] = {}
        self._held: dict[Name, tuple[str, _Held]] = {}
        self._usual: dict[str, Usual] = {}
        # Endings of requests that only this plan lets in.
        self._thought: list[tuple[int, Name, int]] = []
        self._swept_us = 0

    def arrived(
        self,
        at_us: int,
        who: tuple[bytes, str],
        name: Name,
        asked: int,
        limits: Limits,
        *,
        really: Code,
    ) -> Code:
        """What is decided on the request of `who`, a subject and a product."""
        if really not in OF_LIMITS:
            return really
        self._end_thought(at_us)
        state = self._state(who)
        state.seen_us = at_us
        if never(limits, asked) is not None:
            return Code.NEVER_FITS
        seen = Sight(
            state.requests,
            state.requests.look(at_us),
            state.tokens,
            state.tokens.look(at_us),
            len(state.open),
        )
        refused = refusal(limits, seen, asked)
        if refused is not None:
            return refused[0]
        state.requests.record(seen.request_view, 1)
        cost, entry = 0, None
        if limits.tpm is not None:
            cost = min(asked, limits.tpm)
            entry = state.tokens.record(seen.token_view, cost)
        held = _Held(state, at_us, cost, asked, entry)
        state.open[name] = held
        self._held[name] = (who[1], held)
        if really is not Code.ADMITTED:
            used, run_us = self._usual.get(who[1], Usual()).of(asked)
            heapq.heappush(self._thought, (at_us + run_us, name, used))
        return Code.ADMITTED

    def ended(self, at_us: int, name: Name, used: int) -> None:
        """It really ended then and has used so much."""
        self._end_thought(at_us)
        found = self._held.get(name)
        if found is not None:
            product, held = found
            self._usual.setdefault(product, Usual()).told(held, used, at_us)
        self._end(name, used)
        if at_us - self._swept_us > _SWEEP_US:
            self._sweep(at_us)

    def _end_thought(self, at_us: int) -> None:
        while self._thought and self._thought[0][0] <= at_us:
            _, name, used = heapq.heappop(self._thought)
            self._end(name, used)

    def _end(self, name: Name, used: int) -> None:
        found = self._held.pop(name, None)
        if found is None:
            return
        held = found[1]
        held.state.open.pop(name, None)
        if held.entry is not None and used != held.cost:
            held.state.tokens.amend(held.entry, used - held.cost)

    def _state(self, who: tuple[bytes, str]) -> _State:
        state = self._states.get(who)
        if state is None:
            state = _State(Window(self._span_us), Window(self._span_us))
            self._states[who] = state
        return state

    def _sweep(self, at_us: int) -> None:
        """Forget who was idle for longer than a window, and what never ended."""
        self._swept_us = at_us
        lost = [n for n, (_, held) in self._held.items() if at_us - held.began_us > _LOST_US]
        for name in lost:
            self._end(name, self._held[name][1].cost)
        idle = [
            who
            for who, state in self._states.items()
            if not state.open and at_us - state.seen_us > 2 * WINDOW_US
        ]
        for who in idle:
            del self._states[who]
