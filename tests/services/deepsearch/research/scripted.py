"""A mind that says what it was told to say, in order; the last of each is said again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.deepsearch.research.mind import (
    Draft,
    Evidence,
    Known,
    Plan,
    Reflection,
    Task,
    Verdict,
)
from services.deepsearch.tools import Tools


@dataclass(slots=True)
class Scripted:
    """`drafts` and `verdicts` in turn; `forced` is the last resort's."""

    plans: Plan = field(default_factory=Plan)
    reflections: Sequence[Reflection] = (Reflection(ready=True),)
    drafts: Sequence[Draft] = (Draft("it"),)
    verdicts: Sequence[Verdict] = (Verdict(passed=True),)
    forced: Draft = field(default_factory=lambda: Draft("forced"))
    answered: int = 0
    judged: int = 0
    reflected: int = 0
    forced_times: int = 0
    seen: list[Known] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    async def plan(self, task: Task, known: Known, tools: Tools) -> Plan:
        self.questions.append(task.question)
        return self.plans if len(self.questions) == 1 else Plan()

    async def reflect(self, task: Task, known: Known, tools: Tools) -> Reflection:
        self.reflected += 1
        return self.reflections[min(self.reflected, len(self.reflections)) - 1]

    async def answer(self, task: Task, known: Known, tools: Tools, *, force: bool) -> Draft:
        self.seen.append(known)
        if force:
            self.forced_times += 1
            return self.forced
        self.answered += 1
        return self.drafts[min(self.answered, len(self.drafts)) - 1]

    async def evaluate(self, task: Task, draft: Draft, known: Known, tools: Tools) -> Verdict:
        self.judged += 1
        return self.verdicts[min(self.judged, len(self.verdicts)) - 1]


def cited(text: str, url: str = "https://wiki.test/Karsund", quote: str = "Karsund") -> Draft:
    """A draft with a reference."""
    return Draft(text, (Evidence(url, "Karsund", quote, score=0.9),))
