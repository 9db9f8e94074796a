"""What a mind is asked during a research, and what it says. Protocols and records only.

A mind needs nothing from its earlier calls: all that is known comes with each, so that several may
run at once (a team). It may remember what it has computed; there is one mind per request. It
searches and reads nothing itself; that is the loop's part. It refuses by raising MindError alone;
the budget's end is `BudgetSpent`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.deepsearch.tools import Hit, Page, Tools


class MindError(Exception):
    """The mind cannot go on, e.g. its model cannot be reached. `research` lets it pass."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier message of the conversation; `role` is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be found out.

    `question` is the text of the last message. `attachments` are files that came with it, as pages
    whose URL is no web address. `language` is the code the answer should be in, or empty: that of
    the question. `schema` is the JSON schema the answer must satisfy, if any.
    """

    question: str
    history: tuple[Turn, ...] = ()
    attachments: tuple[Page, ...] = ()
    language: str = ""
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A passage that bears on the question. `quote` stands verbatim in the page's text."""

    url: str
    title: str
    quote: str
    date: str | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Rejected:
    """A draft that did not pass, and why."""

    draft: "Draft"
    why: str


@dataclass(frozen=True, slots=True)
class Solved:
    """A sub-question that a member of the team looked into, and what came of it."""

    question: str
    draft: "Draft"


@dataclass(frozen=True, slots=True)
class Known:
    """All that the research knows at one moment.

    `evidence` and `hits` best first; `hits` are those not read yet. `pages` in the order they were
    read, attachments first. `queries` were asked already; asking one again is pointless. `origins`
    says by which query a page was found.
    """

    evidence: tuple[Evidence, ...] = ()
    pages: tuple[Page, ...] = ()
    hits: tuple[Hit, ...] = ()
    queries: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    solved: tuple[Solved, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to begin. `think` is shown to the client.

    `queries` are searched at once. `questions` are parts of the question that can be looked into
    independently; a team shares them out. `answer` is one that needs no search; it is ignored where
    the client wants none such.
    """

    queries: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    answer: "Draft | None" = None
    think: str = ""


@dataclass(frozen=True, slots=True)
class Reflection:
    """What to do next. `gaps` are sub-questions still open: searched as they stand.

    `ready`: what is known suffices to try an answer. Nothing at all (no query, URL or gap) means
    the same. `urls` are to be read whatever their rank.
    """

    queries: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    ready: bool = False
    think: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer. `citations` in the order of their use; `definitive`: it does not hedge.

    `fields` is the answer as JSON where the task has a schema and the mind filled it. `short` is
    the bare answer within the text, where there is one.
    """

    text: str
    citations: tuple[Evidence, ...] = ()
    definitive: bool = True
    fields: Any = None
    short: str = ""
    think: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a draft may go out; `gaps` are sub-questions that its failing opens."""

    passed: bool
    why: str = ""
    gaps: tuple[str, ...] = ()
    think: str = ""


class Mind(Protocol):
    """Thinks for the loop. Whatever costs tokens is told to `tools` (`spend`)."""

    async def plan(self, task: Task, known: Known, tools: Tools) -> Plan:
        """The first queries. `known` holds the attachments and nothing else."""

    async def reflect(self, task: Task, known: Known, tools: Tools) -> Reflection:
        """Asked after each round of reading."""

    async def answer(self, task: Task, known: Known, tools: Tools, *, force: bool) -> Draft:
        """An answer from what is known. `force`: the last one, so it must say something.

        A forced answer must neither call `tools` for more than `spend` nor raise BudgetSpent.
        """

    async def evaluate(self, task: Task, draft: Draft, known: Known, tools: Tools) -> Verdict:
        """Whether the draft is definitive and supported. The loop itself asks for references."""


@dataclass(frozen=True, slots=True)
class Options:
    """The bounds of one research. The budget is the tools' own. Hostnames without scheme.

    A hostname in a list stands for itself and everything below it. `deadline_s` by
    `time.monotonic`.
    """

    deadline_s: float
    max_attempts: int = 2
    team_size: int = 1
    no_direct_answer: bool = False
    max_returned_urls: int | None = None
    boost_hostnames: tuple[str, ...] = ()
    bad_hostnames: tuple[str, ...] = ()
    only_hostnames: tuple[str, ...] = ()
    max_annotations: int | None = None
    min_annotation_relevance: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """What a research came to.

    `finish`: stop (it passed), attempts, budget, deadline, nothing (no page was found).
    `visited_urls` are all that were found, best first, cut at what was asked for; `url_count`
    before the cut. `passages` is the evidence, best first, whether cited or not.
    """

    answer: str
    citations: tuple[Evidence, ...]
    visited_urls: tuple[str, ...]
    read_urls: tuple[str, ...]
    url_count: int
    finish: str
    fields: Any = None
    passages: Sequence[Evidence] = ()
