"""Stripe's own list of money moves beside our orders: the one check that no SQL can make.

Refuses to judge what is still under way: a payment that moved, or an order that changed, within
the last quarter of an hour waits for the next proof. Refuses to count what others sell.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.billing.orders import StripeRefused, StripeUnavailable
from gateway.billing.seen import MoveSeen
from gateway.ledger.rows import Check
from gateway.postgres import Postgres

NAME: Final = "stripe_is_clearing"
NOT_CONFIGURED: Final = "not looked at: no key at Stripe is set"
# Refunds and disputes come long after the payment; what is older was proved many times.
WINDOW_S: Final = 90 * 86_400
_SETTLED_S: Final = 900
_SAMPLE_ROWS: Final = 10
_DEADLINE_MS: Final = 30_000
# The charge of an order is later than the order, by this much at most (bank debits).
_LATE_S: Final = 30 * 86_400


class Port(Protocol):
    """Stripe, as far as its balance can be read."""

    def balance_transactions(self, since_s: int) -> AsyncIterator[MoveSeen]: ...
    async def close(self) -> None: ...


@dataclass(slots=True)
class _Moved:
    """What Stripe moved for one payment, by kind."""

    sums: Counter[str] = field(default_factory=Counter)
    last_s: int = 0


@dataclass(frozen=True, slots=True)
class _Ours:
    """What our order says of its payment."""

    order_id: str
    state: str
    charge: int
    refund: int
    dispute: int
    created_s: int
    changed_s: int


class StripeBooks:
    """Compares; `open_port` None where no key at Stripe is set."""

    def __init__(
        self,
        postgres: Postgres,
        queries: Mapping[str, str],
        open_port: Callable[[], Port] | None,
        *,
        settled_s: int = _SETTLED_S,
    ) -> None:
        self._postgres = postgres
        self._queries = queries
        self._open_port = open_port
        self._settled_s = settled_s

    async def check(self, since_s: int | None = None) -> Check:
        """Payments that were made since then, at most 90 days; each difference is one of them."""
        if self._open_port is None:
            return Check(NAME, 0, note=NOT_CONFIGURED)
        now_s = int(time.time())
        since_s = max(since_s or 0, now_s - WINDOW_S)
        port = self._open_port()
        try:
            moved = await _gathered(port, since_s)
        except (StripeUnavailable, StripeRefused) as fault:
            return Check(NAME, 0, fault=str(fault) or "Stripe does not answer")
        finally:
            await port.close()
        rows = await self._postgres.rows(
            self._queries["orders_with_payments"], since_s - _LATE_S, deadline_ms=_DEADLINE_MS
        )
        orders = {row["payment_id"]: _Ours(*list(row.values())[1:]) for row in rows}
        return self._compared(moved, orders, since_s, now_s - self._settled_s)

    def _compared(
        self,
        moved: Mapping[str, _Moved],
        orders: Mapping[str, _Ours],
        since_s: int,
        until_s: int,
    ) -> Check:
        wrong: list[Mapping[str, int | str | None]] = []
        for payment_id, ours in orders.items():
            stripe = moved.get(payment_id, _Moved())
            if max(stripe.last_s, ours.changed_s) > until_s or ours.state == "pending":
                continue
            if not stripe.sums["charge"] and not (ours.charge and ours.created_s >= since_s):
                # Charged before the window, or not charged and not believed to be.
                continue
            theirs = (stripe.sums["charge"], -stripe.sums["refund"], -stripe.sums["dispute"])
            if theirs != (ours.charge, ours.refund, ours.dispute):
                wrong.append(_shown(payment_id, ours, theirs))
        others = sum(1 for payment_id in moved if payment_id not in orders)
        note = f"{others} payments at Stripe are of no order" if others else ""
        return Check(NAME, len(wrong), tuple(wrong[:_SAMPLE_ROWS]), note=note)


async def _gathered(port: Port, since_s: int) -> dict[str, _Moved]:
    found: dict[str, _Moved] = {}
    async for move in port.balance_transactions(since_s):
        of = found.setdefault(move.payment_id, _Moved())
        of.sums[move.kind] += move.amount_minor
        of.last_s = max(of.last_s, move.created_s)
    return found


def _shown(
    payment_id: str, ours: _Ours, theirs: tuple[int, int, int]
) -> Mapping[str, int | str | None]:
    return {
        "order_id": ours.order_id,
        "payment_id": payment_id,
        "state": ours.state,
        "paid": ours.charge,
        "paid_at_stripe": theirs[0],
        "refunded": ours.refund,
        "refunded_at_stripe": theirs[1],
        "disputed": ours.dispute,
        "disputed_at_stripe": theirs[2],
    }
