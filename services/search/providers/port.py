"""The port of the providers, and how they fail. It refuses nothing; it only names."""

from collections.abc import Sequence
from typing import Protocol

from services.search.hits import Hit, Question


class ProviderError(Exception):
    """The provider gave no usable answer; the text says why, for the log and not for clients."""


class BusyError(ProviderError):
    """The provider answered 429: it is asked too often."""


class Provider(Protocol):
    """Finds hits for a question."""

    @property
    def name(self) -> str:
        """The word by which settings and clients name it."""

    async def find(self, question: Question, deadline_ms: int) -> Sequence[Hit]:
        """Hits, best first, perhaps none, at most `question.count`; raises ProviderError."""
