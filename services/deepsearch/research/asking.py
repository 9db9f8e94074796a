"""What a question asks: its names, its words, and the queries that it begins with. Pure."""

from dataclasses import dataclass
from typing import Final

from services.deepsearch.research.text import (
    content_words,
    dense_parts,
    key_of,
    names,
    spelled,
)

NAMES_MOST: Final = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """A question taken apart. `relations`: its words that belong to no name, as written."""

    text: str
    names: tuple[str, ...]
    keys: frozenset[str]
    words: tuple[str, ...]
    relations: tuple[str, ...]
    queries: tuple[str, ...]
    parts: tuple[str, ...]


def asked(question: str) -> Asked:
    """The question taken apart."""
    found = names(question)
    words = content_words(question)
    named = {word for name in found for word in content_words(name)}
    relations = spelled([word for word in words if word not in named], question)
    queries = [question]
    for name in found[:NAMES_MOST]:
        queries.append(name)
    queries += dense_parts(question)[:3]
    return Asked(
        text=question,
        names=tuple(found),
        keys=frozenset(map(key_of, found)),
        words=tuple(words),
        relations=tuple(relations),
        queries=tuple(dict.fromkeys(queries)),
        parts=(),
    )
