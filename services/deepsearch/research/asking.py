"""What a question asks: its names, its parts, and the queries that it begins with. Pure.

It refuses nothing: a question without names is searched as it stands and by its words.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from services.deepsearch.research.text import content_words, dense_parts, key_of, names, spelled

NAMES_MOST: Final = 5
PIECES_MOST: Final = 3
# Beyond this a question is a text with a question in it; its end says what is asked.
QUESTION_CHARACTERS: Final = 600
# Where a question is put together: of, 's, which, where ... English and its neighbours.
BOUNDARY: Final = re.compile(
    r"(?=\b(?:that|which|who|whom|whose|where|when|did|was|is|der|die|das|dessen|deren|qui|que|dont|"
    r"où|quien|cuyo|cuya|donde)\b)|\b(?:of|von|des|du|de|del)\b|['’]s\b|,|\b(?:and|or|und|oder)\b",
    re.IGNORECASE,
)
# Of these, where one question is inside another.
NESTING: Final = re.compile(
    r"\b(?:that|which|who|whom|whose|where|when|dessen|deren|dont|cuyo|cuya|of|von|des|du|de|del)\b"
    r"|['’]s\b|的|の",
    re.IGNORECASE,
)
# A thing that is described and not named, unless it is itself what is asked for: `is the ...`.
DESCRIBED: Final = re.compile(
    r"(?<!\bis )(?<!\bwas )(?<!\bare )(?<!\bwere )"
    r"\b(?:the|der|die|das|dem|den|le|la|el) [a-zß-öø-ÿ]"
)
HEAD: Final = re.compile(
    r"\b(?:which|what|welche[rnsm]?|quelle?s?|qué|cuál)\s+([a-zß-öø-ÿ]{3,})(?!\w)", re.IGNORECASE
)
# Of a question that goes on from an earlier one.
GOES_ON: Final = re.compile(
    r"^\W*(?:and|but|so|und|aber|et|mais|y|pero)\b|\b(?:it|its|they|them|their|he|him|his|she|her|"
    r"this|that one|these|those|er|sie|es|ihn|ihm|il|elle|ils|elles)\b|它|他|她|それ|これ",
    re.IGNORECASE,
)
URL: Final = re.compile(r"https?://[^\s<>\"'）)\]]+[^\s<>\"'）)\].,;:!?]")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question taken apart.

    `relations`: its words that belong to no name, as written. `skeleton`: the question without its
    names. `segments`: the parts of the skeleton, `parts_count` single ones and then neighbours.
    `hops`: how many questions are inside each other. `final`: which single parts say what is asked
    in the end. `head`: what kind of thing, where the question says it: `which river`.
    """

    text: str
    names: tuple[str, ...]
    keys: frozenset[str]
    relations: tuple[str, ...]
    skeleton: str
    segments: tuple[str, ...]
    parts_count: int
    hops: int
    final: tuple[int, ...]
    head: str
    queries: tuple[str, ...]
    urls: tuple[str, ...]


def asked(question: str) -> Asked:
    """The question taken apart."""
    urls = tuple(dict.fromkeys(URL.findall(question)))
    text = " ".join(URL.sub(" ", question).split())[-QUESTION_CHARACTERS:] or question
    found = names(text)
    named = {word for name in found for word in content_words(name)}
    relations = spelled([word for word in content_words(text) if word not in named], text)
    skeleton = without(text, found)
    parts = [part.strip(" ?.!,'’") for part in BOUNDARY.split(skeleton)]
    parts = [part for part in parts if content_words(part)]
    nested = [part for part in NESTING.split(skeleton) if content_words(part)]
    head = HEAD.search(text)
    pairs = [f"{one} {other}" for one, other in pairwise(parts)]
    queries = [text, *found[:NAMES_MOST], *dense_parts(text)[:PIECES_MOST]]
    if not found and relations:
        queries.append(" ".join(relations))
    return Asked(
        text=text,
        names=tuple(found),
        keys=frozenset(map(key_of, found)),
        relations=tuple(relations),
        skeleton=skeleton,
        segments=tuple(parts + pairs),
        parts_count=len(parts),
        final=_final(text, found, len(parts)),
        head=head[1].lower() if head else "",
        hops=max(1, len(nested), 1 + len(DESCRIBED.findall(skeleton))),
        queries=tuple(dict.fromkeys(queries)),
        urls=urls,
    )


def in_context(question: str, earlier: str) -> str:
    """The question behind the one before it, where it only says `it` and names nothing."""
    if not earlier or names(question) or not GOES_ON.search(question):
        return question
    return f"{' '.join(earlier.split())[: QUESTION_CHARACTERS // 2]} {question}"


def _final(text: str, found: Iterable[str], parts: int) -> tuple[int, ...]:
    """The first part, and the last where it comes behind the names: `where was X's author born`."""
    end = max((text.rfind(name) + len(name) for name in found), default=0)
    behind = content_words(text[end:].removeprefix("'s"))
    return (0, parts - 1) if parts > 1 and behind else (0,)


def without(text: str, parts: Iterable[str]) -> str:
    """The text without those parts, whatever their case: what is said of them."""
    for part in sorted(parts, key=len, reverse=True):
        if part:
            text = re.sub(re.escape(part), " ", text, flags=re.IGNORECASE)
    return " ".join(text.split())
