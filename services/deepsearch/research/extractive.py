"""A mind without a model: follows names from passage to passage, and answers in found words.

It refuses nothing; what it cannot find it does not say.
"""

from dataclasses import dataclass, field
from typing import Final

from services.deepsearch.research.asking import asked
from services.deepsearch.research.frontier import Frontier
from services.deepsearch.research.mind import Draft, Known, Plan, Reflection, Task, Verdict
from services.deepsearch.tools import Tools

QUERIES_FIRST: Final = 6


@dataclass(slots=True)
class Extractive:
    """One per request: it remembers how relevant each sentence is."""

    _frontiers: dict[str, Frontier] = field(default_factory=dict)

    async def plan(self, task: Task, known: Known, tools: Tools) -> Plan:
        """The question in several wordings: whole, its names with what is asked of them, names."""
        del known, tools
        question = asked(task.question)
        return Plan(queries=tuple(question.queries[:QUERIES_FIRST]), urls=question.urls)

    async def reflect(self, task: Task, known: Known, tools: Tools) -> Reflection:
        """The names in what was read that the question leads to."""
        frontier = self._frontiers.setdefault(task.question, Frontier(asked(task.question)))
        steps = await frontier.advance(known, tools)
        return Reflection(queries=tuple(step.query for step in steps), ready=not steps)

    async def answer(self, task: Task, known: Known, tools: Tools, *, force: bool) -> Draft:
        """The passage that bears most on the question."""
        del task, tools, force
        if not known.evidence:
            return Draft("")
        best = known.evidence[0]
        return Draft(f"{best.quote} [^1]", (best,))

    async def evaluate(self, task: Task, draft: Draft, known: Known, tools: Tools) -> Verdict:
        """Whether it says anything."""
        del task, known, tools
        return Verdict(passed=bool(draft.text))
