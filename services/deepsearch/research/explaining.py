"""Questions that want to be told something, not named one thing: how, why, what is, what does.

Pure. Names lead nowhere there, so the answer is the sentences of the best passages. It refuses to
call something an answer that has too little to do with the question.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.deepsearch.research.asking import NESTING, Asked
from services.deepsearch.research.frontier import Sentence
from services.deepsearch.research.kinds import Wants, wanted
from services.deepsearch.research.mind import Known
from services.deepsearch.research.text import content_words

TELLING: Final = re.compile(
    r"\W*(?:how|why|explain|describe|compare|define|summari[sz]e|tell me|give me|show me|wie|warum|"
    r"wieso|weshalb|erkläre?|beschreibe?|vergleiche?|was (?:ist|sind|bedeutet|macht|passiert)|"
    r"comment|pourquoi|explique[rz]?|qu['’]est-ce|cómo|por qué|explica|qué (?:es|son|significa))\b"
    r"|.*(?:为什么|為什麼|怎么|怎麼|如何|什么是|是什么|なぜ|どうやって|とは何)",
    re.IGNORECASE,
)
WHAT: Final = re.compile(
    r"\W*(?:so |and |but )?(?:what (?:does|do|did|happens?|happened|should|can|could|would|will|if"
    r"|are)|what(?:'s| is| was) (?:(?:a|an) |(?:the )?(?:difference|purpose|meaning|role|point|"
    r"reason|use|idea|(?:best |right |usual )?way|effect|advantage|benefit|problem)\b))",
    re.IGNORECASE,
)
DEFINED: Final = re.compile(r"\W*what(?:'s| is| are) (?!the\b)(?:\S+ ){0,3}\S+\W*$", re.IGNORECASE)
SAYS_IS: Final = re.compile(
    r"\W*((?:\S+\s){1,5}?)(?:is|are|means|refers to|ist|sind|est|sont|es|son)\s", re.IGNORECASE
)
POSSESSED: Final = re.compile(r"['’]s\s|\bof\b")
# What a sentence counts by its likeness, by the words it shares, and by its passage's rank.
LIKENESS, SHARED, PASSAGE = 1.0, 0.6, 0.5
ENOUGH: Final = 0.75
# What says that it is something, where that is asked; and what only announces what comes.
DEFINES: Final = 0.4
ANNOUNCES: Final = 0.6
ANNOUNCEMENT: Final = re.compile(
    r"\b(?:let['’]s|we['’]ll|we will|in this (?:chapter|section|part|article)|see (?:also|the)"
    r"|chapter \d|(?:next|previous) (?:chapter|section)|the following (?:chapter|section))\b",
    re.IGNORECASE,
)
# Beside the best, one is shown that is worth so much of it.
NEAR: Final = 0.7
SHOWN: Final = 4
SHORT_CHARACTERS: Final = 25
# Code, tables, and lines that end as headings do.
NO_PROSE: Final = re.compile(r"^(?:#{1,6}\s|[|`$>]|\s*(?:let|fn|use|import|def|pub)\s)|[{};:,=]$")
ENDS: Final = (".", "!", "?", "。", "！", "？", ")", '"', "”")


def explains(asked: Asked) -> bool:
    """Whether sentences are wanted and not a name, a date or a number."""
    text = asked.text
    kind = wanted(text, asked.names)
    if kind in (Wants.DATE, Wants.NUMBER, Wants.CHOICE):
        return False
    if TELLING.match(text):
        return True
    nested = [part for part in NESTING.split(asked.skeleton) if content_words(part)]
    if len(nested) < 2 and WHAT.match(text):
        return True
    if DEFINED.match(text) and not POSSESSED.search(text):
        return True
    return kind is Wants.NAME and not asked.names


@dataclass(frozen=True, slots=True)
class Told:
    """A sentence of the answer, and how well it answers."""

    row: Sentence
    score: float


def told(asked: Asked, known: Known, rows: Mapping[str, Sequence[Sentence]]) -> list[Told]:
    """The best sentences, the best first, at most one like another; none where there is none."""
    wanted_words = set(content_words(asked.text))
    ranks = {(each.url, each.quote): each.score for each in known.evidence}
    found = [
        Told(row, _score(row, wanted_words, ranks))
        for of_page in rows.values()
        for row in of_page
        if _is_prose(row.text)
    ]
    found.sort(key=lambda each: -each.score)
    return list(_shown(found))


def _score(row: Sentence, wanted_words: set[str], ranks: Mapping[tuple[str, str], float]) -> float:
    said = content_words(f"{row.title} {row.text}")
    shared = len(wanted_words.intersection(said)) / max(1, len(wanted_words))
    rank = max((s for (url, q), s in ranks.items() if url == row.url and row.text in q), default=0)
    score = LIKENESS * row.score + SHARED * shared + PASSAGE * min(1.0, max(0.0, rank))
    if _defines(row.text, wanted_words):
        score += DEFINES
    return score * (ANNOUNCES if ANNOUNCEMENT.search(row.text) else 1.0)


def _defines(text: str, wanted_words: set[str]) -> bool:
    """Whether it begins with what is asked about, and `is`: `A weir is a low dam.`"""
    said = SAYS_IS.match(text)
    subject = set(content_words(said[1])) if said else set()
    return bool(subject) and subject <= wanted_words


def _is_prose(text: str) -> bool:
    plain = text.strip()
    return (
        len(plain) >= SHORT_CHARACTERS
        and not plain[0].islower()
        and not NO_PROSE.search(plain)
        and plain.endswith(ENDS)
        and not plain.endswith("?")
    )


def _shown(found: Sequence[Told]) -> Iterator[Told]:
    """The best, and those that come near it and say something else."""
    seen: list[set[str]] = []
    for each in found:
        said = set(content_words(each.row.text))
        again = any(len(said & other) > 0.7 * min(len(said), len(other)) for other in seen)
        if len(seen) >= SHOWN or each.score < NEAR * found[0].score:
            return
        if said and not again:
            seen.append(said)
            yield each
