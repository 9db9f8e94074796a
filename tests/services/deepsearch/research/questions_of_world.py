"""Questions about the made-up world: chains of relations, and comparisons."""

import random

from tests.services.deepsearch.research import words_of_world as words
from tests.services.deepsearch.research.things_of_world import Question, Thing

# How often questions lead along mentions.
TOLD_EASY, TOLD_HARD = 0.8, 0.5


class Asker:
    """Asks about the things of a world."""

    def __init__(self, chance: random.Random, things: dict[str, list[Thing]]) -> None:
        self.chance = chance
        self._things = things
        self._all = [thing for row in things.values() for thing in row if thing.facts]

    def easy(self, count: int) -> list[Question]:
        """Two hops or two things to compare."""
        makes = [self._chain_of_two] * 11 + [self._compared] * 6 + [self._compared_behind] * 3
        return [self.chance.choice(makes)() for _ in range(count)]

    def hard(self, count: int) -> list[Question]:
        """Two to four hops; half two, a third three."""
        return [
            self._chain(self.chance.choice((2, 2, 2, 3, 3, 4)), (), TOLD_HARD) for _ in range(count)
        ]

    def _chain_of_two(self) -> Question:
        # Named as encyclopaedias name: from a work to its maker, whose name leads on.
        while True:
            found = self._chain(2, ("film", "novel", "album", "company", "person"), TOLD_EASY)
            if self.chance.random() < 0.8 or "film" in found.kind:
                return found

    def _chain(self, hops: int, kinds: tuple[str, ...], told: float) -> Question:
        """`told`: how often it must be one whose later passages mention the earlier."""
        must_tell = self.chance.random() < told
        while True:
            thing = self.chance.choice(self._all)
            if kinds and thing.kind not in kinds:
                continue
            phrase, support, kind = thing.name, set[int](), thing.kind
            for hop in range(hops):
                if not thing.facts:
                    break
                name = self.chance.choice(list(thing.facts))
                relation = words.RELATIONS[thing.kind, name]
                support.add(thing.passages[name])
                last = hop == hops - 1
                phrase = self.chance.choice(relation.asked if last else relation.described).format(
                    s=phrase
                )
                if must_tell and not last and thing not in thing.facts[name].echoes:
                    break
                thing = thing.facts[name]
            if len(support) == hops:
                return Question(phrase, frozenset(support), thing.name, hops, f"{kind} {hops}")

    def _pair(self, kind: str) -> tuple[Thing, Thing]:
        one, other = self.chance.sample(self._things[kind], 2)
        return one, other

    def _compared(self) -> Question:
        kind, form = self.chance.choice(
            [
                ("film", "Which film came out first, {a} or {b}?"),
                ("person", "Who was born earlier, {a} or {b}?"),
                ("band", "Are {a} and {b} from the same country?"),
                ("novel", "Were {a} and {b} published in the same year?"),
                ("company", "Which company is older, {a} or {b}?"),
            ]
        )
        one, other = self._pair(kind)
        support = frozenset({one.passages[""], other.passages[""]})
        if len(support) < 2:
            return self._compared()
        answer = min(one, other, key=lambda thing: thing.year).name
        return Question(form.format(a=one.name, b=other.name), support, answer, 2, "compared")

    def _compared_behind(self) -> Question:
        one, other = self._pair("film")
        makers = [thing.facts.get("director") for thing in (one, other)]
        if None in makers or makers[0] is makers[1]:
            return self._compared_behind()
        support = {thing.passages["director"] for thing in (one, other)}
        support |= {maker.passages[""] for maker in makers if maker}
        text = f"Do the directors of films {one.name} and {other.name} have the same nationality?"
        return Question(text, frozenset(support), "no", 2, "compared behind")
