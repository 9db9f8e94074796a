"""The local index as a provider: needs no network, and knows its documents' content.

It has no pictures. Places, languages and ages of a question say nothing to it.
"""

import sqlite3
from collections.abc import Sequence

from services.search.hits import Hit, Kind, Question
from services.search.index.engine import DamagedError
from services.search.index.library import Library, Match
from services.search.providers.port import ProviderError


class Local:
    """The provider that is there when nothing is set."""

    name = "local"

    def __init__(self, library: Library) -> None:
        self._library = library

    async def find(self, question: Question, deadline_ms: int) -> Sequence[Hit]:
        """The port's promise."""
        del deadline_ms  # some milliseconds, whatever the question
        if question.kind is Kind.IMAGES:
            return []
        offset = (question.page - 1) * question.count
        try:
            found = await self._library.search(
                question.query, question.operators, offset, question.count
            )
        except (DamagedError, sqlite3.Error, OSError) as fault:
            raise ProviderError(f"the index failed: {fault}") from fault
        return [_hit(match) for match in found]


def _hit(match: Match) -> Hit:
    document = match.document
    return Hit(
        url=document.url,
        title=document.title,
        description=match.passage or document.description,
        date=document.date,
        stored=document.content,
        stored_tokens=document.tokens,
        fetch=document.fetch,
    )
