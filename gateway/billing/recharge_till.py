"""What owners allowed, which recharges are due, and what owners are to be told: in PostgreSQL.

Refuses to charge anybody; `recharge` does. Faults: PostgresUnavailable; call again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.billing.packs import Pack
from gateway.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Wish:
    """What an owner allows: this pack whenever fewer than `threshold_tokens` are left, and no
    more than `monthly_cap_minor` of money in a UTC month."""

    pack: str
    currency: str
    threshold_tokens: int
    monthly_cap_minor: int
    notify_url: str | None


@dataclass(frozen=True, slots=True)
class Allowed:
    """The wish as it stands. `stopped` tells why it is off; `failures` are declines in a row."""

    enabled: bool
    stopped: str
    wish: Wish
    notify_secret: str | None = field(repr=False)
    failures: int
    next_s: int
    in_flight: str | None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that an owner's webhook is to be told; `url` None: he wants to hear nothing."""

    notice_id: int
    key_id: int
    kind: str
    body: Mapping[str, Any]
    attempts: int
    created_s: int
    url: str | None
    secret: str | None = field(repr=False)


class RechargeTill:
    """Recharges and notices."""

    def __init__(self, postgres: Postgres, queries: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._queries = queries

    async def allowed(self, key_id: int) -> Allowed | None:
        """What the owner last said; None if he never did."""
        row = await self._postgres.row(self._queries["recharge_of_key"], key_id)
        if row is None:
            return None
        wish = Wish(
            row["pack"],
            row["currency"],
            row["threshold_tokens"],
            row["monthly_cap_minor"],
            row["notify_url"],
        )
        return Allowed(
            row["enabled"],
            row["stopped"],
            wish,
            row["notify_secret"],
            row["failures"],
            row["next_s"],
            row["in_flight"],
        )

    async def allow(self, key_id: int, wish: Wish, new_secret: str, *, livemode: bool) -> bool:
        """Switch on; False if there is no saved way to pay. Another address, another secret."""
        said = await self._postgres.value(
            self._queries["set_recharge"],
            key_id,
            wish.pack,
            wish.currency,
            wish.threshold_tokens,
            wish.monthly_cap_minor,
            wish.notify_url,
            new_secret,
            livemode,
        )
        return bool(said == "DONE")

    async def stop(self, key_id: int, why: str) -> bool:
        """Switch off; False if it was."""
        stopped: bool = await self._postgres.value(self._queries["stop_recharge"], key_id, why)
        return stopped

    async def due(self, limit: int) -> list[tuple[int, str, str]]:
        """Keys below their threshold, each with pack and currency."""
        rows = await self._postgres.rows(self._queries["due_recharges"], limit)
        return [(row["key_id"], row["pack"], row["currency"]) for row in rows]

    async def begin(
        self,
        order_id: str,
        key_id: int,
        pack: Pack,
        currency: str,
        *,
        livemode: bool,
        lifetime_s: int,
    ) -> str:
        """NEW with an order of that id, else why not."""
        said: str = await self._postgres.value(
            self._queries["begin_recharge"],
            order_id,
            key_id,
            pack.pack,
            pack.tokens,
            currency,
            pack.prices_minor[currency],
            livemode,
            lifetime_s,
        )
        return said

    async def to_resume(self, older_than_s: int, limit: int) -> list[str]:
        """Orders of recharges of whose payment nothing is known for this long."""
        rows = await self._postgres.rows(self._queries["recharges_to_resume"], older_than_s, limit)
        return [row["order_id"] for row in rows]

    async def take_notices(self, limit: int, lease_s: int) -> list[Notice]:
        """What is to be told; nobody else gets them for `lease_s`."""
        rows = await self._postgres.rows(self._queries["take_notices"], limit, lease_s)
        return [
            Notice(
                row["notice_id"],
                row["key_id"],
                row["kind"],
                orjson.loads(row["body"]),
                row["attempts"],
                row["created_s"],
                row["notify_url"],
                row["notify_secret"],
            )
            for row in rows
        ]

    async def end_notice(self, notice_id: int, outcome: str, later_s: int | None = None) -> None:
        """The notice is dealt with; `later_s`: it will be tried again."""
        await self._postgres.value(self._queries["end_notice"], notice_id, outcome, later_s)
