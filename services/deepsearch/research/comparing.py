"""Questions about two things: which came first, which is larger, whether they share something.

Pure. It refuses to decide (None) where the evidence does not name what is to be compared.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.deepsearch.research.frontier import Sentence
from services.deepsearch.research.kinds import DIED, NUMBER, years
from services.deepsearch.research.text import content_words, key_of

LESS: Final = re.compile(
    r"\b(?:first|earlier|earliest|older|oldest|before|smaller|shorter|fewer|less|lower|zuerst|früher"
    r"|älter|kleiner|premier|première|avant|plus ancien\w*|primero|antes|mayor edad)\b|先|早",
    re.IGNORECASE,
)
MORE: Final = re.compile(
    r"\b(?:later|latest|last|younger|youngest|newer|after|recent\w*|larger|bigger|longer|taller|"
    r"higher|more|greater|später|jünger|neuer|größer|länger|höher|mehr|après|"
    r"plus (?:grand|long|récent)\w*|después|más (?:grande|largo|joven))\b|后|後|晚",
    re.IGNORECASE,
)
OF_SIZE: Final = re.compile(
    r"\b(?:larger|bigger|longer|taller|higher|smaller|shorter|fewer|greater|lower|population|größer|"
    r"kleiner|länger|höher|grand|long|grande|largo)\b",
    re.IGNORECASE,
)
SAME: Final = re.compile(
    r"\b(?:same|both|share|equally|gleiche[nrs]?|selbe[nrs]?|beide|même|tous les deux|"
    r"mism[oa]|ambos)\b|同|都",
    re.IGNORECASE,
)
OF_YEAR: Final = re.compile(r"\b(?:year|jahr|année|año|date)\b|年", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its name, and the sentences of the page about it, in order."""

    name: str
    rows: tuple[Sentence, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """`name` of the one that is chosen, or `yes`; and the sentences that decide."""

    name: str | None
    yes: bool | None
    rows: tuple[Sentence, ...]


def chosen(question: str, sides: Sequence[Side]) -> Decided | None:
    """Which of the sides the question means."""
    less, more = LESS.search(question), MORE.search(question)
    if not less and not more:
        return _nearest(sides)
    measured = [(side, _measure(question, side)) for side in sides]
    known = [(value[0], side, value[1]) for side, value in measured if value is not None]
    if len(known) < 2:
        return None
    known.sort(key=lambda row: row[0])
    best = known[0] if less and not more else known[-1]
    if known[0][0] == known[-1][0]:
        return None
    return Decided(best[1].name, None, tuple(row for _, _, row in known))


def _nearest(sides: Sequence[Side]) -> Decided | None:
    """`Which of A and B is a town in Hesse?`: the one whose page says it."""
    best = [(max((row.score for row in side.rows), default=0.0), side) for side in sides]
    best.sort(key=lambda pair: -pair[0])
    if len(best) < 2 or not best[0][1].rows or best[0][0] - best[1][0] < 0.05:
        return None
    top = max(best[0][1].rows, key=lambda row: row.score)
    return Decided(best[0][1].name, None, (top,))


def _measure(question: str, side: Side) -> tuple[float, Sentence] | None:
    """The year or size that the page says of the side; the best sentence that has one."""
    if OF_SIZE.search(question):
        rows = [(row, _numbers(row.text)) for row in sorted(side.rows, key=lambda r: -r.score)]
        sized = [(row, found) for row, found in rows if found]
        return (max(sized[0][1]), sized[0][0]) if sized else None
    dated = [(row, years(row.text)) for row in side.rows]
    dated = [(row, found) for row, found in dated if found]
    if not dated:
        return None
    # The first sentence of an article dates its subject; elsewhere years belong to events.
    row, found = dated[0] if dated[0][0] is side.rows[0] else max(dated, key=lambda d: d[0].score)
    return float(found[-1] if DIED.search(question) else found[0]), row


def _numbers(text: str) -> list[float]:
    found = []
    for match in NUMBER.finditer(text):
        digits = re.match(r"[-−]?[\d,.\u00a0 ]+", match[0])
        plain = re.sub(r"[,\u00a0 ](?=\d{3})", "", digits[0].strip()) if digits else ""
        try:
            value = float(plain.replace("−", "-").rstrip(".,"))
        except ValueError:
            continue
        scale = 1e6 if "million" in match[0] else 1e9 if "billion" in match[0] else 1.0
        found.append(value * scale)
    return found


def agreed(question: str, sides: Sequence[Side], keys: frozenset[str]) -> Decided | None:
    """Whether the sides share what the question asks, or both are what it says."""
    if len(sides) < 2 or not all(side.rows for side in sides):
        return None
    if OF_YEAR.search(question) and SAME.search(question):
        dated = [_measure(question, side) for side in sides]
        if any(found is None for found in dated):
            return None
        values = {found[0] for found in dated if found is not None}
        return Decided(None, len(values) == 1, tuple(f[1] for f in dated if f is not None))
    rows = tuple(max(side.rows, key=lambda row: row.score) for side in sides)
    first = tuple(side.rows[0] for side in sides)
    if re.search(r"\b(?:same|gleiche\w*|selbe\w*|même|mism[oa])\b|同", question, re.IGNORECASE):
        return _same(sides, rows, first, keys)
    return _predicate(question, sides, keys)


def _same(
    sides: Sequence[Side],
    rows: tuple[Sentence, ...],
    first: tuple[Sentence, ...],
    keys: frozenset[str],
) -> Decided | None:
    """Names that both pages give where they speak of what is asked."""
    for picked in (first, rows):
        said = [
            {m.key for m in row.mentions} - keys - {key_of(side.name), key_of(row.title)}
            for row, side in zip(picked, sides, strict=True)
        ]
        if all(said):
            return Decided(None, bool(set.intersection(*said)), picked)
    return None


def _predicate(question: str, sides: Sequence[Side], keys: frozenset[str]) -> Decided | None:
    """`Are A and B both novelists?`: whether each page has the words that are no name's."""
    named = {word for key in keys for word in content_words(key)}
    both = {"both", "same", "also", "either"}
    asked = [w for w in content_words(question) if w not in named and w not in both]
    if not asked:
        return None
    rows, holds = [], True
    for side in sides:
        scored = [(len(set(asked) & set(content_words(r.text))), r) for r in side.rows]
        count, row = max(scored, key=lambda pair: pair[0])
        rows.append(row)
        holds = holds and count * 2 >= len(asked)
    return Decided(None, holds, tuple(rows))
