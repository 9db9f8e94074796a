"""What one research has found so far, and the work in the field: search, select, read, extract.

Several researches of one team share a Shelf, so that no query is asked and no page read twice.
Every method may end early because the budget is spent; what was found until then is kept.
It refuses addresses that the client does not want.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, ParamSpec, TypeVar

from services.deepsearch.research import passages, selection
from services.deepsearch.research.mind import Evidence, Known, Options, Rejected, Solved, Task
from services.deepsearch.research.selection import Candidate
from services.deepsearch.tools import BudgetSpent, Hit, Page, Progress, Tools

RESULTS: Final = 10
AT_ONCE: Final = 8
# Shown to a reranker of one hit.
SHOWN_CHARACTERS: Final = 600
# How many hits of a query, and passages of a round, are ranked.
HITS_RANKED: Final = 6
RANKED_MOST: Final = 24
EVIDENCE_MOST: Final = 60
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(slots=True)
class Shelf:
    """What a team shares: calls under way or done, by query and by address."""

    searches: dict[str, asyncio.Task[Sequence[Hit]]] = field(default_factory=dict)
    reads: dict[str, asyncio.Task[Page | None]] = field(default_factory=dict)


async def once(
    shelf: dict[str, asyncio.Task[T]], key: str, call: Callable[[], Coroutine[Any, Any, T]]
) -> T:
    """The result of `call`, which is made once per key; a failed call may be made again."""
    task = shelf.get(key)
    if task is None:
        task = shelf[key] = asyncio.create_task(call())
        try:
            return await task
        except BaseException:
            shelf.pop(key, None)
            task.cancel()
            raise
    return await asyncio.shield(task)


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results, a few at once; the first failure cancels what is still under way."""
    gate = asyncio.Semaphore(AT_ONCE)
    made = list(calls)

    async def passed(call: Awaitable[T]) -> T:
        async with gate:
            return await call

    tasks = [asyncio.create_task(passed(call)) for call in made]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # One that was cancelled before its turn was never begun.
        for call in made:
            call.close()


class Field:
    """The field work for one question."""

    def __init__(
        self, task: Task, tools: Tools, progress: Progress, options: Options, shelf: Shelf
    ) -> None:
        self.task = task
        self.tools = tools
        self.spent = False
        self.rejected: list[Rejected] = []
        self.solved: list[Solved] = []
        self._progress = progress
        self._options = options
        self._shelf = shelf
        self._candidates: dict[str, Candidate] = {}
        self._pages: dict[str, Page] = {page.url: page for page in task.attachments}
        self._failed: set[str] = set()
        self._origins: dict[str, str] = {}
        self._queries: dict[str, None] = {}
        self._evidence: list[Evidence] = []
        self._extracted: set[str] = set()
        self._vector: Sequence[float] | None = None

    @property
    def read_urls(self) -> tuple[str, ...]:
        """Pages that were read, in order; attachments are none."""
        return tuple(url for url in self._pages if selection.host_of(url))

    @property
    def found_urls(self) -> tuple[str, ...]:
        """All addresses that were found: those with evidence first, then read, then the rest."""
        best = [evidence.url for evidence in self._evidence if selection.host_of(evidence.url)]
        rest = sorted(self._candidates.values(), key=lambda candidate: -candidate.score)
        return tuple(dict.fromkeys([*best, *self.read_urls, *(c.hit.url for c in rest)]))

    def known(self) -> Known:
        """All of it, as a mind sees it."""
        unread = [c for url, c in self._candidates.items() if url not in self._pages]
        ranked = sorted(unread, key=lambda candidate: -candidate.score)
        return Known(
            evidence=tuple(self._evidence),
            pages=tuple(self._pages.values()),
            hits=tuple(candidate.hit for candidate in ranked),
            queries=tuple(self._queries),
            rejected=tuple(self.rejected),
            solved=tuple(self.solved),
            origins=dict(self._origins),
        )

    def fresh(self, queries: Iterable[str]) -> list[str]:
        """Those queries that were not asked yet."""
        bare = (" ".join(query.split()) for query in queries)
        return [query for query in dict.fromkeys(bare) if query and query not in self._queries]

    async def attend(self, queries: Sequence[str], urls: Sequence[str] = ()) -> bool:
        """One round: search, select, read, extract. Answers whether it brought anything new."""
        before = len(self._pages), len(self._candidates)
        asked = self.fresh(queries)
        if self.task.attachments:
            # What the client sent comes before what the web has, also where the budget is small.
            await self._extract()
        await self._search(asked)
        await self._visit([url for url in urls if selection.is_wanted(url, self._options)])
        await self._read_the_best(asked)
        await self._extract()
        return (len(self._pages), len(self._candidates)) != before

    def absorb(self, other: "Field") -> None:
        """Takes over what another of the team has found."""
        for url, candidate in other._candidates.items():
            self._candidates.setdefault(url, candidate)
        for url, page in other._pages.items():
            self._pages.setdefault(url, page)
            self._origins.setdefault(url, other._origins.get(url, ""))
        self._queries.update(other._queries)
        self._failed |= other._failed
        have = {(evidence.url, evidence.quote) for evidence in self._evidence}
        new = [e for e in other._evidence if (e.url, e.quote) not in have]
        self._extracted |= {evidence.url for evidence in new}
        self._keep(new)

    async def _try(
        self, call: Callable[P, Awaitable[T]], *args: P.args, **named: P.kwargs
    ) -> T | None:
        try:
            return await call(*args, **named)
        except BudgetSpent:
            self.spent = True
            return None

    async def _search(self, queries: Sequence[str]) -> None:
        found = await together(self._try(self._one_search, query) for query in queries)
        for query, hits in zip(queries, found, strict=True):
            for place, hit in enumerate(hits or ()):
                self._take(query, place, hit)

    async def _one_search(self, query: str) -> Sequence[Hit]:
        self._queries[query] = None
        self._progress.searching(query)
        search = self.tools.search
        return await once(self._shelf.searches, query, lambda: search(query, results=RESULTS))

    def _take(self, query: str, place: int, hit: Hit) -> None:
        known = self._candidates.get(hit.url)
        if known is not None:
            known.founds += 1
            if not known.titled and selection.is_titled(hit.title, query):
                known.query, known.place, known.titled = query, place, True
        elif selection.is_wanted(hit.url, self._options):
            made = Candidate(hit, query, place)
            made.preferred = selection.below(
                selection.host_of(hit.url), self._options.boost_hostnames
            )
            self._candidates[hit.url] = made

    async def _visit(self, urls: Sequence[str]) -> None:
        """Reads these addresses."""
        wanted = [u for u in dict.fromkeys(urls) if u not in self._pages and u not in self._failed]
        found = await together(self._try(self._one_read, url) for url in wanted)
        for url, page in zip(wanted, found, strict=True):
            if page is None or not page.text.strip():
                self._failed.add(url)
                continue
            # Known under the address that was asked for: that is what was found and is cited.
            known = self._candidates.get(url)
            title = page.title or (known.hit.title if known else "")
            date = page.date or (known.hit.date if known else None)
            self._pages[url] = replace(page, url=url, title=title, date=date)
            self._origins[url] = known.query if known else ""

    async def _one_read(self, url: str) -> Page | None:
        self._progress.visiting(url)
        return await once(self._shelf.reads, url, lambda: self.tools.read(url))

    async def _read_the_best(self, queries: Sequence[str]) -> None:
        """In two helpings: how long pages are is known after the first."""
        await self._rank(queries)
        eaten = 0
        for helping in (1, 2):
            most = selection.appetite(self.tools.remaining_tokens(), self._page_tokens())
            if helping == 1 and not self._pages:
                most = min(most, len(queries) + selection.PAGES_LEAST)
            unread = [
                candidate
                for url, candidate in self._candidates.items()
                if url not in self._pages and url not in self._failed
            ]
            best = selection.chosen(unread, queries, max(0, most - eaten))
            if not best or self.spent:
                return
            await self._visit([candidate.hit.url for candidate in best])
            eaten += len(best)

    def _page_tokens(self) -> int:
        return selection.usual([len(page.text) // 4 for page in self._pages.values()])

    async def _rank(self, queries: Sequence[str]) -> None:
        """How relevant the new hits are to what they were searched for."""
        if self._page_tokens() <= selection.SHORT_PAGE_TOKENS:
            return
        likely = sorted(self._candidates.values(), key=lambda candidate: -candidate.score)
        rows = [[c for c in likely if c.query == query] for query in queries]
        await together(
            self._try(self._rank_one, query, row[:HITS_RANKED])
            for query, row in zip(queries, rows, strict=True)
            if row
        )

    async def _rank_one(self, query: str, row: Sequence[Candidate]) -> None:
        scores = await self.tools.rerank(query, [_shown(candidate.hit) for candidate in row])
        for candidate, score in zip(row, scores, strict=False):
            candidate.relevance = score

    async def _extract(self) -> None:
        """The passages of pages that are new, ranked beside the question."""
        new = [page for url, page in self._pages.items() if url not in self._extracted]
        if not new or self.spent:
            return
        question = self.task.question
        long = any(len(page.text) > passages.WHOLE_CHARACTERS for page in new)
        if long and self._vector is None:
            rows = await self._try(self.tools.embed, [question], task="retrieval.query")
            self._vector = rows[0] if rows else ()
        vector = self._vector or ()
        found = await together(
            self._try(passages.relevant, self.tools, self._asked_of(page), page, vector)
            for page in new
        )
        made = [
            Evidence(page.url, page.title, quote, page.date)
            for page, quotes in zip(new, found, strict=True)
            for quote in quotes or ()
        ]
        self._extracted.update(page.url for page in new)
        texts = [f"{evidence.title}: {evidence.quote}" for evidence in made[:RANKED_MOST]]
        scores = await self._try(self.tools.rerank, question, texts) if texts else None
        ranks = [*(scores or ()), *([0.0] * len(made))]
        self._keep([replace(e, score=score) for e, score in zip(made, ranks, strict=False)])

    def _asked_of(self, page: Page) -> str:
        return f"{self.task.question} {self._origins.get(page.url, '')}".strip()

    def _keep(self, new: Sequence[Evidence]) -> None:
        both = sorted([*self._evidence, *new], key=lambda evidence: -evidence.score)
        self._evidence = both[:EVIDENCE_MOST]


def _shown(hit: Hit) -> str:
    return f"{hit.title}. {hit.snippet}"[:SHOWN_CHARACTERS]
