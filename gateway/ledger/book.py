"""Every change of money and of a key: one SQL function each, one transaction, safe to repeat.

Refuses to compute money itself: what a charge takes is decided in the database, under the lock.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import orjson

from gateway.errors import PostgresUnavailable
from gateway.ledger.deeds import Deeds
from gateway.ledger.rows import (
    BalanceRow,
    DeedRefusal,
    InstanceRow,
    KeyRow,
    MintRefused,
    OutcomesRefused,
    Refusal,
)
from gateway.ledger.shelf import balance_of
from gateway.postgres import PostgresRefused

ProductLimits = Mapping[str, int | None]
_UNIQUE_VIOLATION: Final = "23505"
_POST_ATTEMPTS: Final = 3
# What is wrong with the events themselves: malformed (22), against a constraint (23), ours (SL).
_OF_THE_EVENTS: Final = ("22", "23", "SL")


class Book(Deeds):
    """The ledger's pen, for whom may also read. Faults: PostgresUnavailable; call again."""

    async def mint(
        self,
        key_id: int,
        key_hmac: bytes,
        last_characters: str,
        address_hmac: bytes | None,
        grant_tokens: int,
        per_day_limit: int,
    ) -> BalanceRow | MintRefused:
        """Makes a key with its trial grant; the same key again answers its balance.

        Exact under concurrency: an address gets at most `per_day_limit` keys in any 24 hours.
        `address_hmac` None is an operator, who has no limit.
        """
        row = await self._postgres.row(
            self._queries["mint_key"],
            key_id,
            key_hmac,
            last_characters,
            address_hmac,
            grant_tokens,
            per_day_limit,
        )
        assert row is not None
        if row["refusal"] is not None:
            return MintRefused(row["wait_s"])
        return balance_of(row)

    async def find_key(self, key_hmac: bytes) -> KeyRow | None:
        """The key with this HMAC; None if there is none. Cacheable for ever."""
        row = await self._postgres.row(self._queries["find_key"], key_hmac)
        return None if row is None else KeyRow(row["key_id"], row["created_at_ms"])

    async def load_balance(self, key_id: int) -> BalanceRow | None:
        """The newest balance; None for a key that does not exist."""
        row = await self._postgres.row(self._queries["load_balance"], key_id)
        return None if row is None else balance_of(row)

    async def load_balances(self, key_ids: Sequence[int]) -> list[BalanceRow]:
        """The newest balances of those keys that exist, in no order."""
        rows = await self._postgres.rows(self._queries["load_balances"], key_ids)
        return [balance_of(row) for row in rows]

    async def post_outcomes(
        self, events_json: bytes, *, deadline_ms: int | None = None
    ) -> list[BalanceRow]:
        """Posts a batch (JSON array of events) at once and answers the newest row of every key.

        Idempotent per request id: the first outcome of a request stands. OutcomesRefused names
        what can't be posted; then nothing of the batch was.
        """
        text = events_json.decode()
        for attempt in range(1, _POST_ATTEMPTS + 1):
            try:
                rows = await self._postgres.rows(
                    self._queries["post_outcomes"], text, deadline_ms=deadline_ms
                )
                return [balance_of(row) for row in rows]
            except PostgresRefused as refused:
                # Two writers posted the same request in the same moment (a shipper and the
                # reaper): the other one is through now, so this time it is seen and left out.
                if refused.sqlstate != _UNIQUE_VIOLATION or attempt == _POST_ATTEMPTS:
                    raise _fault_of(refused) from refused
        raise AssertionError("the loop above returns or raises")

    async def refund_undelivered(self, request_ids: Sequence[str]) -> list[BalanceRow]:
        """Gives back what these requests cost, once each, to the buckets that it came from.

        Post their outcomes first: for one that is not posted nothing is given, and that is noted
        as a contradiction. Answers the newest row of every key touched.
        """
        try:
            rows = await self._postgres.rows(self._queries["refund_undelivered"], list(request_ids))
        except PostgresRefused as refused:
            raise _fault_of(refused) from refused
        return [balance_of(row) for row in rows]

    async def credit(self, key_id: int, tokens: int, bucket: str, ref: str) -> BalanceRow | Refusal:
        """Adds `tokens` (> 0) to `bucket` (trial or paid), once per `ref`; paid makes premium."""
        return await self._changed("credit_key", key_id, tokens, bucket, ref)

    async def revoke(self, key_id: int) -> BalanceRow | Refusal:
        """Ends the key for ever; what is left is forfeited. Again: the same answer."""
        done = await self.end_key(key_id)
        return Refusal.UNKNOWN_KEY if isinstance(done, DeedRefusal) else done.sender

    async def set_status(self, key_id: int, status: str) -> BalanceRow | Refusal:
        """Makes the key active or suspended."""
        return await self._changed("set_key_status", key_id, status)

    async def set_owner(self, key_id: int, owner: str) -> bool:
        """Notes whose key it is, to be found by; False if there is no such key."""
        known: bool = await self._postgres.value(self._queries["set_key_owner"], key_id, owner)
        return known

    async def set_limits(
        self, key_id: int, changes: Mapping[str, ProductLimits | None] | None
    ) -> BalanceRow | Refusal:
        """Replaces the limits of the products named; None for one resets it, None resets all."""
        text = orjson.dumps(None if changes is None else dict(changes)).decode()
        return await self._changed("set_key_limits", key_id, text)

    async def take_outbox(self, limit: int = 200) -> list[BalanceRow]:
        """Newest rows of keys that changed by another way than post_outcomes, or were noted.

        They stay in the outbox until `clear_outbox` names them: copying them twice is harmless.
        """
        rows = await self._postgres.rows(self._queries["take_outbox"], limit)
        return [balance_of(row) for row in rows]

    async def note_balances(self, key_ids: Sequence[int]) -> None:
        """Puts into the outbox what Redis could not be told of these keys."""
        await self._postgres.value(self._queries["note_balances"], key_ids)

    async def clear_outbox(self, rows: Sequence[BalanceRow]) -> int:
        """Forgets what has reached Redis; a key that changed since stays. Answers how many."""
        cleared: int = await self._postgres.value(
            self._queries["clear_outbox"],
            [row.key_id for row in rows],
            [row.version for row in rows],
        )
        return cleared

    async def beat_instance(
        self,
        instance: str,
        complete_below: int,
        unused_numbers: Sequence[int],
        stopped: bool,
        drained: bool,
    ) -> None:
        """Tells that the instance lives; its admissions are numbered from 1.

        All numbers below `complete_below` have ended as a posted outcome, or are among the
        `unused_numbers`: given back by a refusal, free for a later request. Each beat replaces
        the one before. `drained`: its spool is shipped to the end; such a beat may come from
        another process and then does not lower the number.
        """
        await self._postgres.value(
            self._queries["beat_instance"],
            instance,
            complete_below,
            list(unused_numbers),
            stopped,
            drained,
        )

    async def list_instances(self, limit: int = 1_000) -> list[InstanceRow]:
        """The instances that are not drained, the latest beat first."""
        rows = await self._postgres.rows(self._queries["list_instances"], limit)
        return [InstanceRow(*row.values()) for row in rows]

    async def count_gateways(self, alive_s: int) -> int:
        """Instances of all nodes that live: they beat within `alive_s` of the one that beat last.

        Not of now: a ledger that takes no writes for a while does not make them fewer.
        """
        count: int = await self._postgres.value(self._queries["count_gateways"], alive_s)
        return count

    async def drained_instances(self, instances: Collection[str]) -> set[str]:
        """Those of which everything that they decided is in the ledger."""
        rows = await self._postgres.rows(self._queries["drained_instances"], list(instances))
        return {row["instance"] for row in rows}

    async def posted_requests(self, request_ids: Sequence[str]) -> set[str]:
        """Those whose outcome is in the ledger."""
        rows = await self._postgres.rows(self._queries["posted_requests"], list(request_ids))
        return {row["request_id"] for row in rows}

    async def ensure_months(self, months_ahead: int = 3) -> int:
        """Makes the partitions of this and the next months; answers how many were missing."""
        made: int = await self._postgres.value(self._queries["ensure_outcome_months"], months_ahead)
        return made

    async def _changed(self, query: str, *values: object) -> BalanceRow | Refusal:
        row = await self._postgres.row(self._queries[query], *values)
        assert row is not None
        if row["refusal"] is not None:
            return Refusal(row["refusal"])
        return balance_of(row)


def _fault_of(refused: PostgresRefused) -> OutcomesRefused | PostgresUnavailable:
    """Only what lies in the events may set them aside: a missing right or function must not."""
    if refused.sqlstate.startswith(_OF_THE_EVENTS):
        return OutcomesRefused(refused.sqlstate, refused.detail)
    return PostgresUnavailable(str(refused))
