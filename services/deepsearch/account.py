"""The one account of a request: every token once, by step, and a budget that holds.

A step sets aside what it may cost at most before it begins, so that steps which run at once pass
the budget by less than one of them. It refuses to begin a step once nothing is left (BudgetSpent),
also when the time is up. `kept_tokens` of the budget are for the final answer alone.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from services.deepsearch.tools import BudgetSpent

# When the time is up, the answer from what is known by then may take so long.
GRACE_S: Final = 40.0
# Beyond these the rest is one line: a trace must not grow with the budget.
STEPS_MOST: Final = 400
DETAIL_CHARACTERS: Final = 240
DONE: Final = "ok"
CANCELLED: Final = "cancelled"
MORE: Final = "more"


@dataclass(slots=True)
class Step:
    """One step: what it was, when (ms since the request began), what it cost, how it ended."""

    kind: str
    detail: str
    start_ms: int
    end_ms: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    outcome: str = DONE

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def cost(self, prompt_tokens: int, completion_tokens: int = 0) -> None:
        """What it has cost so far; the newest word counts, also when it is cut off."""
        self.prompt_tokens = max(0, prompt_tokens)
        self.completion_tokens = max(0, completion_tokens)


@dataclass(slots=True)
class Account:
    """`deadline_s` by `time.monotonic`; `heard` is called after every step that cost something."""

    budget_tokens: int
    deadline_s: float
    kept_tokens: int = 0
    heard: Callable[[], None] = lambda: None
    steps: list[Step] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    began_s: float = field(default_factory=time.monotonic)
    _reserved_tokens: int = 0
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def left_tokens(self) -> int:
        """What is left of the whole budget; never negative."""
        return max(0, self.budget_tokens - self.total_tokens)

    @property
    def final_deadline_s(self) -> float:
        """When even the last answer is given up."""
        return self.deadline_s + GRACE_S

    def remaining_tokens(self) -> int:
        """What is left for everything but the final answer; never negative."""
        if time.monotonic() >= self.deadline_s:
            return 0
        return max(0, self.budget_tokens - self.kept_tokens - self.total_tokens)

    def spend(self, kind: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Count what was spent elsewhere, as a step of no length."""
        now_ms = self._now_ms()
        step = Step(kind, "", now_ms, now_ms)
        step.cost(prompt_tokens, completion_tokens)
        self._add(step)

    def note(self, kind: str, detail: str, outcome: str) -> None:
        """Put down what happened and cost nothing."""
        now_ms = self._now_ms()
        self._add(Step(kind, detail[:DETAIL_CHARACTERS], now_ms, now_ms, outcome=outcome))

    @asynccontextmanager
    async def step(
        self, kind: str, detail: str, most_tokens: int, *, final: bool = False
    ) -> AsyncIterator[Step]:
        """One step, which the block fills; raises BudgetSpent instead of beginning in vain.

        `final`: the answer that must come, whatever is left.
        """
        if not final:
            await self._room()
        self._reserved_tokens += most_tokens
        now_ms = self._now_ms()
        step = Step(kind, detail[:DETAIL_CHARACTERS], now_ms, now_ms)
        try:
            yield step
        except BaseException as fault:
            if step.outcome == DONE:
                step.outcome = CANCELLED if isinstance(fault, asyncio.CancelledError) else "failed"
            raise
        finally:
            step.end_ms = self._now_ms()
            self._reserved_tokens -= most_tokens
            self._add(step)
            self._settled.set()

    async def _room(self) -> None:
        """Waits for steps that may leave something; raises BudgetSpent once nothing can be left."""
        while True:
            left = self.remaining_tokens()
            if left <= 0:
                raise BudgetSpent
            if left > self._reserved_tokens:
                return
            self._settled.clear()
            await self._settled.wait()

    def _add(self, step: Step) -> None:
        self.prompt_tokens += step.prompt_tokens
        self.completion_tokens += step.completion_tokens
        if len(self.steps) < STEPS_MOST:
            self.steps.append(step)
        else:
            self._merge(step)
        if step.tokens:
            self.heard()

    def _merge(self, step: Step) -> None:
        if self.steps[-1].kind != MORE:
            self.steps.append(Step(MORE, "", step.start_ms, step.end_ms))
        last = self.steps[-1]
        last.end_ms = step.end_ms
        last.prompt_tokens += step.prompt_tokens
        last.completion_tokens += step.completion_tokens

    def _now_ms(self) -> int:
        return round((time.monotonic() - self.began_s) * 1_000)
