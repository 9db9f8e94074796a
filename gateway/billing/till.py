"""Every change of an order and of what hangs on it: one SQL function each, safe to repeat.

Refuses to compute money: how many tokens an amount is worth is decided in the database, under the
key's lock. Faults: PostgresUnavailable; call again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.billing.facts import Facts, Standing, encode
from gateway.billing.orders import Order
from gateway.billing.packs import Pack
from gateway.billing.seen import EventSeen
from gateway.ledger.rows import BalanceRow
from gateway.ledger.shelf import balance_of
from gateway.postgres import Postgres, Row

MAX_ORDERS: Final = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller wants to buy; `digest` is of all that he said."""

    order_id: str
    key_id: int
    idempotency_key: str
    digest: bytes
    pack: Pack
    currency: str
    livemode: bool
    request: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settled:
    """What was seen, put for `settle`: names of Stripe's things, None where not known."""

    facts: Facts
    standing: Standing
    session_id: str | None
    payment_id: str | None
    customer_id: str | None
    payment_method: str | None
    invoice_url: str | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class InboxRow:
    """An event to work at, and what it named."""

    event_id: str
    order_hint: str | None
    session_hint: str | None
    payment_hint: str | None
    attempts: int


class Till:
    """Orders, inbox and sweep in PostgreSQL."""

    def __init__(self, postgres: Postgres, queries: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._queries = queries

    async def begin(self, wanted: Wanted, lifetime_s: int, most_open: int) -> str:
        """NEW; KNOWN: the same was asked before; else why not."""
        said: str = await self._postgres.value(
            self._queries["begin_order"],
            wanted.order_id,
            wanted.key_id,
            wanted.idempotency_key,
            wanted.digest,
            wanted.pack.pack,
            wanted.pack.tokens,
            wanted.currency,
            wanted.pack.prices_minor[wanted.currency],
            wanted.livemode,
            _json(wanted.request),
            lifetime_s,
            most_open,
        )
        return said

    async def order_under(self, key_id: int, idempotency_key: str) -> Order:
        """The order that `begin` made or found."""
        order_id = await self._postgres.value(
            self._queries["order_by_idempotency"], key_id, idempotency_key
        )
        found = await self.order(order_id)
        assert found is not None, "orders stay"
        return found

    async def order(self, order_id: str) -> Order | None:
        """One order; None if there is none of this id."""
        row = await self._postgres.row(self._queries["order_by_id"], order_id)
        return None if row is None else _order(row)

    async def find(
        self, order_id: str | None, session_id: str | None, payment_id: str | None
    ) -> str | None:
        """The id of the order that one of these names."""
        found: str | None = await self._postgres.value(
            self._queries["order_by_hint"], order_id, session_id, payment_id
        )
        return found

    async def orders_of(self, key_id: int, limit: int = 50) -> list[Order]:
        """A key's orders, newest first."""
        limit = min(max(limit, 1), MAX_ORDERS)
        rows = await self._postgres.rows(self._queries["orders_of_key"], key_id, limit)
        return [_order(row) for row in rows]

    async def orders_in(self, state: str, limit: int = MAX_ORDERS) -> list[Order]:
        """Orders of all keys in one state, newest first."""
        rows = await self._postgres.rows(self._queries["orders_in_state"], state, limit)
        return [_order(row) for row in rows]

    async def to_look_at(self, older_than_s: int, limit: int) -> list[str]:
        """Open orders that nobody has looked at for this long."""
        rows = await self._postgres.rows(self._queries["orders_to_look_at"], older_than_s, limit)
        return [row["order_id"] for row in rows]

    async def note_session(self, order_id: str, session_id: str, url: str | None) -> None:
        """Stripe made this session for the order; from now on it awaits its payment."""
        await self._postgres.value(self._queries["note_session"], order_id, session_id, url)

    async def abandon(self, order: Order, note: str) -> bool:
        """The order is over; False if something happened to it meanwhile."""
        done: bool = await self._postgres.value(
            self._queries["abandon_order"], order.order_id, order.version, note
        )
        return done

    async def settle(self, order: Order, settled: Settled) -> BalanceRow | None:
        """Bring order, key and books to what was seen; the key's newest row.

        None: the order has changed since it was read. Look again.
        """
        standing = settled.standing
        seen = {
            "state": standing.state,
            "facts": encode(settled.facts),
            "paid_minor": standing.paid_minor,
            "refunded_minor": standing.refunded_minor,
            "disputed_minor": standing.disputed_minor,
            "bad_disputes": standing.bad_disputes,
            "won_disputes": standing.won_disputes,
            "note": settled.note or order.note,
            "session_id": settled.session_id or order.session_id,
            "payment_id": order.payment_id or settled.payment_id,
            "customer_id": settled.customer_id or order.customer_id,
            "payment_method": settled.payment_method or order.payment_method,
            "invoice_url": settled.invoice_url or order.invoice_url,
        }
        row = await self._postgres.row(
            self._queries["settle_order"], order.order_id, order.version, _json(seen)
        )
        assert row is not None
        return balance_of(row) if row["refusal"] is None else None

    async def customer(self, key_id: int, *, livemode: bool) -> tuple[str, str | None] | None:
        """Stripe's customer behind the key, and with what he pays while he is away."""
        row = await self._postgres.row(self._queries["customer_of_key"], key_id, livemode)
        return None if row is None else (row["customer_id"], row["payment_method"])

    async def forget_customer(self, key_id: int, customer_id: str) -> None:
        """Stripe does not know him any more."""
        await self._postgres.value(self._queries["forget_customer"], key_id, customer_id)

    async def forget_method(self, key_id: int, method: str) -> None:
        """The saved way to pay is gone at Stripe."""
        await self._postgres.value(self._queries["forget_method"], key_id, method)

    async def note_look(self, order_id: str) -> None:
        """Somebody looks at the order now, so that the others come first next time."""
        await self._postgres.value(self._queries["note_look"], order_id)

    async def release(self, order_id: str, decision: str) -> str:
        """RELEASED: money that was held is `credit`ed or goes back (`return`), by the worker.

        Else why not: UNKNOWN_ORDER, NOT_HELD, or DECIDED otherwise before.
        """
        said: str = await self._postgres.value(self._queries["release_order"], order_id, decision)
        return said

    async def debt(self, key_id: int) -> int:
        """Tokens that the key owes."""
        tokens: int = await self._postgres.value(self._queries["debt_of_key"], key_id)
        return tokens

    async def note_event(self, event: EventSeen) -> bool:
        """Keep the event to be worked at; False if it is known."""
        new: bool = await self._postgres.value(
            self._queries["note_event"],
            event.event_id,
            event.kind,
            event.order_id,
            event.session_id,
            event.payment_id,
        )
        return new

    async def take_inbox(self, limit: int, lease_s: int) -> list[InboxRow]:
        """Events to work at; nobody else gets them for `lease_s`."""
        rows = await self._postgres.rows(self._queries["take_inbox"], limit, lease_s)
        return [InboxRow(*row.values()) for row in rows]

    async def end_event(self, event_id: str, verdict: str, later_s: int | None = None) -> None:
        """The event is dealt with; `later_s`: not yet, try again then."""
        await self._postgres.value(self._queries["end_event"], event_id, verdict, later_s)

    async def claim_sweep(self, every_s: int) -> int | None:
        """From when on (unix seconds) Stripe's list is to be read; None: not our turn."""
        since: int | None = await self._postgres.value(self._queries["claim_sweep"], every_s)
        return since

    async def end_sweep(self, read_until_s: int) -> None:
        """Stripe's list has been read up to here."""
        await self._postgres.value(self._queries["end_sweep"], read_until_s)

    async def figures(self) -> Mapping[str, int]:
        """What an operator wants to see."""
        row = await self._postgres.row(self._queries["billing_figures"])
        assert row is not None
        return dict(row)


def _json(document: object) -> str:
    return orjson.dumps(document).decode()


def _order(row: Row) -> Order:
    values = dict(row)
    values["request"] = orjson.loads(values["request"])
    values["facts"] = orjson.loads(values["facts"])
    return Order(**values)
