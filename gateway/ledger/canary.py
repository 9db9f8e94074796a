"""What the canary saw: noted by the hour, kept for 90 days, read by the status page.

Refuses to keep single samples: an hour of a product is one row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.postgres import Postgres

MAX_DAYS: Final = 90


@dataclass(frozen=True, slots=True)
class Sample:
    """One check. `ok` None: what it looks at is not deployed here, which is no failure."""

    subject: str
    ok: bool | None
    ms: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """How a subject was the last time; `at_ms` is unix."""

    subject: str
    ok: bool | None
    ms: int
    text: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Span:
    """A subject on one UTC day, or in one hour (`start_ms`, unix)."""

    subject: str
    start_ms: int
    runs: int
    failures: int
    mean_ms: int
    most_ms: int


class CanaryLog:
    """The history. Faults: PostgresUnavailable."""

    def __init__(self, postgres: Postgres, queries: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._queries = queries

    async def note(self, samples: Sequence[Sample]) -> None:
        """Add one round to its hour, and forget what is 90 days old."""
        text = orjson.dumps([(s.subject, s.ok, s.ms, s.text) for s in samples]).decode()
        await self._postgres.value(self._queries["note_canary"], text)

    async def latest(self) -> list[Seen]:
        """Every subject as it was seen last, in the order of the names."""
        rows = await self._postgres.rows(self._queries["canary_latest"])
        return [Seen(*row.values()) for row in rows]

    async def days(self, days: int = MAX_DAYS) -> list[Span]:
        """Per subject and UTC day, the oldest first; a day without a run has no row."""
        return await self._spans("day", min(max(days, 1), MAX_DAYS))

    async def hours(self, days: int = 2) -> list[Span]:
        """The same by the hour."""
        return await self._spans("hour", min(max(days, 1), MAX_DAYS))

    async def _spans(self, unit: str, days: int) -> list[Span]:
        rows = await self._postgres.rows(self._queries["canary_spans"], unit, days)
        return [Span(*row.values()) for row in rows]
