"""Closed days for tests: yesterday made by hand, and what a customer holds of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeAlias

import asyncpg

from gateway.ledger.closing import Closer, Exports
from gateway.ledger.digests import ClosedDay, KeyDay
from gateway.ledger.verify import verify

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
TODAY = datetime.now(UTC).date()
EVER = (date(2000, 1, 1), TODAY)


async def put_back(owner: Owner, day: date) -> None:
    """What was posted in the last minutes was posted on this day, at the same time of day."""
    await owner.execute("set session_replication_role = replica")
    for table in ("outcome", "transfer"):
        await owner.execute(
            f"update {table} set posted_at = $1::date + (posted_at at time zone 'UTC')::time"
            " at time zone 'UTC' where posted_at > now() - interval '1 hour'",
            day,
        )
    await owner.execute(
        "update api_key set created_at = least(created_at, $1::date + interval '1 hour')", day
    )


async def close_all(closer: Closer) -> list[date]:
    closed = []
    while (day := await closer.close_next()) is not None:
        closed.append(day)
    return closed


async def lines_of(exports: Exports, key_id: int, span: tuple[date, date] = EVER) -> list[str]:
    return [line async for page in exports.pages(key_id, *span, page_lines=3) for line in page]


def tokens_of(lines: Sequence[str]) -> int:
    return sum(int(line.split("\t")[6]) for line in lines)


@dataclass(frozen=True, slots=True)
class Closed:
    """What a customer holds: his lines, his days, and what is published."""

    key_id: int
    lines: list[str]
    days: list[KeyDay]
    published: list[ClosedDay]

    def differences(self, lines: Sequence[str] | None = None) -> list[str]:
        given = self.lines if lines is None else lines
        return verify(self.key_id, given, self.days, self.published).differences
