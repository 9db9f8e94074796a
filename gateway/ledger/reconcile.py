"""The proof that no token and no admission is lost: named checks, each of which must find no row.

Refuses to repair anything. Every check is one statement, so it sees one moment of the database
and may run under full traffic.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from gateway.errors import PostgresUnavailable
from gateway.ledger.rows import BalanceRow, Check
from gateway.ledger.shelf import balance_of
from gateway.postgres import Postgres

CHECKS: Final = (
    "chain_has_no_gap",
    "chain_has_no_fork",
    "chain_steps_are_right",
    "head_of_chain_is_projection",
    "sums_are_projection",
    "debits_are_credits",
    "outcomes_have_known_keys",
    "admissions_are_not_lost",
    "admissions_end_once",
    "grants_are_unique",
    "given_back_was_taken",
    "usage_is_outcomes",
    "closed_days_recompute",
    "closed_days_are_chained",
    "orders_are_transfers",
    "debts_are_owner_debt",
    "statuses_have_causes",
)
COPIES_CHECK: Final = "redis_copies_are_equal"
SAMPLE_ROWS: Final = 10
_PING_DEADLINE_MS: Final = 5_000
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


class Reconciler:
    """Runs the checks. Give it a pool of its own whose deadline fits the size of the books."""

    def __init__(self, postgres: Postgres, queries: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._queries = queries

    async def run(
        self, *, since_ms: int | None = None, deadline_ms: int | None = None
    ) -> list[Check]:
        """All checks, in a fixed order, each with the number of differences and a sample.

        `since_ms` None reads everything; else only what was posted since then is looked at, and
        the sums over all time are left alone. `deadline_ms` is per check: one that takes longer
        is given up, in the database too, and says so; the others go on.
        """
        since = _BEGINNING if since_ms is None else datetime.fromtimestamp(since_ms / 1_000, UTC)
        return [await self._check_or_fault(name, since, deadline_ms) for name in CHECKS]

    async def compare_copies(self, copies: Sequence[BalanceRow]) -> Check:
        """Compares balance copies read from Redis a moment ago with the rows of PostgreSQL.

        An older version is only late. A difference is: another content at the same version, a
        version that PostgreSQL has not reached, or a key that it does not know.
        """
        rows = await self._postgres.rows(
            self._queries["load_balances"], [copy.key_id for copy in copies]
        )
        truth = {row["key_id"]: balance_of(row) for row in rows}
        wrong = [copy for copy in copies if _differs(copy, truth.get(copy.key_id))]
        sample = tuple(_shown(copy, truth.get(copy.key_id)) for copy in wrong[:SAMPLE_ROWS])
        return Check(COPIES_CHECK, len(wrong), sample)

    async def _check_or_fault(self, name: str, since: datetime, deadline_ms: int | None) -> Check:
        try:
            return await self._check(name, since, deadline_ms)
        except PostgresUnavailable as fault:
            # If it is PostgreSQL and not the check, this raises.
            await self._postgres.value("select 1", deadline_ms=_PING_DEADLINE_MS)
            return Check(name, 0, fault=str(fault))

    async def _check(self, name: str, since: datetime, deadline_ms: int | None) -> Check:
        sql = self._queries["check_frame"].replace(":check", self._queries[name])
        rows = await self._postgres.rows(sql, since, SAMPLE_ROWS, deadline_ms=deadline_ms)
        sample = tuple(
            {column: _plain(value) for column, value in row.items() if column != "differences"}
            for row in rows
        )
        return Check(name, rows[0]["differences"] if rows else 0, sample)


def _plain(value: object) -> int | str | None:
    return value if value is None or isinstance(value, int) else str(value)


def _differs(copy: BalanceRow, truth: BalanceRow | None) -> bool:
    if truth is None or copy.version > truth.version:
        return True
    return copy.version == truth.version and copy != truth


def _shown(copy: BalanceRow, truth: BalanceRow | None) -> Mapping[str, int | str | None]:
    return {
        "key_id": copy.key_id,
        "copy": repr(copy),
        "postgres": None if truth is None else repr(truth),
    }
