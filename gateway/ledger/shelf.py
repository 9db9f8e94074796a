"""The reads behind the control plane: usage, requests and keys, each with a bound.

Refuses to change anything, and to answer without a limit.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import orjson

from gateway.ledger.canary import CanaryLog
from gateway.ledger.closing import Exports
from gateway.ledger.rows import BalanceRow, Figures, KeyView, Receipt, RequestRow, UsageRow
from gateway.postgres import Postgres, Row

# A year and a day, so that "the same day last year" is in reach.
MAX_USAGE_DAYS: Final = 366
MAX_ROWS: Final = 1_000


def balance_of(row: Row) -> BalanceRow:
    """A row of the view `balance`, or of a verdict, as the gate's record."""
    return BalanceRow(
        row["key_id"],
        row["version"],
        row["trial"],
        row["paid"],
        row["status"],
        row["tier"],
        orjson.loads(row["limits"]),
    )


class Shelf:
    """Read access to the ledger. Faults: PostgresUnavailable."""

    def __init__(self, postgres: Postgres, queries: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._queries = queries

    @property
    def exports(self) -> Exports:
        """Closed days and the lines of usage exports."""
        return Exports(self._postgres, self._queries)

    @property
    def canary(self) -> CanaryLog:
        """What the canary saw."""
        return CanaryLog(self._postgres, self._queries)

    async def usage(
        self, key_id: int, days: int = 30, *, by_day: bool = True, by_product: bool = True
    ) -> list[UsageRow]:
        """What ended in the last `days` UTC days, today included, newest day first.

        Clamped to 1..366 days. A day or product without a request has no row.
        """
        rows = await self._postgres.rows(
            self._queries["usage_by_day"],
            key_id,
            min(max(days, 1), MAX_USAGE_DAYS),
            by_day,
            by_product,
            MAX_USAGE_DAYS * 100,
        )
        return [UsageRow(*row.values()) for row in rows]

    async def recent(self, key_id: int, limit: int = 50) -> list[RequestRow]:
        """The latest requests of the key that have ended, newest first; at most 1,000."""
        rows = await self._postgres.rows(
            self._queries["recent_requests"], key_id, min(max(limit, 1), MAX_ROWS)
        )
        return [RequestRow(*row.values()) for row in rows]

    async def receipts(self, key_id: int, limit: int = 50) -> list[Receipt]:
        """What came to the key from outside, newest first; nothing that was only given back."""
        rows = await self._postgres.rows(
            self._queries["receipts_of_key"], key_id, min(max(limit, 1), MAX_ROWS)
        )
        return [Receipt(*row.values()) for row in rows]

    async def request(self, key_id: int, request_id: str) -> RequestRow | None:
        """How a request of this key ended; None if it is not its own, unknown or not posted."""
        try:
            wanted = UUID(request_id)
        except ValueError:
            return None
        row = await self._postgres.row(self._queries["request_of_key"], key_id, wanted)
        return None if row is None else RequestRow(*row.values())

    async def key_view(self, key_id: int) -> KeyView | None:
        """A key as its owner sees it; None if there is none."""
        row = await self._postgres.row(self._queries["view_key"], key_id)
        return None if row is None else _view_of(row)

    async def suspended_by(self, key_id: int) -> list[str]:
        """What suspends a key now: of `budget`, `dispute` and `operator`."""
        rows = await self._postgres.rows(self._queries["suspended_by"], key_id)
        return [row["cause"] for row in rows]

    async def find_keys(
        self, query: str, *, key_id: int | None = None, limit: int = 50
    ) -> list[KeyView]:
        """Keys by `key_id`, by last characters, or whose owner begins with `query`.

        The newest first, at most `limit`; an empty query finds nothing by owner.
        """
        escaped = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        rows = await self._postgres.rows(
            self._queries["find_keys"],
            key_id,
            query,
            f"{escaped}%" if query else "",
            min(max(limit, 1), MAX_ROWS),
        )
        return [_view_of(row) for row in rows]

    async def figures(self) -> Figures:
        """What the proof does not forbid but an operator wants to see."""
        row = await self._postgres.row(self._queries["ledger_figures"])
        assert row is not None
        return Figures(*row.values())

    async def account_sums(self) -> Mapping[str, int]:
        """Tokens that each account has gained over all time; together they are 0."""
        rows = await self._postgres.rows(self._queries["account_sums"])
        return {row["account"]: row["tokens"] for row in rows}


def _view_of(row: Row) -> KeyView:
    return KeyView(
        row["key_id"],
        row["last_characters"],
        row["owner"],
        row["created_at_ms"],
        balance_of(row),
    )
