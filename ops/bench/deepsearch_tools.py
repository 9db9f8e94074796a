"""What the research is measured with: the real index and the real models, in this process.

Every call is counted as the service counts: a search the text of its hits, a page its tokens,
rerank and embed what the model reads. Times are kept by step.
"""

import math
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.deepsearch.tools import BudgetSpent, Hit, Page
from services.models.engine import Engine, engine
from services.models.windows import normalised
from services.rerank import fusion, lexical
from services.rerank import words as rerank_words
from services.rerank.words import terms
from services.search.index.documents import Document
from services.search.index.library import Library
from services.search.index.passages import best_passage
from services.settings import load
from services.tokenizer import DEFAULT, Tokenizer
from tests.services.deepsearch.research.things_of_world import Passage


class Searcher(Protocol):
    """One query in, places of passages out."""

    async def find(self, query: str, count: int) -> list[tuple[int, str]]: ...


class Plain:
    """BM25 of any word over title and text, as a plain search server has it."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._lists: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._lengths = []
        for place, passage in enumerate(passages):
            counted = Counter(terms(f"{passage.title} {passage.text}"))
            self._lengths.append(counted.total())
            for term, times in counted.items():
                self._lists[term].append((place, times))
        self._mean = sum(self._lengths) / len(self._lengths)

    async def find(self, query: str, count: int) -> list[tuple[int, str]]:
        scores: dict[int, float] = defaultdict(float)
        for term in dict.fromkeys(terms(query)):
            rows = self._lists.get(term, ())
            idf = math.log(1 + (len(self._passages) - len(rows) + 0.5) / (len(rows) + 0.5))
            for place, times in rows:
                damping = 1.2 * (0.25 + 0.75 * self._lengths[place] / self._mean)
                scores[place] += idf * times * 2.2 / (times + damping)
        best = sorted(scores, key=lambda place: -scores[place])[:count]
        asked = terms(query)
        return [(place, best_passage(self._passages[place].text, asked)) for place in best]


class Indexed:
    """The embedded index."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def find(self, query: str, count: int) -> list[tuple[int, str]]:
        found = await self._library.search(query, {}, 0, count)
        return [(int(m.document.url.rpartition("/p")[2]), m.passage) for m in found]


@asynccontextmanager
async def indexed(folder: Path, passages: Sequence[Passage]) -> AsyncIterator[Indexed]:
    """The index over these passages."""
    library = Library(folder, "corpus.test")
    await library.open()
    starter = [f"https://docs.corpus.test{suffix}" for suffix in ("",)]
    await library.remove([], starter)
    for at in range(0, len(passages), 500):
        rows = passages[at : at + 500]
        await library.add([Document(p.url, p.title, p.text) for p in rows])
    yield Indexed(library)
    await library.close()


@asynccontextmanager
async def models() -> AsyncIterator[Engine]:
    """The built-in model."""
    made = engine(load({"SLUICE_INTERNAL_SECRET": "x" * 20, "SLUICE_DATA_DIR": ".sluice"}))
    await made.start()
    yield made
    await made.stop()


@dataclass(slots=True)
class Bench:
    """Tools over a corpus; one per question."""

    searcher: Searcher
    passages: Sequence[Passage]
    engine: Engine
    tokenizer: Tokenizer = field(default_factory=lambda: Tokenizer(DEFAULT))
    budget: int = 500_000
    used: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    queries: list[str] = field(default_factory=list)

    async def search(self, query: str, *, results: int) -> list[Hit]:
        started = self._begin("search")
        self.queries.append(query)
        found = await self.searcher.find(query, results)
        hits = [
            Hit(self.passages[place].url, self.passages[place].title, snippet, None)
            for place, snippet in found
        ]
        tokens = sum(self.tokenizer.count(f"{hit.title}\n{hit.snippet}") for hit in hits)
        self._end("search", tokens, started)
        return hits

    async def read(self, url: str) -> Page | None:
        started = self._begin("read")
        passage = self.passages[int(url.rpartition("/p")[2])]
        self._end("read", self.tokenizer.count(passage.text), started)
        return Page(url, passage.title, passage.text, None, truncated=False)

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        started = self._begin("rerank")
        asked = await self.engine.embed([query], model=None, truncate=True)
        found = await self.engine.passages(list(texts), model=None, truncate=True)
        dense = fusion.best_windows(
            asked.vectors[0], normalised(found.vectors), found.owners, len(texts)
        )
        familiar = rerank_words.familiar_share(query)
        scores = fusion.scores(dense, lexical.shares(query, list(texts)), familiar)
        self.calls["reranked texts"] += len(texts)
        self._end("rerank", sum(asked.tokens) + sum(found.tokens), started)
        return [float(score) for score in scores]

    async def embed(
        self, texts: Sequence[str], *, task: str, late_chunking: bool = False
    ) -> list[list[float]]:
        del task
        started = self._begin("embed")
        found = await self.engine.embed(
            list(texts), model=None, truncate=True, late_chunking=late_chunking
        )
        self._end("embed", sum(found.tokens), started)
        rows: list[list[float]] = found.vectors.tolist()
        return rows

    def remaining_tokens(self) -> int:
        return max(0, self.budget - self.used.total())

    def spend(self, step: str, prompt_tokens: int, completion_tokens: int) -> None:
        self.used[step] += prompt_tokens + completion_tokens

    def _begin(self, step: str) -> float:
        if not self.remaining_tokens():
            raise BudgetSpent
        self.calls[step] += 1
        return time.perf_counter()

    def _end(self, step: str, tokens: int, started: float) -> None:
        self.used[step] += tokens
        self.seconds[step] += time.perf_counter() - started
