"""A made-up world: short passages in an encyclopaedia's manner, and questions of several hops.

The same seed gives the same world. What a question needs is known: its supporting passages.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.services.deepsearch.research import words_of_world as words
from tests.services.deepsearch.research.questions_of_world import Asker
from tests.services.deepsearch.research.things_of_world import Passage, Question, Thing

# Of 3,000 passages; a smaller world has proportionally less of each.
SHARES = {
    "person": 900, "film": 360, "novel": 170, "album": 220, "band": 150, "company": 170,
    "city": 380, "region": 48, "country": 12, "river": 90, "university": 90, "battle": 90,
    "club": 80,
}  # fmt: skip
# Kinds whose facts are spread over passages that share one title, as sections of an article.
SECTIONED = frozenset({"country", "region", "city"})
# How often a target's passage mentions what leads to it, and how many it mentions at most.
ECHOED, ECHOES_MOST = 0.8, 4
MENTIONED = ("city", "person", "company", "university", "country", "film", "album", "band")
# How many have a name of their own.
RARE = 0.6
LEAST_WORDS, MOST_WORDS = 50, 110


@dataclass(frozen=True, slots=True)
class World:
    """All passages, and questions of both sets."""

    passages: list[Passage]
    easy: list[Question]
    hard: list[Question]


def build(seed: int = 1, passages: int = 3000, questions: int = 200) -> World:
    """The world of that seed."""
    maker = _Maker(random.Random(seed))
    things = maker.things(passages)
    told = maker.tell(things)
    asker = Asker(maker.chance, things)
    return World(told, asker.easy(questions), asker.hard(questions))


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._names: dict[str, int] = {}

    def things(self, count: int) -> dict[str, list[Thing]]:
        found: dict[str, list[Thing]] = {}
        scale = count / 3500
        for kind, share in SHARES.items():
            number = max(6, round(share * scale))
            found[kind] = [self._thing(kind) for _ in range(number)]
        for kind, name in words.RELATIONS:
            for thing in found[kind]:
                pool = found[words.KINDS_OF_TARGET[name]]
                other = self.chance.choice(pool)
                if other is not thing and (name != "owner" or self.chance.random() < 0.4):
                    thing.facts[name] = other
                    if len(other.echoes) < ECHOES_MOST and self.chance.random() < ECHOED:
                        other.echoes.append(thing)
        return found

    def _thing(self, kind: str) -> Thing:
        name = self._name(kind)
        seen = self._names.get(name, 0)
        self._names[name] = seen + 1
        # As in an encyclopaedia, the second of a name says what it is.
        title = name if not seen else f"{name} ({kind}{'' if seen == 1 else f' {seen}'})"
        year = self.chance.randint(1840, 2015)
        return Thing(kind, name, title, year, self._pick(words.COUNTRIES)[:-1] + "an")

    def _name(self, kind: str) -> str:
        make: dict[str, Callable[[], str]] = {
            "person": self._person,
            "band": self._band,
            "company": lambda: f"{self._last()} {self._pick(words.COMPANY)}",
            "city": self._place,
            "region": lambda: f"{self._place()} {self.chance.choice(['County', 'Province'])}",
            "country": lambda: self._unused(words.COUNTRIES),
            "river": lambda: f"{self._rare()} River",
            "university": lambda: (
                f"{self._place()} {self.chance.choice(['College', 'University'])}"
            ),
            "battle": lambda: f"Battle of {self._place()}",
            "club": lambda: (
                f"{self._place()} {self.chance.choice(['United', 'Rovers', 'Athletic'])}"
            ),
        }
        return make.get(kind, self._title)()

    def _unused(self, names: str) -> str:
        return next(n for n in [*names.split(), *names.lower().split()] if n not in self._names)

    def _person(self) -> str:
        middle = f" {self._pick(words.FIRST)[0]}." if self.chance.random() < 0.1 else ""
        return f"{self._pick(words.FIRST)}{middle} {self._last()}"

    def _band(self) -> str:
        forms = ("The {r}s", "{a} {n}", "{l} and the {n}s", "{r}")
        return self._fill(self.chance.choice(forms))

    def _title(self) -> str:
        forms = ("The {a} {n}", "{a} {r}", "The {n} of {r}", "{r} and {m}", "A {n} for {f}", "{r}")
        return self._fill(self.chance.choice(forms))

    def _fill(self, form: str) -> str:
        return form.format(
            a=self._pick(words.TITLE_A),
            n=self._pick(words.TITLE_N),
            m=self._pick(words.TITLE_N),
            l=self._last(),
            r=self._rare(),
            f=self._pick(words.FIRST),
        )

    def _rare(self) -> str:
        """A word that hardly anything else is called."""
        row = [self._pick(words.SYLLABLES) for _ in range(self.chance.randint(1, 2))]
        return "".join([*row, self._pick(words.ENDINGS)]).capitalize()

    def _last(self) -> str:
        return self._rare() if self.chance.random() < RARE else self._pick(words.LAST)

    def _place(self) -> str:
        return self._pick(words.PLACE_HEAD) + self._pick(words.PLACE_TAIL)

    def _pick(self, names: str) -> str:
        return self.chance.choice(names.split())

    def tell(self, things: dict[str, list[Thing]]) -> list[Passage]:
        """Passages in an order that says nothing; every fact is told once, in one of them."""
        told: list[tuple[Thing, list[str], str]] = []
        for thing in (thing for row in things.values() for thing in row):
            names = list(thing.facts)
            self.chance.shuffle(names)
            sectioned = thing.kind in SECTIONED and names
            parts = [[name] for name in names] if sectioned else [names]
            for place, part in enumerate(parts):
                told.append((thing, part, self._passage(thing, part, things, place, len(parts))))
        self.chance.shuffle(told)
        passages = []
        for place, (thing, part, text) in enumerate(told):
            thing.passages.update(dict.fromkeys(part, place))
            thing.passages.setdefault("", place)
            passages.append(Passage(f"http://corpus.test/p{place}", thing.title, text))
        return passages

    def _passage(
        self, thing: Thing, names: list[str], things: dict[str, list[Thing]], at: int, of: int
    ) -> str:
        opening = self.chance.choice(words.OPENINGS[thing.kind])
        start = [self._worded(opening, thing, None, things)] if at == 0 else []
        rows = [
            self._worded(
                self.chance.choice(words.RELATIONS[thing.kind, name].said),
                thing,
                thing.facts[name],
                things,
            )
            for name in names
        ]
        rows += [
            self._worded(self.chance.choice(words.ECHOES[echo.kind]), echo, thing, things)
            for echo in thing.echoes[at::of]
        ]
        self.chance.shuffle(rows)
        length = self.chance.randint(LEAST_WORDS, MOST_WORDS)
        while sum(len(row.split()) for row in start + rows) < length:
            filler = self.chance.choice(words.FILLERS).strip()
            rows.insert(
                self.chance.randint(0, len(rows)), self._worded(filler, thing, None, things)
            )
        return " ".join(start + rows)

    def _worded(
        self, form: str, thing: Thing, other: Thing | None, things: dict[str, list[Thing]]
    ) -> str:
        some = {kind: self.chance.choice(things[kind]).name for kind in MENTIONED}
        last = thing.name.split()[-1]
        short = last if thing.kind == "person" and self.chance.random() < 0.5 else thing.name
        return form.format(
            s=thing.name if "(" in form or "is a" in form else short,
            o=other.name if other else "",
            y=thing.year + self.chance.randint(0, 9),
            z=thing.year + 70,
            y0=self.chance.randint(3, 25),
            n=self.chance.randint(20, 990) * 100,
            nation=thing.nation,
            job=self._pick(words.OCCUPATIONS),
            genre=self._pick(words.GENRES),
            last=self._pick(words.LAST),
            **some,
        )
