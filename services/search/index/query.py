"""The query language of the local index: words, "phrases", -exclusions, OR, and operators. Pure.

Whatever cannot be understood is words. It refuses nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from services.search.index.words import words
from services.search.operators import Operators

TOKEN: Final = re.compile(
    r"(?P<minus>-?)(?:(?P<operator>site|ext|filetype|intitle|inurl|loc|lang|language):)?"
    r"(?:\"(?P<phrase>[^\"]*)\"?|(?P<word>[^\s()\"]+))",
    re.IGNORECASE,
)
# Of the languages that most questions are in; left out where anything else is asked.
_STOPS: Final = """
a an and are as at be by can do does for from how i in is it its of on or that the their this to
was were what when where which who why will with you your
auf aus bei das dem den der des die ein eine einer es für ist mit nicht sich sind und von wann warum
was welche wer wie wo wurde zu zum zur au aux avec ce ces comment dans de des du elle en est et il
la le les ou par pas pour qui que quoi sont sur un une como con cual cuando de del el en es la las
los para por que quien se son un una y che come con da dei del di e gli il la le per un una à o os
as do dos da das em na no het een van is voor hoe wat
"""
STOPS: Final = frozenset(_STOPS.split()) | frozenset(words(_STOPS))
JOINERS: Final = frozenset({"AND", "&&"})
WORDS_MOST: Final = 32
# The index knows nothing of where a page is or, for certain, in which language.
UNKNOWABLE: Final = frozenset({"loc", "lang", "language"})
SAME: Final = {"filetype": "ext"}


@dataclass(frozen=True, slots=True)
class Parsed:
    """What must, may and must not be in a document. Values of one operator are alternatives."""

    words: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()
    without: tuple[tuple[str, ...], ...] = ()
    operators: dict[str, tuple[str, ...]] = field(default_factory=dict)
    excluded: dict[str, tuple[str, ...]] = field(default_factory=dict)
    any_word: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for that a document could have."""
        return not (self.words or self.phrases or self.operators)


def parse(query: str, operators: Operators) -> Parsed:
    """The query, and the operators that parameters named."""
    found = Parsed()
    for name, values in operators.items():
        for value in values:
            found = _with_operator(found, name, value, excluded=False)
    for token in TOKEN.finditer(query):
        found = _with_token(found, token)
    telling = tuple(word for word in found.words if word not in STOPS) or found.words
    return replace(found, words=telling[:WORDS_MOST], phrases=found.phrases[:WORDS_MOST])


def _with_token(found: Parsed, token: re.Match[str]) -> Parsed:
    phrase, word = token["phrase"], token["word"]
    excluded = bool(token["minus"])
    if token["operator"]:
        text = phrase if phrase is not None else word
        return _with_operator(found, token["operator"].lower(), text, excluded=excluded)
    if word in ("OR", "|"):
        return replace(found, any_word=True)
    if word in JOINERS:
        return found
    parts = tuple(words(phrase if phrase is not None else word))
    if not parts:
        return found
    if excluded:
        return replace(found, without=(*found.without, parts))
    if phrase is not None:
        return replace(found, phrases=(*found.phrases, parts))
    return replace(found, words=(*found.words, *parts))


def _with_operator(found: Parsed, name: str, value: str, *, excluded: bool) -> Parsed:
    name = SAME.get(name, name)
    text = value.strip().strip('"').lower()
    if name in UNKNOWABLE or not text:
        return found
    if name == "site":
        text = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    if name == "ext":
        text = text.lstrip(".")
    if excluded:
        return replace(found, excluded=_appended(found.excluded, name, text))
    return replace(found, operators=_appended(found.operators, name, text))


def _appended(
    known: dict[str, tuple[str, ...]], name: str, text: str
) -> dict[str, tuple[str, ...]]:
    return {**known, name: (*known.get(name, ()), text)}


def shown_words(parsed: Parsed) -> Iterator[str]:
    """The words that a passage should show."""
    yield from parsed.words
    for phrase in parsed.phrases:
        yield from phrase
    for value in parsed.operators.get("intitle", ()):
        yield from words(value)
