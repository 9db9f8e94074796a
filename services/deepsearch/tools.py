"""What the loop may do in the world, and how it tells what it does: protocols only.

Refuses nothing itself; whoever implements `Tools` raises BudgetSpent once nothing is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class BudgetSpent(Exception):
    """Nothing is left to spend: the loop answers from what it knows."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search, without the content of its page."""

    url: str
    title: str
    snippet: str
    date: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page that was read; `truncated` when it has more text than was asked for."""

    url: str
    title: str
    text: str
    date: str | None
    truncated: bool


class Tools(Protocol):
    """Every call counts its own tokens under its step's name before it returns."""

    async def search(self, query: str, *, results: int) -> Sequence[Hit]:
        """Hits without content; none when nothing is found or the search failed."""

    async def read(self, url: str) -> Page | None:
        """The page, or None where it could not be read; the reason is in the trace."""

    async def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One score per text; higher is better."""

    async def embed(
        self, texts: Sequence[str], *, task: str, late_chunking: bool = False
    ) -> Sequence[Sequence[float]]:
        """One vector per text; `task` is retrieval.query or retrieval.passage."""

    def remaining_tokens(self) -> int:
        """What is left of the budget; never negative."""

    def spend(self, step: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Count work that costs tokens outside these calls, such as a mind's own model calls."""


class Progress(Protocol):
    """What the client sees while we think."""

    def think(self, text: str) -> None:
        """Words of the thought."""

    def searching(self, query: str) -> None:
        """A query is being searched."""

    def visiting(self, url: str) -> None:
        """A page is being read."""
