"""Which kind of answer a question wants, and the spans of a sentence that are of that kind. Pure.

It refuses nothing: a question of no known kind wants a name, or failing that a sentence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.deepsearch.research.text import Mention, content_words, key_of
from services.search.index.words import fold


class Wants(Enum):
    """What the answer is."""

    YES_OR_NO = "yes or no"
    CHOICE = "one of two"
    DATE = "date"
    NUMBER = "number"
    PLACE = "place"
    PERSON = "person"
    NAME = "name"


_FIRST: Final = {
    Wants.YES_OR_NO: """is are was were do does did has have had can could will would should may
        must am ist sind war waren hat haben kann est-ce est sont était es son fue eran""",
    Wants.DATE: "when wann quand cuándo",
    Wants.PLACE: "where wo woher wohin où dónde",
    Wants.PERSON: "who whom whose wer wen wem wessen qui quién quiénes",
}
FIRST: Final = {fold(word): kind for kind, row in _FIRST.items() for word in row.split()}
DATE_WORDS: Final = re.compile(
    r"\b(?:what|which|in what|in which) (?:year|date|month|day|century|decade)\b|welche[mns]? jahr"
    r"|quelle année|qué año|何年|いつ|什么时候|什麼時候|哪一?年|何时",
    re.IGNORECASE,
)
NUMBER_WORDS: Final = re.compile(
    r"\bhow (?:many|much|long|old|far|high|tall|large|big|deep|wide|often|fast)\b|\bpopulation\b"
    r"|\bwie ?viele?\b|\bcombien\b|\bcuánt[oa]s?\b|多少|几个|何人|いくつ|how large",
    re.IGNORECASE,
)
PERSON_WORDS: Final = re.compile(r"谁|誰|だれ")
PLACE_WORDS: Final = re.compile(
    r"\b(?:what|which) (?:city|town|country|county|state|province|region|place|village|continent)\b"
    r"|哪里|哪裡|哪个国家|どこ",
    re.IGNORECASE,
)
ASKS_YES: Final = re.compile(r"[吗嗎]\s*[?？]?\s*$|ですか\s*[?？]?\s*$")
MONTHS: Final = (
    "January|February|March|April|May|June|July|August|September|October|November|December|Januar|"
    "Februar|März|Mai|Juni|Juli|Oktober|Dezember|janvier|février|mars|avril|mai|juin|juillet|août|"
    "septembre|octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|"
    "septiembre|octubre|noviembre|diciembre"
)
DATE: Final = re.compile(
    rf"\b(?:\d{{1,2}}(?:\.|st|nd|rd|th)?\s+(?:de\s+)?(?:{MONTHS})(?:\s+de)?,?\s+\d{{3,4}}"
    rf"|(?:{MONTHS})\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{3,4}}|(?:{MONTHS})\s+\d{{4}}"
    r"|\d{4}-\d{2}-\d{2}|(?:1\d{3}|20\d{2})(?:s\b)?)(?!\d)"
    r"|\d{3,4}年(?:\d{1,2}月(?:\d{1,2}日)?)?",
    re.IGNORECASE,
)
NUMBER: Final = re.compile(
    r"(?<![\w.])[-−]?(?:\d{1,3}(?:[,.\u00a0 ]\d{3})+|\d+)(?:[.,]\d+)?(?:\s*%)?"
    r"(?:\s+(?:million|billion|thousand|hundred|Millionen|Milliarden|millions|kilomet\w+|met(?:er|re)s?|km²?|kg|mi(?:les)?|"
    r"feet|ft|years?|m|square \w+|people|inhabitants))*"
)
BORN: Final = re.compile(r"\b(?:born|birth\w*|geboren|geburt\w*|née?|nació)\b|生", re.IGNORECASE)
DIED: Final = re.compile(r"\b(?:die[ds]?|death|gestorben|starb|mort|murió)\b|死|卒", re.IGNORECASE)
LIFE: Final = re.compile(
    r"[(（](?:[^()（）]{0,80}?\b)?(?P<born>[^()（）–-]{0,40}\d{3,4}年?[^()（）–-]{0,10})"
    r"(?:\s?[–-]\s?(?P<died>[^()（）]{0,60}\d{3,4}[^()（）]{0,10}))?[)）]"
)
BEFORE_PLACE: Final = re.compile(r"\b(?:in|at|near|of|from|to|outside|en|à|im|bei|aus)\s$")
PERSONAL: Final = re.compile(
    r"[(（][^()（）]*\d{4}[^()（）]*[)）]|\bborn\b|\bgeboren\b|\bnée?\b|\bnacid[oa]\b|出生",
    re.IGNORECASE,
)
# Of no person and no place.
CODE: Final = re.compile(r"[\d_$<>{}()`:=/]")
EITHER: Final = re.compile(r"\b(?:or|oder|ou|o)\b|还是|還是")


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a sentence that may be the answer."""

    text: str
    fitness: float


def wanted(question: str, names: Sequence[str]) -> Wants:
    """The kind of answer. `names` are those in the question."""
    plain = question.strip().lstrip("\"'“¿")
    first = fold(plain.split()[0].strip(",'’")) if plain.split() else ""
    both = [name for name in names if name in question]
    if EITHER.search(question) and len(both) >= 2 and _between(question, both):
        return Wants.CHOICE
    if DATE_WORDS.search(question):
        return Wants.DATE
    if NUMBER_WORDS.search(question):
        return Wants.NUMBER
    kind = FIRST.get(first)
    if kind is not None:
        return kind
    if PLACE_WORDS.search(question):
        return Wants.PLACE
    if PERSON_WORDS.search(question):
        return Wants.PERSON
    if ASKS_YES.search(question):
        return Wants.YES_OR_NO
    return _within(question)


def _between(question: str, names: Sequence[str]) -> bool:
    """Whether an `or` stands between two names."""
    for one in names:
        for other in names:
            start, end = question.find(one) + len(one), question.find(other)
            if 0 <= start < end and EITHER.search(question[start:end]) and end - start < 12:
                return True
    return False


def _within(question: str) -> Wants:
    """By a question word that does not come first: `In which city was ...`, `X was born where?`."""
    for word in question.split()[1:]:
        kind = FIRST.get(fold(word).strip("?,.'’"))
        if kind in (Wants.DATE, Wants.PLACE, Wants.PERSON):
            return kind
    return Wants.NAME


def spans(
    kind: Wants, sentence: str, mentions: Sequence[Mention], unwanted: frozenset[str]
) -> list[Span]:
    """What in the sentence may be the answer, best first; `unwanted` are names that are not."""
    if kind is Wants.DATE:
        return [Span(text, 1.0 + 0.1 * (len(text) > 4)) for text in DATE.findall(sentence)]
    if kind is Wants.NUMBER:
        rows = [match[0].strip() for match in NUMBER.finditer(sentence)]
        return [Span(t, 0.6 if re.fullmatch(r"1[89]\d\d|20[0-2]\d", t) else 1.0) for t in rows if t]
    made = [
        Span(mention.name, _name_fitness(kind, mention, sentence))
        for mention in mentions
        if mention.key not in unwanted and not _inside(mention.key, unwanted)
    ]
    return sorted(made, key=lambda span: -span.fitness)


def life_date(question: str, sentence: str) -> str | None:
    """The date of birth or death, where that is asked and stands behind a name: (1911 - 1987)."""
    born, died = BORN.search(question), DIED.search(question)
    life = LIFE.search(sentence)
    if life is None or not (born or died):
        return None
    found = DATE.search(life["died"] or "" if died else life["born"])
    return found[0] if found else None


def _inside(key: str, unwanted: frozenset[str]) -> bool:
    """Whether the name is a part of one that is not wanted, as a surname is."""
    return any(f" {key} " in f" {other} " for other in unwanted)


def _name_fitness(kind: Wants, mention: Mention, sentence: str) -> float:
    fitness = 0.5 if mention.adjective else 1.0
    words = len(mention.key.split())
    if mention.first and words == 1:
        fitness *= 0.5
    if kind is Wants.PERSON:
        if CODE.search(mention.name):
            return 0.0
        return fitness * (1.0 if words > 1 else 0.7)
    if kind is Wants.PLACE:
        at = sentence.find(mention.name)
        before = sentence[max(0, at - 8) : at]
        fitness *= 0.3 if CODE.search(mention.name) else 1.0
        return fitness * (
            1.2 if re.search(r"\b(?:in|at|near|of|from|to|en|à|im|bei)\s$", before) else 1
        )
    return fitness


def shares_words(question: str, sentence: str) -> float:
    """Which share of the question's words the sentence has."""
    asked = set(content_words(question))
    return len(asked.intersection(content_words(sentence))) / max(1, len(asked))


def years(text: str) -> list[int]:
    """Years in the text, in order."""
    return [int(y) for y in re.findall(r"(?<!\d)(1\d{3}|20\d{2})(?!\d)", text)]


def is_same(one: str, other: str) -> bool:
    """Whether two names are one."""
    return key_of(one) == key_of(other)
