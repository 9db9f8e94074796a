"""What the client sees while a research thinks: words, queries and addresses, one event each.

It refuses to grow without end: beyond a cap thoughts are dropped, never the work. `Silent` is for
those who only want the answer.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

# The thoughts of one request; a client that does not read must not fill the memory.
CHARACTERS_MOST: Final = 400_000
WORD: Final = re.compile(r"\s*\S+\s*")

Delta = Mapping[str, Any]


class Silent:
    """Nobody listens."""

    def think(self, text: str) -> None:
        """Not told."""

    def searching(self, query: str) -> None:
        """Not told."""

    def visiting(self, url: str) -> None:
        """Not told."""


class Thoughts:
    """Deltas in order, until they are taken."""

    def __init__(self) -> None:
        self._deltas: list[Delta] = []
        self._characters = 0
        self.heard = asyncio.Event()

    def think(self, text: str) -> None:
        """Word by word, each with the space that follows it."""
        if not text.strip():
            return
        text = text if text[-1:].isspace() else f"{text} "
        for word in WORD.findall(text):
            self._put({"content": word, "type": "think"}, len(word))

    def searching(self, query: str) -> None:
        self._put({"type": "think", "query": query}, len(query))

    def visiting(self, url: str) -> None:
        self._put({"type": "think", "url": url}, len(url))

    def take(self) -> list[Delta]:
        """All that has come since the last time."""
        found, self._deltas = self._deltas, []
        self.heard.clear()
        return found

    def wake(self) -> None:
        """Something else has happened that the writer should look at."""
        self.heard.set()

    def _put(self, delta: Delta, characters: int) -> None:
        self._characters += characters
        if self._characters <= CHARACTERS_MOST:
            self._deltas.append(delta)
            self.heard.set()
