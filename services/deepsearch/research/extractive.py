"""A mind without a model: follows names from passage to passage, and answers in found words.

It decomposes by the names and parts of the question (`asking`), searches for what the sentences it
read lead to (`frontier`), and answers with the best-supported span and the sentences on the way to
it (`answering`). It refuses nothing; what it cannot find it does not say.
"""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Final

from services.deepsearch.fitting import fitted
from services.deepsearch.research.answering import Composer
from services.deepsearch.research.asking import asked
from services.deepsearch.research.explaining import explains
from services.deepsearch.research.frontier import Frontier
from services.deepsearch.research.judging import Judge
from services.deepsearch.research.mind import Draft, Known, Plan, Reflection, Task, Verdict
from services.deepsearch.research.sayings import sayings
from services.deepsearch.research.text import content_words, spelled
from services.deepsearch.tools import Tools

QUERIES_FIRST: Final = 6
GAPS_MOST: Final = 3


@dataclass(slots=True)
class Extractive:
    """One per request: it remembers what it has compared."""

    _frontiers: dict[str, Frontier] = field(default_factory=dict)

    async def plan(self, task: Task, known: Known, tools: Tools) -> Plan:
        """The question as it stands, its names, and for a team a question about each name."""
        del known, tools
        question = self._frontier(task).asked
        say = sayings(task.language, task.question)
        rest = " ".join(question.relations)
        parts = [f"{name} {rest}".strip() for name in question.names]
        queries = question.queries[:QUERIES_FIRST]
        if explains(question):
            # The names alone would bring pages about something else that is called so.
            words = spelled(content_words(question.text), question.text)
            queries = tuple(dict.fromkeys([question.text, " ".join(words)]))
        return Plan(
            queries=queries,
            questions=tuple(parts) if len(parts) > 1 else (),
            urls=question.urls,
            think=say.searching.format(what=", ".join(question.names) or question.text),
        )

    async def reflect(self, task: Task, known: Known, tools: Tools) -> Reflection:
        """The names in what was read that the question leads to."""
        frontier = self._frontier(task)
        if explains(frontier.asked) or not frontier.asked.names:
            # No name of the question, so no way begins at one.
            await frontier.weigh(known, tools)
            return Reflection(ready=True)
        steps = await frontier.advance(known, tools)
        say = sayings(task.language, task.question)
        ways: dict[str, list[str]] = {}
        for step in steps:
            ways.setdefault(step.source.title, []).append(step.name)
        told = [
            say.reading.format(title=title, what=", ".join(names)) for title, names in ways.items()
        ]
        queries = tuple(step.query for step in steps)
        return Reflection(queries=queries, ready=not steps, think="".join(told))

    async def answer(self, task: Task, known: Known, tools: Tools, *, force: bool) -> Draft:
        """The best-supported span, the sentence it stands in, and those that led there."""
        frontier = self._frontier(task)
        if not force:
            await frontier.weigh(known, tools)
        composer = Composer(task, frontier, known, Judge(frontier, known))
        draft = await asyncio.to_thread(composer.draft, force=force)
        if task.schema is None:
            return draft
        return replace(draft, fields=fitted(task.schema, draft))

    async def evaluate(self, task: Task, draft: Draft, known: Known, tools: Tools) -> Verdict:
        """Definitive, and every quote stands in its page."""
        del tools
        say = sayings(task.language, task.question)
        texts = {page.url: page.text for page in known.pages}
        if not all(cited.quote in texts.get(cited.url, "") for cited in draft.citations):
            return Verdict(False, say.unsupported, await self._gaps(task, known), say.unsupported)
        if not draft.definitive:
            return Verdict(False, say.undecided, await self._gaps(task, known), say.undecided)
        return Verdict(passed=True)

    async def _gaps(self, task: Task, known: Known) -> tuple[str, ...]:
        """What has not been looked for: names with what is asked, and names that lead further."""
        frontier = self._frontier(task)
        question = frontier.asked
        if explains(question) or not question.names:
            return ()
        rest = " ".join(question.relations[:GAPS_MOST])
        found = [f"{name} {rest}".strip() for name in question.names]
        further = asyncio.to_thread(frontier.further, known, GAPS_MOST)
        found += [step.query for step in await further]
        return tuple(query for query in dict.fromkeys(found) if query not in known.queries)

    def _frontier(self, task: Task) -> Frontier:
        found = self._frontiers.get(task.question)
        if found is None:
            found = self._frontiers[task.question] = Frontier(asked(task.question))
        return found
