"""Which names that were read lead on: the edge of what is known, best first."""

from dataclasses import dataclass, field
from typing import Final

from services.deepsearch.research.asking import Asked
from services.deepsearch.research.mind import Known
from services.deepsearch.research.text import key_of, names, sentences
from services.deepsearch.tools import Page, Tools

WIDTH: Final = 4
QUERIES_MOST: Final = 18
PAGES_WEIGHED: Final = 10
SENTENCES_MOST: Final = 12


@dataclass(frozen=True, slots=True)
class Sentence:
    url: str
    title: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Step:
    """A name to look up; `worth` from 0 to 1, and the page that leads there."""

    query: str
    key: str
    worth: float
    title: str


@dataclass(slots=True)
class Frontier:
    asked: Asked
    sentences: dict[str, list[Sentence]] = field(default_factory=dict)
    worths: dict[str, float] = field(default_factory=dict)

    async def advance(self, known: Known, tools: Tools) -> list[Step]:
        await self._weigh(known, tools)
        room = QUERIES_MOST - len(known.queries)
        if room <= 0:
            return []
        best: dict[str, Step] = {}
        for page in known.pages:
            chain = self._chain(page, known)
            for sentence in self.sentences.get(page.url, ()):
                for name in names(sentence.text):
                    key = key_of(name)
                    if key in self.worths or key in self.asked.keys or key == key_of(page.title):
                        continue
                    worth = chain * (0.3 + sentence.score)
                    if key not in best or best[key].worth < worth:
                        best[key] = Step(name, key, worth, page.title)
        steps = sorted(best.values(), key=lambda step: -step.worth)[: min(WIDTH, room)]
        for step in steps:
            self.worths[step.key] = step.worth
        return steps

    def _chain(self, page: Page, known: Known) -> float:
        key = key_of(page.title)
        if key in self.asked.keys:
            return 1.0
        if key in self.worths:
            return 0.9 * self.worths[key]
        scores = [e.score for e in known.evidence if e.url == page.url]
        return 0.5 * max(scores, default=0.0)

    async def _weigh(self, known: Known, tools: Tools) -> None:
        scores = {e.url: e.score for e in reversed(known.evidence)}
        new = [page for page in known.pages if page.url not in self.sentences]

        def rank(page: Page) -> float:
            key = key_of(page.title)
            return -(scores.get(page.url, 0) + (key in self.asked.keys) + (key in self.worths))

        new.sort(key=rank)
        rows = []
        for page in new[:PAGES_WEIGHED]:
            quotes = [e.quote for e in known.evidence if e.url == page.url]
            for quote in quotes:
                for left, right in list(sentences(quote))[:SENTENCES_MOST]:
                    rows.append((page, quote[left:right]))
            self.sentences[page.url] = []
        if not rows:
            return
        found = await tools.rerank(self.asked.text, [f"{p.title}: {t}" for p, t in rows])
        for (page, text), score in zip(rows, found, strict=True):
            self.sentences[page.url].append(Sentence(page.url, page.title, text, score))
