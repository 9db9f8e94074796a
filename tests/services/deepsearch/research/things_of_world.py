"""What the made-up world consists of."""

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Thing:
    """Something with a name; `title` tells it from others of that name."""

    kind: str
    name: str
    title: str
    year: int
    nation: str
    facts: dict[str, "Thing"] = field(default_factory=dict)
    echoes: list["Thing"] = field(default_factory=list)
    passages: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Passage:
    """One page."""

    url: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the places of the passages that support it, and what is right."""

    text: str
    support: frozenset[int]
    answer: str
    hops: int
    kind: str
