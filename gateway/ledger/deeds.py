"""What an owner does with what he has: moves paid tokens to another key, ends a key for ever.

Refuses to know what requests that run will cost: `movable_tokens` is what Redis holds for none of
them, and the caller has reserved it there.
"""

from collections.abc import Sequence

from gateway.ledger.rows import BalanceRow, Deed, DeedRefusal
from gateway.ledger.shelf import Shelf, balance_of
from gateway.postgres import Row


class Deeds(Shelf):
    """Each change is one SQL function and one transaction. Faults: PostgresUnavailable."""

    async def preview_transfer(
        self, sender: int, receiver: int, tokens: int | None, movable_tokens: int
    ) -> Deed | DeedRefusal:
        """What `transfer` would do now; the rows are those of before. Changes nothing."""
        return await self._deed("preview_transfer", sender, receiver, tokens, movable_tokens)

    async def transfer(
        self,
        sender: int,
        receiver: int,
        tokens: int | None,
        movable_tokens: int,
        *,
        ref: str,
        name: str | None,
    ) -> Deed | DeedRefusal:
        """Moves `tokens` paid ones (None: all that may move) once per `name`, if there is one.

        The same name again answers what was answered; for something else it is refused. `ref`
        must never come twice.
        """
        asked = f"transfer {receiver} {'all' if tokens is None else tokens}"
        return await self._deed(
            "transfer_paid", sender, receiver, tokens, movable_tokens, ref, name, asked
        )

    async def end_key(
        self, key_id: int, receiver: int | None = None, movable_tokens: int = 0
    ) -> Deed | DeedRefusal:
        """Ends the key for ever, its paid tokens that may move saved first; the rest is forfeited.

        Refused, it stays as it is. Again: the same rows, nothing moved.
        """
        return await self._deed("revoke_key", key_id, receiver, movable_tokens)

    async def recently_revoked(self, days: int, after: int, limit: int) -> Sequence[BalanceRow]:
        """Keys revoked within so many days, in the order of their ids, behind `after`."""
        rows = await self._postgres.rows(self._queries["recently_revoked"], days, after, limit)
        return [balance_of(row) for row in rows]

    async def _deed(self, query: str, *values: object) -> Deed | DeedRefusal:
        row = await self._postgres.row(self._queries[query], *values)
        assert row is not None
        if row["refusal"] is not None:
            return DeedRefusal(row["refusal"])
        sender: Row = row["sender"]
        receiver: Row | None = row["receiver"]
        return Deed(
            row["tokens"],
            row["forfeited"],
            row["again"],
            balance_of(sender),
            None if receiver is None or receiver["key_id"] is None else balance_of(receiver),
        )
