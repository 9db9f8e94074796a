"""How well a sentence answers the question, by what it says and how it was reached. Pure.

It refuses nothing; everything has a score.
"""

from dataclasses import dataclass, field
from typing import Final

from services.deepsearch.research.frontier import Frontier, Sentence, Step
from services.deepsearch.research.kinds import PERSONAL, Wants
from services.deepsearch.research.mind import Known
from services.deepsearch.research.text import key_of

# How much likeness to the last thing asked counts beside the sentence's own score.
LAST: Final = 0.5
# What a page counts that no step leads to, where the question needs one step; and a sentence that
# has nothing to do with any name that leads there.
SHALLOW, UNLINKED = 0.4, 0.5
# A way that does not begin at a name of the question, and each step more than the question needs.
ROOTLESS, TOO_DEEP = 0.5, 0.6
# What a span counts that has the word for what is asked: which river, X River.
SUCH_A_THING: Final = 1.3
# What a span counts that is known to be no such thing as is asked for.
NO_SUCH_THING: Final = 0.6


@dataclass(frozen=True, slots=True)
class Judge:
    """Of one question, at one moment."""

    frontier: Frontier
    known: Known
    _leads: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for page in self.known.pages:
            rows = self.frontier.sentences.get(page.url)
            if rows:
                self._leads.setdefault(self.frontier.key(page), rows[0].text.lower())

    def score(self, row: Sentence) -> float:
        """How well the sentence answers; higher is better, 1 is hardly passed."""
        asked = self.frontier.asked
        near = row.score
        if row.parts:
            final = max(row.parts[at] for at in asked.final)
            near = (1 - LAST) * near + LAST * final
        if asked.keys and not self.is_linked(row):
            near *= UNLINKED
        steps = self.steps(row.title)
        root = key_of(steps[-1].source.title if steps else row.title)
        if asked.keys and root not in asked.keys:
            near *= ROOTLESS
        beyond = len(steps) - (asked.hops - 1)
        near *= TOO_DEEP ** max(0, beyond)
        depth = min(len(steps), asked.hops - 1)
        for step in steps:
            near *= 0.5 + 0.5 * self._share(step.source)
        return near * (depth + SHALLOW) / (asked.hops - 1 + SHALLOW)

    def steps(self, title: str) -> list[Step]:
        """The steps that lead to the page of that title, the last first."""
        found: list[Step] = []
        step = self.frontier.steps.get(key_of(title))
        while step is not None and (not found or step.depth < found[-1].depth):
            found.append(step)
            step = self.frontier.steps.get(key_of(step.source.title))
        return found

    def fits(self, kind: Wants, span: str) -> float:
        """Less than 1 for what its own page shows to be no such thing as is asked for."""
        head = self.frontier.asked.head
        lead = self._leads.get(key_of(span))
        if lead is not None and kind in (Wants.PERSON, Wants.PLACE):
            is_person = PERSONAL.search(lead) is not None
            if is_person != (kind is Wants.PERSON):
                return NO_SUCH_THING
        if head and head in span.lower():
            return SUCH_A_THING
        return NO_SUCH_THING if head and lead is not None and head not in lead else 1.0

    def _share(self, row: Sentence) -> float:
        """How much of the best sentence of its page this one is."""
        best = max(other.score for other in self.frontier.sentences[row.url])
        return row.score / best if best > 0 else 0.0

    def is_linked(self, row: Sentence) -> bool:
        """Whether the page or the sentence has to do with a name of the question or on the way."""
        keys = self.frontier.asked.keys
        if key_of(row.title) in keys or any(mention.key in keys for mention in row.mentions):
            return True
        return self.frontier.asked.hops > 1 and key_of(row.title) in self.frontier.steps
