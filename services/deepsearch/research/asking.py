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
URL: Final = re.compile(r"https?://[^\s<>\"'）)\]]+[^\s<>\"'）)\].,;:!?]")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question taken apart.

    `relations`: its words that belong to no name, as written. `skeleton`: the question without its
    names. `segments`: the parts of the skeleton, `parts_count` single ones and then neighbours.
    `hops`: how many questions are inside each other.
    """

    text: str
    names: tuple[str, ...]
    keys: frozenset[str]
    relations: tuple[str, ...]
    skeleton: str
    segments: tuple[str, ...]
    parts_count: int
    hops: int
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
        hops=max(1, len(nested)),
        queries=tuple(dict.fromkeys(queries)),
        urls=urls,
    )


def without(text: str, parts: Iterable[str]) -> str:
    """The text without those parts, whatever their case: what is said of them."""
    for part in sorted(parts, key=len, reverse=True):
        if part:
            text = re.sub(re.escape(part), " ", text, flags=re.IGNORECASE)
    return " ".join(text.split())
