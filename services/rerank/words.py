"""Cuts text of any script into terms to be matched. Pure.

It refuses no script: where words are not separated by blanks, a term is a pair of neighbouring
characters; everywhere else it is a word in its plain form.
"""

from typing import Final

from services.search.index import words as index_words

# Beyond this a text adds nothing to its own ranking.
MOST_CHARACTERS: Final = 131_072
# Words that say how a question is asked, not what about; English, then its neighbours.
# In the plain form, without accents.
LIGHT_WORDS: Final = """
a an and are as at be been by can did do does for from had has have how i if in into is it its
me my no not of on or our so than that the their them there these they this those to was we were
what when where which who whom whose why will with would you your
der die das den dem des ein eine einen einem einer und oder ist sind war wie wer wo wann warum mit
von zu im auf fur nicht sich es le la les un une du de et ou est sont que qui quoi dans pour sur
avec ce cette ces el los las una y o son por para con como donde cuando en se su al del il lo gli
di da che e per non come dove os um uma dos em com
"""
LIGHT: Final = frozenset(LIGHT_WORDS.split())
LONG_ENOUGH: Final = 3


def terms(text: str) -> list[str]:
    """The terms of the text in order: those of the local index, English plurals aside."""
    return [
        term if term in LIGHT else _stem(term) for term in index_words.terms(text[:MOST_CHARACTERS])
    ]


def is_light(term: str) -> bool:
    """Whether the term says little about what a text is about."""
    return term in LIGHT


def familiar_share(text: str) -> float:
    """Which share of the letters is Latin: what the built-in model was trained on; 1 without."""
    letters = [character for character in text[:4096] if character.isalpha()]
    if not letters:
        return 1.0
    return sum(character < "\u0250" for character in letters) / len(letters)


def _stem(word: str) -> str:
    """Without the ending of an English plural, which is also that of several neighbours."""
    if len(word) <= LONG_ENOUGH or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("xes", "ches", "shes", "sses")):
        return word[:-2]
    return word[:-1]
