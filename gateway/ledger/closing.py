"""Closed days and the usage export: reads in pages, and the one call that closes a day.

Refuses to hold more than a page of lines, and to close a day before it has been over for a while.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

from gateway.ledger.digests import ClosedDay, KeyDay
from gateway.postgres import Postgres

# Digests of this many days at once; a year and a day.
MAX_DAYS: Final = 366
PAGE_LINES: Final = 1_000
_PAGE_DEADLINE_MS: Final = 10_000
_CLOSE_DEADLINE_MS: Final = 3_600_000


class Exports:
    """Reads. Faults: PostgresUnavailable."""

    def __init__(self, postgres: Postgres, queries: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._queries = queries

    async def pages(
        self, key_id: int, first: date, last: date, *, page_lines: int = PAGE_LINES
    ) -> AsyncIterator[list[str]]:
        """Canonical lines of the key from `first` to `last`, both included, in their order.

        A line's day is the closed day that it is in; while none is, the UTC day of its posting.
        """
        row = await self._postgres.row(self._queries["usage_export_bounds"], key_id, first, last)
        assert row is not None
        seq, upto_seq = row["after_seq"], row["upto_seq"]
        while upto_seq is not None and seq < upto_seq:
            # A key's moves have no gap: so many of them are at most so many lines. A limit instead
            # was planned as a sort of all that was left, for every page.
            until = min(seq + page_lines, upto_seq)
            rows = await self._postgres.rows(
                self._queries["usage_export"],
                key_id,
                seq,
                until,
                first,
                last,
                deadline_ms=_PAGE_DEADLINE_MS,
            )
            if rows:
                yield [row["line"] for row in rows]
            seq = until

    async def key_days(self, key_id: int, first: date, last: date) -> list[KeyDay]:
        """The key's closed days with at least one line, the oldest first, at most 366."""
        rows = await self._postgres.rows(
            self._queries["closed_key_days"], key_id, first, last, MAX_DAYS
        )
        return [
            KeyDay(
                row["day"],
                row["after_seq"],
                row["upto_seq"],
                row["lines"],
                row["tokens"],
                row["previous"],
                row["digest"],
                tuple(zip(row["on_the_left"], row["hashes"], strict=True)),
            )
            for row in rows
        ]

    async def closed_days(self, first: date, last: date) -> list[ClosedDay]:
        """What is published, the oldest first, at most 366 days."""
        rows = await self._postgres.rows(self._queries["closed_days"], first, last, MAX_DAYS)
        return [ClosedDay(*row.values()) for row in rows]


class Closer:
    """Closes days, one after the other, `grace` after their end.

    The database takes whatever was posted by then in the order of posting, so the grace only lets
    clocks differ; what is posted late belongs to a later day. `next_day` is the first that is not
    closed, as far as is known.
    """

    def __init__(
        self,
        postgres: Postgres,
        queries: Mapping[str, str],
        *,
        grace: timedelta = timedelta(minutes=10),
    ) -> None:
        self._postgres = postgres
        self._queries = queries
        self._grace = grace
        self.next_day: date | None = None

    async def run_once(self) -> int:
        """Close the next day if it is due; 1 if there was one."""
        return int(await self.close_next() is not None)

    async def close_next(self) -> date | None:
        """The day that was closed; None if none is due. Raises PostgresUnavailable."""
        row = await self._postgres.row(self._queries["next_day_to_close"])
        assert row is not None
        day: date | None = row["day"]
        self.next_day = day
        if day is None:
            return None
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        if row["now"].replace(tzinfo=UTC) < end + self._grace:
            return None
        await self._postgres.value(self._queries["close_day"], day, deadline_ms=_CLOSE_DEADLINE_MS)
        self.next_day = day + timedelta(days=1)
        return day
