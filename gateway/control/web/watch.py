"""What the worker does for the web side: budgets, alerts, letters, forgetting.

1. Budgets are weighed once a second, for keys that changed since; what is used up suspends the key.
2. Alerts that are due become notices, each once; notices become letters, or lines of the log.

Refuses to hold a budget as exactly as a balance: see ops/decisions/web.md for how late it can be.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson

from gateway.control.web.letters import Letters, MailUnavailable
from gateway.control.web.sessions import IDLE_S, MOST_S
from gateway.control.web.texts import Texts
from gateway.postgres import Postgres, Row

_LOG = logging.getLogger("sluice.web")
_AT_ONCE: Final = 200
_LETTERS: Final = 10
_LEASE_S: Final = 120
_MOST_ATTEMPTS: Final = 6
_FIRST_PAUSE_S: Final = 30
Work = tuple[Callable[[], Awaitable[int]], str, int]


class Watch:
    """The worker's part. `letters` None: alerts stand in the log."""

    def __init__(
        self,
        postgres: Postgres,
        queries: Mapping[str, str],
        letters: Letters | None,
        texts: Texts,
    ) -> None:
        self._postgres = postgres
        self._queries = queries
        self._letters = letters
        self._texts = texts

    def works(self) -> tuple[Work, ...]:
        """What one worker per machine does again and again: name, and pause in ms."""
        return (
            (self.weigh, "budgets", 1_000),
            (self.alert, "alerts", 2_000),
            (self.deliver, "letters", 2_000),
            (self.forget, "web forgetting", 60_000),
        )

    async def weigh(self) -> int:
        """Budgets; 0 unless there may be more to do at once."""
        done = await self._postgres.value(self._queries["weigh_budgets"], _AT_ONCE)
        return int(done == _AT_ONCE)

    async def alert(self) -> int:
        """Note what is due; how many notices are new."""
        noted: int = await self._postgres.value(self._queries["note_alerts"])
        return noted

    async def deliver(self) -> int:
        """Send one batch of notices; how many were dealt with."""
        rows = await self._postgres.rows(self._queries["take_account_notices"], _LETTERS, _LEASE_S)
        for row in rows:
            await self._postgres.value(
                self._queries["end_account_notice"], row["notice_id"], await self._later_s(row)
            )
        return len(rows)

    async def forget(self) -> int:
        """Sessions, tickets, attempts and notices that are over."""
        gone = await self._postgres.value(
            self._queries["forget_web"], IDLE_S, MOST_S, _AT_ONCE * 10
        )
        return int(gone >= _AT_ONCE * 10)

    async def _later_s(self, row: Row) -> int | None:
        """None once it is told, or given up; else when to try again."""
        words = self._texts.of(self._texts.known(row["language"]) or "en")["letters"]
        facts = {name: f"{value:,}" for name, value in orjson.loads(row["facts"]).items()}
        shown = f"{row['name']} (...{row['last_characters']})".strip()
        text = str(words[row["kind"]]).format(key=shown, **facts)
        if row["email"] is None or self._letters is None:
            _LOG.warning("alert of notice %d: %s", row["notice_id"], text)
            return None
        try:
            await self._letters.send(row["email"], str(words[f"{row['kind']}_subject"]), text)
        except MailUnavailable as fault:
            if row["attempts"] >= _MOST_ATTEMPTS:
                _LOG.warning("notice %d was given up: %s", row["notice_id"], fault)
                return None
            return int(_FIRST_PAUSE_S * 4 ** (row["attempts"] - 1))
        return None
