"""Texts taken apart: sentences with their places, content words, names. Pure, any script.

It refuses nothing. Whatever is long is to be handed over in slices or in a thread by the caller.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.rerank.words import is_light, terms
from services.search.index.words import DENSE, fold

# Up to here a run is a sentence; a longer one is cut, so that no table or listing is one.
SENTENCE_CHARACTERS: Final = 600
# A line that goes on in small letters on the next is wrapped, and ends nothing.
END: Final = re.compile(
    r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+[”」』）]*|\n{2,}|(?<![\w,])\n|\n(?! {0,3}[a-zß-öø-ÿ(])"
)
# What ends with a point and does not end a sentence.
ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|[A-Z]\.[A-Z]|Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Gen|Col|Capt|Lt|Sgt|Rev|Hon|Gov|Sen"
    r"|Rep|No|Vol|vs|etc|ca|approx|Inc|Ltd|Co|Corp|Bros|e\.g|i\.e|bzw|Nr|z\.B|Jan|Feb|Mar|Apr|Aug"
    r"|Sept|Oct|Nov|Dec)$"
)
# Small words that stand within a name, of the languages that write names with capitals.
_WITHIN: Final = (
    "of|the|de|la|le|les|des|du|del|della|di|da|do|dos|von|van|der|den|zu|y|e|et|und|and|for|in|on|"
    "at|to|with|from|by|a|an|al|el|bin|ibn|ben"
)
_UPPER: Final = "".join(
    chr(code) for code in (*range(0x41, 0x588), *range(0x1E00, 0x2000)) if chr(code).isupper()
)
# An initial, a title with its point, or a word; a point elsewhere ends the name.
_REST: Final = r"(?:(?:[\w'’&/-]|\.(?=\w))*\w)?"
_CAPITAL: Final = (
    rf"(?:[{_UPPER}]\.(?:[{_UPPER}]\.)*|(?:Dr|Mr|Mrs|Ms|St|Jr|Sr|Mt|Ft|No|Vol)\.(?=\s)|[{_UPPER}]{_REST}|\d"
    rf"{_REST})"
)
NAME: Final = re.compile(
    rf"(?<!\w)(?=[{_UPPER}]){_CAPITAL}"
    rf"(?:(?:[ \u00a0]+(?:{_WITHIN})){{0,2}}[ \u00a0]+{_CAPITAL})*"
)
QUOTED: Final = re.compile(r"[\"“„«《「『]([^\"“”„«»《》「」『』\n]{2,80})[\"”“»》」』]")
KATAKANA: Final = re.compile(r"[\u30a0-\u30ff]{3,}")
JOINED: Final = re.compile(r"\s+(?:and|und|et|y|e|&)\s+")
SPLIT_WITHIN: Final = re.compile(r"\s+(?:in|on|at|to|with|from|by|for)\s+")
POSSESSIVE: Final = re.compile(r"['’]s?$")
BEGINS: Final = re.compile(r"^\s*$|[.!?…:;\n]\W*$")
# A word in small letters right behind.
FOLLOWS: Final = re.compile(r" ([a-zß-öø-ÿ-]+)")
SMALL: Final = frozenset(_WITHIN.split("|")) - {"the", "a"}
YEAR: Final = re.compile(r"(?<!\d)(?:1\d{3}|20\d{2})(?!\d)")
PARENTHESIS: Final = re.compile(r"\s*[(（][^()（）]*[)）]\s*$")
# What points into a text, and names nothing: Listing 4-9, Chapter 13.
POINTER: Final = re.compile(
    r"(?:listing|chapter|figure|fig|table|section|appendix|example|step|page|kapitel|abbildung|"
    r"tabelle|chapitre|capítulo)s?\.? [\da-z]?[\d.–-]*"
)
# Words that begin sentences with a capital and are no names. English, and its neighbours.
OPENERS: Final = frozenset(
    fold(
        """the a an in on at of to for from by with as it its he she they we i you his her their our
        this that these those there here when where while who what which whose whom how why if but
        and or nor so yet after before during since until although though because however both
        each every some many most several all one two three another other such no not is are was
        were do does did has have had can could will would may might should must be been name list
        according despite among between within under over also then later first second last
        following born works wrote other today now once upon through against about into than
        der die das ein eine er sie es wir im am um zum zur auf aus bei mit nach seit von vor wie
        wer wo wann warum welche welcher welches ist sind war waren le la les un une il elle ils
        elles dans sur avec pour par qui que quel quelle est sont el los las una uno en con por
        para quien cual es son lo gli dove chi quando come nel nella"""
    ).split()
)
CJK_STOPS: Final = re.compile(
    r"什么|什麼|哪(?:里|裡|個|个|一|年|国|國)?|谁|誰|多少|几|幾|怎么|怎麼|为什么|吗|嗎|呢|的|是|在|了|和|与|與|"
    r"は|が|を|に|の|で|と|も|か|へ|どこ|だれ|いつ|なに|何|どの|ですか|ますか|した|です|ます|[？?。，,、！!\s]"
)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of `text` begin and end, in order; blanks around them left out."""
    start = 0
    for end in END.finditer(text):
        if end[0].startswith(".") and _abbreviated(text, start, end.start()):
            continue
        yield from _trimmed(text, start, end.end())
        start = end.end()
    yield from _trimmed(text, start, len(text))


def _abbreviated(text: str, start: int, point: int) -> bool:
    return ABBREVIATION.search(text, max(start, point - 12), point) is not None


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min(end, start + SENTENCE_CHARACTERS)
        if stop < end:
            blank = text.rfind(" ", start + SENTENCE_CHARACTERS // 2, stop)
            stop = blank if blank > 0 else stop
        piece = text[start:stop]
        left = start + len(piece) - len(piece.lstrip())
        right = start + len(piece.rstrip())
        if right > left:
            yield left, right
        start = stop


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a text. `first`: it begins a sentence; `adjective`: it only describes a word."""

    name: str
    key: str
    first: bool
    adjective: bool


def names(text: str) -> list[str]:
    """Proper names and quoted titles in order, each once; a year is none."""
    return [mention.name for mention in mentions(text)]


def mentions(text: str) -> list[Mention]:
    """As `names`, with how each is used where it stands first."""
    found: dict[str, Mention] = {}
    for quoted in QUOTED.finditer(text):
        _keep(found, quoted[1])
    for match in NAME.finditer(text):
        first = BEGINS.search(text, max(0, match.start() - 4), match.start()) is not None
        follows = FOLLOWS.match(text, match.end())
        adjective = follows is not None and not is_light(fold(follows[1])) and " " not in match[0]
        for part in _parts(match[0], first=first):
            _keep(found, part, first=first, adjective=adjective)
    if DENSE.search(text):
        for match in KATAKANA.finditer(text):
            _keep(found, match[0])
    return list(found.values())


def _keep(
    found: dict[str, Mention], name: str, *, first: bool = False, adjective: bool = False
) -> None:
    name = POSSESSIVE.sub("", name.strip(" .,;:'’\"-"))
    key = key_of(name)
    points = POINTER.fullmatch(key) is not None
    if len(key) > 1 and not points and not YEAR.fullmatch(key) and not key.isdigit():
        found.setdefault(key, Mention(name, key, first, adjective))


def _bare(name: str) -> str:
    """Without words in front that only stand at the beginning of a sentence."""
    words = name.split()
    while words and fold(words[0]).strip("'’.") in OPENERS and fold(words[0]) not in ("the", "a"):
        words.pop(0)
    while words and (words[0].isdigit() or words[0] in SMALL):
        words.pop(0)
    if len(words) == 1 and fold(words[0]).strip(".") in OPENERS:
        return ""
    return " ".join(words)


def _parts(whole: str, *, first: bool) -> Iterator[str]:
    """The name as it stands, and what it may be made of: `A and B`, `A in B`."""
    name = _bare(whole)
    if not name:
        return
    pieces = [_bare(piece) for piece in SPLIT_WITHIN.split(name)]
    if not all(pieces):
        # `A in 1920` is A.
        yield from filter(None, pieces)
        return
    if len(pieces) > 1:
        yield from (piece for piece in pieces if len(piece.split()) > 1)
        if first and " " not in pieces[0]:
            # `Helmed by A B` is no name.
            yield from (piece for piece in pieces[1:] if piece and " " not in piece)
            return
    pieces = JOINED.split(name)
    if len(pieces) == 3:
        # `A and B and C` is two names, one of which has an `and` in it.
        yield from (f"{pieces[0]} and {pieces[1]}", f"{pieces[1]} and {pieces[2]}")
    several = [piece for piece in map(_bare, pieces) if " " in piece]
    if len(pieces) > 1:
        yield from several
    if len(pieces) == 1 or len(several) < len(pieces):
        yield name


@lru_cache(maxsize=8192)
def key_of(name: str) -> str:
    """By which two ways to write one name are the same: no case, article or parenthesis."""
    folded = fold(PARENTHESIS.sub("", name)).replace("’", "'").removesuffix("'s").strip()
    for article in ("the ", "a ", "an "):
        folded = folded.removeprefix(article)
    return " ".join(folded.split())


def content_words(text: str) -> list[str]:
    """Terms of the text that say what it is about, each once, in order."""
    return list(dict.fromkeys(term for term in terms(text) if not is_light(term)))


def dense_parts(question: str) -> list[str]:
    """Of a question in a script without blanks, the pieces between its particles."""
    if not DENSE.search(question):
        return []
    pieces = [piece.strip() for piece in CJK_STOPS.split(question)]
    return list(dict.fromkeys(piece for piece in pieces if len(piece) > 1))


def spelled(words: Sequence[str], text: str) -> list[str]:
    """The words of `text` whose terms are in `words`, as they are written there."""
    wanted = set(words)
    found = []
    for word in text.split():
        bare = word.strip(".,;:!?\"'()[]“”«»")
        if any(term in wanted for term in terms(bare)):
            found.append(bare)
    return list(dict.fromkeys(found))
