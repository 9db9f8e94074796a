"""The edge of what is known: which names that were read lead on, best first.

Every sentence of the weighed pages is compared with the question as a whole and with its parts; a
name is worth what its sentence is, and what the page is on which it stands. Names that are looked
up give their worth to their own page. Nothing here searches or reads. It refuses nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from services.deepsearch.research.asking import Asked, without
from services.deepsearch.research.mind import Known
from services.deepsearch.research.text import (
    Mention,
    content_words,
    key_of,
    mentions,
    sentences,
    spelled,
)
from services.deepsearch.tools import Page, Tools

# Names looked up in one round, and queries in all. A question of so many parts needs so many
# rounds and one more, within bounds.
WIDTH: Final = 4
QUERIES_MOST: Final = 22
ROUNDS_LEAST, ROUNDS_MOST = 2, 6
PAGES_WEIGHED: Final = 6
SENTENCES_OF_A_PAGE: Final = 24
# Words of the question that go along with a name, never more than the name has: a search that
# wants half of the words still finds the page of the name.
WORDS_ALONG: Final = 2
# How a sentence is compared: with the question, with what it says beside its names, with its
# nearest part, and by common words. Tried on two made-up worlds; 0.2 more or less changes little.
WHOLE, SKELETON, PART, WORDS = 0.2, 0.3, 0.5, 0.2
MIDDLE, STEEPNESS = 0.3, 6.0
# How much of a sentence's worth is its place among those of its page.
RELATIVE: Final = 0.5
ON_THE_WAY, ASIDE = 0.9, 0.5
ADJECTIVE, BEGINNING = 0.6, 0.4
LOWER_CHARACTERS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a page. `score` from 0 to 1; `part`: which part of the question is nearest."""

    url: str
    title: str
    text: str
    mentions: tuple[Mention, ...]
    score: float
    part: int
    parts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A name to look up, and the sentence that leads there; `depth` counts steps."""

    name: str
    key: str
    query: str
    worth: float
    depth: int
    source: Sentence


@dataclass(slots=True)
class Frontier:
    """Of one question; remembers what it has weighed."""

    asked: Asked
    sentences: dict[str, list[Sentence]] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    _rounds: int = 0
    _small: set[str] = field(default_factory=set)
    _question: Any = None
    _keys: dict[str, str] = field(default_factory=dict)
    _scores: dict[str, float] = field(default_factory=dict)

    async def advance(self, known: Known, tools: Tools) -> list[Step]:
        """The names to look up next; none when the question's depth is reached."""
        await self.weigh(known, tools)
        self._rounds += 1
        most = min(ROUNDS_MOST, max(ROUNDS_LEAST, self.asked.parts_count + 1))
        room = min(WIDTH, QUERIES_MOST - len(known.queries))
        if self._rounds > most or room <= 0:
            return []
        found = await asyncio.to_thread(self.further, known, room)
        for step in found:
            self.steps[step.key] = step
        return found

    def further(self, known: Known, most: int) -> list[Step]:
        """The best names that could be looked up."""
        found = sorted(self._open(known).values(), key=lambda lead: -lead[0])[:most]
        return [self._step(mention, worth, row) for worth, mention, row in found]

    def depth(self, page_title: str) -> int:
        """How many steps lead to a page of that title."""
        step = self.steps.get(key_of(page_title))
        return step.depth if step is not None else 0

    def key(self, page: Page) -> str:
        """The key of the page's title."""
        found = self._keys.get(page.url)
        if found is None:
            found = self._keys[page.url] = key_of(page.title)
        return found

    def worth(self, page: Page) -> float:
        """How sure it is that the page is on the way, from 0 to 1."""
        key = self.key(page)
        if key in self.asked.keys:
            return 1.0
        if key in self.steps:
            return ON_THE_WAY * self.steps[key].worth
        return ASIDE * self._scores.get(page.url, 0.0)

    def _open(self, known: Known) -> dict[str, tuple[float, Mention, Sentence]]:
        """All names that may be looked up, with the best sentence for each."""
        read = {self.key(page) for page in known.pages} | self.asked.keys
        titles = read | {key_of(hit.title) for hit in known.hits}
        last_words = {title.rpartition(" ")[2] for title in read if " " in title}
        best: dict[str, tuple[float, Mention, Sentence]] = {}
        for page in known.pages:
            rows = self.sentences.get(page.url, ())
            chain = self.worth(page)
            top = max((row.score for row in rows), default=0.0) or 1.0
            own = self.key(page)
            for row in rows:
                worth = chain * ((1 - RELATIVE) * row.score + RELATIVE * row.score / top)
                for mention in row.mentions:
                    value = worth * self._fitness(mention, titles)
                    key = mention.key
                    if key == own or key in self.asked.keys or key in self.steps or not value:
                        continue
                    # A surname of somebody known.
                    if key in last_words:
                        continue
                    if key not in best or best[key][0] < value:
                        best[key] = (value, mention, row)
        return best

    def _fitness(self, mention: Mention, titles: set[str]) -> float:
        """0 for a word that is no name, less than 1 where it may be none."""
        fitness = ADJECTIVE if mention.adjective else 1.0
        if mention.first and " " not in mention.key and mention.key not in titles:
            return 0.0 if mention.key in self._small else BEGINNING * fitness
        return fitness

    def _step(self, mention: Mention, worth: float, row: Sentence) -> Step:
        query = self._query(mention.name, row.part)
        return Step(mention.name, mention.key, query, worth, self.depth(row.title) + 1, row)

    def _query(self, name: str, part: int) -> str:
        """The name, and words of the part of the question that is asked of it."""
        if not self.asked.parts_count:
            return name
        # Questions are nested: what is said first is asked of what is found last.
        asked = self.asked.segments[max(0, part - 1)]
        most = min(WORDS_ALONG, len(content_words(name)))
        return " ".join([name, *spelled(content_words(asked), asked)[:most]])

    async def weigh(self, known: Known, tools: Tools) -> None:
        """Compares the sentences of the most promising new pages with the question."""
        quotes: dict[str, list[str]] = {}
        for evidence in known.evidence:
            quotes.setdefault(evidence.url, []).append(evidence.quote)
            best = self._scores.get(evidence.url, 0.0)
            self._scores[evidence.url] = max(best, evidence.score)
        new = [page for page in known.pages if page.url not in self.sentences]
        new.sort(key=lambda page: -self.worth(page))
        rows: list[tuple[Page, str]] = []
        for page in new[:PAGES_WEIGHED]:
            self.sentences[page.url] = []
            self._small.update(w for w in page.text[:LOWER_CHARACTERS].split() if w.islower())
            texts = [q[a:b] for q in quotes.get(page.url, ()) for a, b in sentences(q)]
            rows += [(page, text) for text in texts[:SENTENCES_OF_A_PAGE]]
        if rows:
            await self._compare(rows, tools)

    async def _compare(self, rows: Sequence[tuple[Page, str]], tools: Tools) -> None:
        asked = self.asked
        if self._question is None:
            texts = [asked.text, asked.skeleton or asked.text, *asked.segments]
            self._question = np.asarray(await tools.embed(texts, task="retrieval.query"))
        bare = [without(text, (page.title,)) or text for page, text in rows]
        vectors = await tools.embed(bare, task="retrieval.passage")
        await asyncio.to_thread(self._weighed, rows, bare, vectors)

    def _weighed(
        self,
        rows: Sequence[tuple[Page, str]],
        bare: Sequence[str],
        vectors: Sequence[Sequence[float]],
    ) -> None:
        asked = self.asked
        likeness = np.asarray(vectors) @ self._question.T
        wanted = set(content_words(" ".join(asked.relations)))
        for (page, text), plain, like in zip(rows, bare, likeness, strict=True):
            parts = like[2:] if len(like) > 2 else like[1:]
            common = len(wanted.intersection(content_words(plain))) / max(1, len(wanted))
            sum_of_all = WHOLE * like[0] + SKELETON * like[1] + PART * parts.max() + WORDS * common
            singles = parts[: max(1, asked.parts_count)]
            self.sentences[page.url].append(
                Sentence(
                    url=page.url,
                    title=page.title,
                    text=text,
                    mentions=tuple(mentions(text)),
                    score=float(1 / (1 + np.exp(-STEEPNESS * (sum_of_all - MIDDLE)))),
                    part=int(singles.argmax()),
                    parts=tuple(float(value) for value in singles),
                )
            )
