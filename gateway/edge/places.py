"""Places for clients: when all are taken, who has been quiet for long makes room for who comes.

Refuses to end a connection on which anything is under way, a head in pieces included.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, Protocol

# Looking for clients who make room costs up to some ms, where there are thousands.
_LOOK_S: Final = 0.25
_AT_ONCE: Final = 64


class Client(Protocol):
    """A connection as far as it can make room."""

    def is_quiet(self, for_s: float) -> bool:
        """Whether nothing has been asked on it for so long, and nothing is under way."""

    def close(self) -> None:
        """End it."""


class Places:
    """`most` clients; whoever has asked nothing for `quiet_s` may have to go."""

    def __init__(self, most: int, quiet_s: float) -> None:
        self._most = most
        self._quiet_s = quiet_s
        self._freed = 0
        self._next_look_s = 0.0

    def has(self, clients: Iterable[Client], number: int, now_s: float) -> bool:
        """Whether the newest of so many clients may stay."""
        if number <= self._most:
            self._freed = 0
            return True
        if not self._freed and now_s >= self._next_look_s:
            self._next_look_s = now_s + _LOOK_S
            quiet = (each for each in clients if each.is_quiet(self._quiet_s))
            for each in list(islice(quiet, _AT_ONCE)):
                each.close()
                self._freed += 1
        if not self._freed:
            return False
        self._freed -= 1
        return True
