"""The research: plan, search, read, reflect, answer, evaluate, until an answer passes. Read first.

It ends at the first draft that passes, after so many that did not, when the budget is spent, at
the deadline, or when there is nothing more to look for; then it answers from what it knows. The
answer is never empty. It refuses nothing; MindError goes through to the caller.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from services.deepsearch.research.field import Field, Shelf, together
from services.deepsearch.research.mind import (
    Draft,
    Findings,
    Mind,
    Options,
    Plan,
    Reflection,
    Rejected,
    Solved,
    Task,
    Verdict,
)
from services.deepsearch.research.sayings import Sayings, sayings
from services.deepsearch.research.selection import host_of
from services.deepsearch.tools import BudgetSpent, Progress, Tools

# Rounds of reading before an answer is tried, whatever the mind still wants.
ROUNDS_MOST: Final = 12
# A forced answer must not wait for anything; if it does, what is known is said as it stands.
FORCED_S: Final = 30.0
STOP, ATTEMPTS, BUDGET, DEADLINE, NOTHING = "stop", "attempts", "budget", "deadline", "nothing"


async def research(
    task: Task, mind: Mind, tools: Tools, progress: Progress, options: Options
) -> Findings:
    """What there is to say about the task, with its references."""
    run = _Run(task, mind, tools, progress, options)
    finish = DEADLINE
    try:
        async with asyncio.timeout(max(0.0, options.deadline_s - time.monotonic())) as limit:
            found = await run.until_passed()
            if found is not None:
                return found
            finish = run.finish
    except TimeoutError:
        if not limit.expired():
            raise
    except BudgetSpent:
        finish = BUDGET
    return await run.forced(finish)


@dataclass(slots=True)
class _Run:
    task: Task
    mind: Mind
    tools: Tools
    progress: Progress
    options: Options
    shelf: Shelf = field(default_factory=Shelf)
    finish: str = ATTEMPTS
    work: Field = field(init=False)
    say: Sayings = field(init=False)

    def __post_init__(self) -> None:
        self.work = Field(self.task, self.tools, self.progress, self.options, self.shelf)
        self.say = sayings(self.task.language, self.task.question)

    async def until_passed(self) -> Findings | None:
        """The findings of a draft that passed, or None where only a forced answer is left."""
        plan = await self.mind.plan(self.task, self.work.known(), self.tools)
        self._think(plan)
        if plan.answer is not None and plan.answer.text and not self.options.no_direct_answer:
            return self._findings(plan.answer, STOP)
        await self._team(plan)
        queries: Sequence[str] = plan.queries or (self.task.question,)
        urls: Sequence[str] = plan.urls
        for _ in range(max(1, self.options.max_attempts)):
            await self._gather(queries, urls)
            if self.work.spent or not self.tools.remaining_tokens():
                self.finish = BUDGET
                return None
            draft = await self._answered(force=False)
            verdict = await self._judged(draft)
            self._think(verdict)
            if verdict.passed:
                return self._findings(draft, STOP)
            self.work.rejected.append(Rejected(draft, verdict.why))
            queries, urls = verdict.gaps, ()
        return None

    async def forced(self, finish: str) -> Findings:
        """An answer from what is known, in any case."""
        known = self.work.known()
        if not known.pages and not known.solved and not known.hits:
            return self._findings(Draft(self.say.nothing), NOTHING)
        self.progress.think(self.say.forced)
        draft = Draft("")
        try:
            async with asyncio.timeout(FORCED_S):
                draft = await self._answered(force=True)
        except (TimeoutError, BudgetSpent):
            pass
        return self._findings(self._never_empty(draft), finish)

    def _never_empty(self, draft: Draft) -> Draft:
        if draft.text.strip():
            return draft
        earlier = [r.draft for r in self.work.rejected if r.draft.text.strip()]
        if earlier:
            return earlier[-1]
        known = self.work.known()
        if known.evidence:
            best = known.evidence[0]
            return Draft(f"{best.quote} [^1]", (best,), definitive=False)
        if known.hits:
            # Found but not read, so it is told and not quoted.
            hit = known.hits[0]
            told = f"{hit.title}: {hit.snippet}".strip(": ")
            return Draft(f"{self.say.unsure} {told} ({hit.url})", definitive=False)
        return Draft(self.say.nothing, definitive=False)

    async def _gather(self, queries: Sequence[str], urls: Sequence[str]) -> None:
        """Rounds of reading until the mind has enough, or a round brings nothing new."""
        for _ in range(ROUNDS_MOST):
            if not (self.work.fresh(queries) or urls):
                return
            news = await self.work.attend(queries, urls)
            if not news or self.work.spent:
                return
            reflection = await self.mind.reflect(self.task, self.work.known(), self.tools)
            self._think(reflection)
            queries, urls = (*reflection.queries, *reflection.gaps), reflection.urls
            if reflection.ready:
                return

    async def _answered(self, *, force: bool) -> Draft:
        draft = await self.mind.answer(self.task, self.work.known(), self.tools, force=force)
        if draft.think:
            self.progress.think(draft.think)
        return draft

    async def _judged(self, draft: Draft) -> Verdict:
        """An answer without references goes on, whatever the mind thinks of it."""
        if not draft.text.strip():
            return await self._failed(draft, self.say.empty)
        if not draft.citations:
            return await self._failed(draft, self.say.unreferenced)
        return await self.mind.evaluate(self.task, draft, self.work.known(), self.tools)

    async def _failed(self, draft: Draft, why: str) -> Verdict:
        """With the gaps that the mind sees in such a draft."""
        verdict = await self.mind.evaluate(self.task, draft, self.work.known(), self.tools)
        return Verdict(False, why, verdict.gaps, why)

    async def _team(self, plan: Plan) -> None:
        """Sub-questions, each looked into by a member of its own; budget and shelf are shared."""
        members = plan.questions[: self.options.team_size]
        if self.options.team_size < 2 or len(members) < 2:
            return
        runs = [self._member(question) for question in members]
        drafts = await together(run.as_member() for run in runs)
        for run, draft in zip(runs, drafts, strict=True):
            self.work.absorb(run.work)
            if draft is not None:
                self.work.solved.append(Solved(run.task.question, draft))

    def _member(self, question: str) -> "_Run":
        options = replace(self.options, team_size=1, no_direct_answer=True)
        task = replace(self.task, question=question, schema=None)
        return _Run(task, self.mind, self.tools, self.progress, options, self.shelf)

    async def as_member(self) -> Draft | None:
        """The member's draft; none where the budget ended first."""
        try:
            found = await self.until_passed()
        except BudgetSpent:
            return None
        if found is not None:
            return Draft(found.answer, found.citations)
        return self.work.rejected[-1].draft if self.work.rejected else None

    def _think(self, said: Plan | Reflection | Verdict) -> None:
        if said.think:
            self.progress.think(said.think)

    def _findings(self, draft: Draft, finish: str) -> Findings:
        known, options = self.work.known(), self.options
        least = options.min_annotation_relevance
        cited = [
            citation
            for citation in dict.fromkeys(draft.citations)
            if host_of(citation.url) and (least is None or citation.score >= least)
        ]
        found = self.work.found_urls
        return Findings(
            answer=draft.text.strip(),
            citations=tuple(cited[: options.max_annotations]),
            visited_urls=found[: options.max_returned_urls],
            read_urls=self.work.read_urls,
            url_count=len(found),
            finish=finish,
            fields=draft.fields,
            passages=known.evidence,
        )
