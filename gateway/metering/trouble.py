"""Why PostgreSQL took no outcomes the last time, and whether that is its own refusal.

Refuses to guess: one silence may be of a moment, and a server that is away refuses nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.errors import PostgresUnavailable
from gateway.postgres.faults import ServerGone

# A second one in a row is of a server that answers others and not us: no standby that would have to
# confirm the commit, a lock that does not end.
_TELLING_SILENCES: Final = 2


@dataclass(frozen=True, slots=True)
class Trouble:
    """`why` is empty when it took what it was asked to; `silences` in a row before and with it."""

    why: str = ""
    begun_s: float = 0.0
    silences: int = 0
    was_told: bool = False

    def and_then(self, fault: PostgresUnavailable, begun_s: float) -> "Trouble":
        """What is known after one more failure of what began then."""
        is_silent = isinstance(fault, ServerGone)
        silences = self.silences + 1 if is_silent else 0
        return Trouble(str(fault) or "it does not answer", begun_s, silences, not is_silent)

    def refusal(self, was_away: Callable[[float], bool]) -> str:
        """Why it takes nothing though it answers, else ""; `was_away` at a moment or since."""
        is_sure = self.was_told or self.silences >= _TELLING_SILENCES
        return self.why if is_sure and not was_away(self.begun_s) else ""


NO_TROUBLE: Final = Trouble()
