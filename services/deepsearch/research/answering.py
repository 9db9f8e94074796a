"""Puts an answer together out of found sentences: the last hop's span, and how it was reached.

Pure; it takes milliseconds for many pages, so it is called in a thread. It refuses to invent: what
is not settled is said to be so, with the closest passage. Every quote is a sentence of its page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.deepsearch.research import comparing
from services.deepsearch.research.comparing import Decided, Side
from services.deepsearch.research.explaining import ENOUGH, explains, told
from services.deepsearch.research.frontier import Frontier, Sentence
from services.deepsearch.research.judging import Judge
from services.deepsearch.research.kinds import Wants, life_date, shares_words, spans, wanted
from services.deepsearch.research.mind import Draft, Evidence, Known, Task
from services.deepsearch.research.sayings import Sayings, sayings
from services.deepsearch.research.text import key_of, sentences

# A likeness to what is asked at last from which on a sentence answers it.
LIKE: Final = 0.33
SURE: Final = 0.30
SENTENCES_SHOWN: Final = 5
# From this likeness on, or with so many letters in common, a sentence tells of what is asked.
BEHIND: Final = 0.55
STEM: Final = 6


@dataclass(frozen=True, slots=True)
class Found:
    """A span, the sentence it stands in, and how well it answers."""

    span: str
    row: Sentence
    score: float


@dataclass(frozen=True, slots=True)
class Composer:
    """Of one question, at one moment."""

    task: Task
    frontier: Frontier
    known: Known
    judge: Judge

    def draft(self, *, force: bool) -> Draft:
        """The answer; hedged where it is not settled."""
        asked = self.frontier.asked
        say = sayings(self.task.language, self.task.question)
        if explains(asked):
            return self._explained(say)
        kind = wanted(asked.text, asked.names)
        if kind in (Wants.CHOICE, Wants.YES_OR_NO):
            decided = self._decided(kind)
            if decided is not None and (decided.name or decided.yes is not None):
                word = decided.name or (say.yes if decided.yes else say.no)
                return self._told(word, self._path(decided.rows))
            if kind is Wants.YES_OR_NO:
                return self._closest(say)
        best = self.best(kind if kind is not Wants.CHOICE else Wants.NAME)
        belongs = best is not None and self._belongs(best.row)
        if best is None or not (force or (belongs and best.score >= SURE)):
            return self._closest(say)
        if not belongs:
            return self._guessed(say, best)
        return self._told(best.span, self._path((best.row,)), sure=best.score >= SURE)

    def _belongs(self, row: Sentence) -> bool:
        """Whether what is said of one thing is said of the thing that was asked about."""
        asked = self.frontier.asked
        return asked.hops > 1 or not asked.keys or self.judge.is_linked(row)

    def _guessed(self, say: Sayings, best: Found) -> Draft:
        """The last word where nothing better is known: the sentence, which settles nothing."""
        text = f"{say.unsure} {best.row.title}: {_line(best.row.text)} [^1]"
        return Draft(text, (self._cited(best.row),), definitive=False, short=best.span)

    def best(self, kind: Wants) -> Found | None:
        """The best-supported span of that kind."""
        found = [
            Found(
                span.text,
                row,
                self.judge.score(row) * span.fitness * self.judge.fits(kind, span.text),
            )
            for page in self.known.pages
            for row in self.frontier.sentences.get(page.url, ())
            for span in spans(kind, row.text, row.mentions, self._unwanted(row))
        ]
        if kind is Wants.DATE:
            found += self._of_life()
        return max((f for f in found if f.score), key=lambda each: each.score, default=None)

    def _of_life(self) -> list[Found]:
        """Dates of birth and death that stand in brackets where a page begins."""
        made = []
        for rows in self.frontier.sentences.values():
            date = life_date(self.frontier.asked.text, rows[0].text) if rows else None
            if date is not None:
                made.append(Found(date, rows[0], self.judge.score(replace(rows[0], score=1.0))))
        return made

    def _unwanted(self, row: Sentence) -> frozenset[str]:
        way = {key_of(step.source.title) for step in self.judge.steps(row.title)}
        return self.frontier.asked.keys | {key_of(row.title)} | way

    def _explained(self, say: Sayings) -> Draft:
        """Sentences as they stand, in the order of their worth, each with its reference."""
        found = told(self.frontier.asked, self.known, self.frontier.sentences)
        if not found or found[0].score < ENOUGH:
            return self._closest(say)
        rows = [each.row for each in found]
        lines = [f"{_line(row.text)} [^{at}]" for at, row in enumerate(rows, 1)]
        return Draft("\n\n".join(lines), tuple(map(self._cited, rows)), short=rows[0].text)

    def _decided(self, kind: Wants) -> Decided | None:
        asked = self.frontier.asked
        sides = [side for side in map(self._side, asked.names) if side.rows]
        if kind is Wants.CHOICE:
            return comparing.chosen(asked.text, sides[:2])
        if len(sides) < 2:
            return self._stated()
        return comparing.agreed(asked.text, sides, asked.keys)

    def _stated(self) -> Decided | None:
        """A yes where one sentence says most of what is asked; no other way to know."""
        rows = [row for rows in self.frontier.sentences.values() for row in rows]
        best = max(rows, key=lambda row: row.score, default=None)
        if best is None:
            return None
        shared = shares_words(self.frontier.asked.text, f"{best.title} {best.text}")
        return Decided(None, True, (best,)) if shared >= 0.75 else None

    def _side(self, name: str) -> Side:
        """The page of that name, or the one behind it where the question asks for that."""
        rows = self._rows_of(name)
        if self.frontier.asked.hops < 2 or not rows:
            return Side(name, rows)
        titles = {row.title for row in rows}
        steps = [step for step in self.frontier.steps.values() if step.source.title in titles]
        for step in sorted(steps, key=lambda step: -step.worth):
            behind = self._rows_of(step.name)
            if behind and self._is_asked(step.source):
                return Side(name, behind)
        return Side(name, rows)

    def _is_asked(self, row: Sentence) -> bool:
        """Whether the question names what the sentence tells of: director, directed."""
        words, said = self.frontier.asked.relations, row.text.lower()
        stems = [word.lower()[:STEM] for word in words if len(word) >= STEM]
        return any(stem in said for stem in stems) or max(row.parts, default=0.0) >= BEHIND

    def _rows_of(self, name: str) -> tuple[Sentence, ...]:
        key = key_of(name)
        pages = [page for page in self.known.pages if key_of(page.title) == key]
        return tuple(r for page in pages for r in self.frontier.sentences.get(page.url, ()))

    def _path(self, rows: Sequence[Sentence]) -> list[Sentence]:
        """The deciding sentences, and those that led to their pages."""
        found = list(rows)
        for row in rows:
            found += [step.source for step in self.judge.steps(row.title)]
        return list(dict.fromkeys(found))[:SENTENCES_SHOWN]

    def _told(self, word: str, rows: Sequence[Sentence], *, sure: bool = True) -> Draft:
        """The word, and under it the sentences that support it, each with its reference."""
        lines = [f"{row.title}: {_line(row.text)} [^{at}]" for at, row in enumerate(rows, 1)]
        text = f"{word}\n\n" + "\n".join(lines) if lines else word
        return Draft(text, tuple(map(self._cited, rows)), definitive=sure, short=word)

    def _cited(self, row: Sentence) -> Evidence:
        date = next((page.date for page in self.known.pages if page.url == row.url), None)
        return Evidence(row.url, row.title, row.text, date, row.score)

    def _closest(self, say: Sayings) -> Draft:
        """No answer, but what comes nearest to one."""
        rows = [row for rows in self.frontier.sentences.values() for row in rows]
        best = max(rows, key=self.judge.score, default=None)
        if best is not None:
            cited = self._cited(best)
        elif self.known.evidence:
            whole = self.known.evidence[0]
            left, right = next(iter(sentences(whole.quote)), (0, len(whole.quote)))
            quote = whole.quote[left:right]
            cited = Evidence(whole.url, whole.title, quote, whole.date, whole.score)
        else:
            return Draft("", definitive=False)
        text = f"{say.unsure} {cited.title}: {_line(cited.quote)} [^1]"
        return Draft(text, (cited,), definitive=False, short=cited.quote)


def _line(text: str) -> str:
    """As it is shown: what was wrapped is one line; the quote stays as it stands in the page."""
    return " ".join(text.split())
