"""A web of a few pages, its search, and models made of words: tools that always say the same."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from services.deepsearch.account import Account
from services.deepsearch.research.mind import Options
from services.deepsearch.tools import Hit, Page
from services.rerank.words import is_light, terms

DIMENSIONS = 2048
FAR_S = 1e9


@dataclass(frozen=True, slots=True)
class Article:
    """One page of the web."""

    title: str
    text: str
    host: str = "wiki.test"
    date: str | None = None

    @property
    def url(self) -> str:
        return f"https://{self.host}/{self.title.replace(' ', '_')}"


@dataclass(slots=True)
class SmallWeb:
    """Tools over some articles. Counts as the service counts; `delay_s` before every answer."""

    articles: Sequence[Article]
    budget: int = 500_000
    delay_s: float = 0.0
    search_tokens: int = 100
    page_tokens: int = 0
    unreadable: frozenset[str] = frozenset()
    account: Account = field(init=False)
    queries: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    embedded_late: int = 0
    under_way: int = 0
    cancelled: int = 0
    dearest_tokens: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _places: dict[str, int] = field(default_factory=dict)
    _lists: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, article in enumerate(self.articles):
            titled = set(terms(article.title))
            for term, times in Counter(terms(f"{article.title} {article.text}")).items():
                weight = (2.0 if term in titled else 1.0) * times / (times + 1)
                self._lists.setdefault(term, []).append((place, weight))
        self.anew()

    def anew(self) -> None:
        """As if nobody had asked anything yet."""
        self.account = Account(self.budget, FAR_S)
        self.queries, self.reads = [], []

    @property
    def step_tokens(self) -> dict[str, int]:
        """Tokens by kind of step."""
        found: Counter[str] = Counter()
        for step in self.account.steps:
            found[step.kind] += step.tokens
        return dict(found)

    async def search(self, query: str, *, results: int) -> Sequence[Hit]:
        self.queries.append(query)
        await self._cost("search", self.search_tokens)
        found = [self.articles[place] for place in self.ranked(query)[:results]]
        return [Hit(a.url, a.title, a.text[:120], a.date) for a in found]

    def ranked(self, query: str) -> list[int]:
        """Places of articles, best first: rare words count, and words of the title twice."""
        scores: dict[int, float] = {}
        for term in dict.fromkeys(terms(query)):
            rows = [] if is_light(term) else self._lists.get(term, [])
            rarity = math.log(1 + len(self.articles) / (len(rows) + 1))
            for place, weight in rows:
                scores[place] = scores.get(place, 0.0) + rarity * weight
        return sorted(scores, key=lambda place: -scores[place])

    async def read(self, url: str) -> Page | None:
        self.reads.append(url)
        article = next((a for a in self.articles if a.url == url), None)
        await self._cost("read", self.page_tokens or len(article.text if article else "") // 4)
        if article is None or url in self.unreadable:
            return None
        return Page(url, article.title, article.text, article.date, truncated=False)

    async def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        await self._cost("rerank", sum(map(len, texts)) // 4)
        asked = self._vector(query)
        return [float(asked @ self._vector(text)) for text in texts]

    async def embed(
        self, texts: Sequence[str], *, task: str, late_chunking: bool = False
    ) -> Sequence[Sequence[float]]:
        self.embedded_late += late_chunking
        await self._cost("embed", sum(map(len, texts)) // 4)
        return [self._vector(text).tolist() for text in texts]

    def remaining_tokens(self) -> int:
        return self.account.remaining_tokens()

    def spend(self, step: str, prompt_tokens: int, completion_tokens: int) -> None:
        self.account.spend(step, prompt_tokens, completion_tokens)

    def _vector(self, text: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Words: alike where words are shared."""
        found = np.zeros(DIMENSIONS)
        for term in terms(text):
            place = self._places.setdefault(term, len(self._places))
            found[place % DIMENSIONS] += 0.2 if is_light(term) else 1.0
        return found / (np.linalg.norm(found) or 1.0)

    async def busy(self, calls: int) -> None:
        """Until so many calls are under way."""
        while self.under_way < calls:
            self._changed.clear()
            await self._changed.wait()

    async def _cost(self, kind: str, tokens: int) -> None:
        async with self.account.step(kind, "", tokens) as step:
            self.under_way += 1
            self._changed.set()
            try:
                await asyncio.sleep(self.delay_s)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.under_way -= 1
            step.cost(tokens)
            self.dearest_tokens = max(self.dearest_tokens, tokens)


@dataclass(slots=True)
class Heard:
    """What a client would see."""

    thoughts: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    def think(self, text: str) -> None:
        self.thoughts.append(text)

    def searching(self, query: str) -> None:
        self.queries.append(query)

    def visiting(self, url: str) -> None:
        self.urls.append(url)


def options(**wanted: object) -> Options:
    """Options without a deadline that matters."""
    return Options(**{"deadline_s": FAR_S, **wanted})  # type: ignore[arg-type]


FILMS = (
    Article(
        "The Amber Road",
        "The Amber Road is a 1952 drama film about a glass merchant. It was directed by Ottilie "
        "Brandvold. The premiere took place in the spring. Critics admired the photography.",
        date="2020-01-02",
    ),
    Article(
        "Ottilie Brandvold",
        "Ottilie Brandvold (3 May 1911 – 1987) was a painter and filmmaker. She was born in "
        "Karsund and studied chemistry. Later she kept bees.",
    ),
    Article(
        "Karsund",
        "Karsund is a harbour town at the mouth of the Elve. It has 41,300 inhabitants. The "
        "mayor of Karsund is Henrik Solvang. A bridge was built there in 1931.",
    ),
    Article(
        "Winter Ferry",
        "Winter Ferry is a 1961 comedy film set on a lake. It was directed by Paul Adair. Its "
        "songs were popular for years.",
    ),
    Article("Paul Adair", "Paul Adair is a filmmaker from Tarrow. He was born in Tarrow in 1920."),
    Article(
        "Glass making",
        "Glass is made of sand, soda and lime. Merchants carried it along rivers. Bees have "
        "nothing to do with it.",
    ),
    Article("Elve", "The Elve is a river of 212 km. It rises in the hills and passes Karsund."),
)
