"""Looks at what Stripe says of an order now, and settles the order by it.

1. Read the order's row and its version.
2. Fetch session, payment, refunds and disputes: no transaction is open meanwhile.
3. Merge with all that was ever said, and settle under the version that was read: if anybody else
   settled in between, begin again. So what is settled was always fetched after what was there.
4. Redis is told at once; if it is away, the outbox does it later.

Refuses to trust a webhook's content: that only says where to look.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import Final

from gateway.admission.gate import Gate
from gateway.billing.facts import Dispute, Facts, Payment, Refund, decode, merge, standing
from gateway.billing.orders import CHECKOUT, Order, StripeRefused, StripeUnavailable
from gateway.billing.port import Port
from gateway.billing.seen import IntentSeen, SessionSeen, Sight, facts_of
from gateway.billing.till import Settled, Till
from gateway.errors import RedisUnavailable

_LOG = logging.getLogger("sluice.billing")
_ATTEMPTS: Final = 20
# Stripe ends a session by itself; this long after that it is not asked for any more.
_FORGOTTEN_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Hints:
    """What an event named besides the order."""

    session_id: str | None = None
    payment_id: str | None = None


class Looker:
    """Fetches and settles."""

    def __init__(self, till: Till, port: Port, gate: Gate) -> None:
        self._till = till
        self._port = port
        self._gate = gate

    async def look(self, order_id: str, hints: Hints | None = None, *, returns: bool = True) -> str:
        """Settle the order by what Stripe says now; its state afterwards.

        Raises StripeUnavailable, StripeRefused or PostgresUnavailable: nothing is half done.
        """
        for _ in range(_ATTEMPTS):
            order = await self._till.order(order_id)
            if order is None:
                return "unknown"
            if order.livemode != self._port.livemode:
                return "of another mode"
            sight = await self._fetch(order, hints or Hints())
            if sight is None:
                return await self._unseen(order)
            if await self.settle(order, sight):
                return await self._return_if_due(order_id, returns)
        raise StripeUnavailable(f"order {order_id} changed with every look")

    async def settle(self, order: Order, sight: Sight) -> bool:
        """Settle by a sight that was fetched after `order` was read; False: it has changed."""
        told = facts_of(order, sight)
        if order.topped_up or order.released:
            # What was compared once is not undone by a later look: refunds and disputes are.
            told = replace(told, mismatch="")
        facts = merge(decode(order.facts), told)
        if told.payment is Payment.PAID:
            # The newest comparison counts: an older one may have been made too early.
            facts = replace(facts, mismatch=told.mismatch)
        memory = self._gate.memory
        row = await self._till.settle(order, self._settled(order, sight, facts))
        if row is None:
            return False
        if facts.mismatch and not order.note:
            _LOG.error("order %s is held: %s", order.order_id, facts.mismatch)
        try:
            await self._gate.put_balance(row, memory)
        except RedisUnavailable as fault:
            _LOG.warning("Redis will learn of order %s later: %s", order.order_id, fault)
        return True

    def _settled(self, order: Order, sight: Sight, facts: Facts) -> Settled:
        session, intent = sight.session, sight.intent
        keeps = order.origin != CHECKOUT or bool(order.request.get("save"))
        ended = standing(facts, asked=session is not None or intent is not None)
        declined = "" if intent is None or ended.state != "failed" else intent.decline
        customers = [t.customer_id for t in (session, intent) if t is not None and t.customer_id]
        return Settled(
            facts,
            ended,
            None if session is None else session.session_id,
            None if intent is None else intent.payment_id,
            customers[0] if customers else None,
            intent.payment_method if intent is not None and keeps else None,
            None if session is None else session.invoice_url,
            facts.mismatch or declined,
        )

    async def _fetch(self, order: Order, hints: Hints) -> Sight | None:
        """All that Stripe says; None if there is nothing of this order at Stripe."""
        session = await self._session(order, hints)
        if session is None and order.origin == CHECKOUT:
            return None
        if session is not None and session.intent is not None:
            intent = _of(order, session.intent)
        else:
            intent = await self._intent(order, order.payment_id or hints.payment_id)
            if session is not None and intent is not None and intent.status == "succeeded":
                # He may have paid between the two calls, with a promotion code that this session
                # does not know of: as it is now, it belongs to the payment.
                session = await self._session(order, hints)
        if (session is None and order.origin == CHECKOUT) or (session is None and intent is None):
            return None
        known = decode(order.facts)
        if intent is None or not (intent.turned or known.refunds or known.disputes):
            return Sight(session, intent)
        refunds, disputes = await asyncio.gather(
            self._port.refunds(intent.payment_id), self._port.disputes(intent.payment_id)
        )
        return Sight(session, intent, refunds, disputes)

    async def _session(self, order: Order, hints: Hints) -> SessionSeen | None:
        session_id = order.session_id or hints.session_id
        session = None
        if order.origin != CHECKOUT:
            return None
        if session_id is not None:
            session = await self._port.session(session_id)
        elif hints.payment_id is not None:
            # Its session was never noted: a payment alone does not tell a discount from a mistake.
            session = await self._port.session_of_payment(hints.payment_id)
        if session is None or session.order_id != order.order_id:
            return None
        return session

    async def _intent(self, order: Order, payment_id: str | None) -> IntentSeen | None:
        if payment_id is None:
            return None
        return _of(order, await self._port.intent(payment_id))

    async def _unseen(self, order: Order) -> str:
        """Nobody can pay an order that Stripe does not know, once its time is over."""
        if order.origin == CHECKOUT and order.expires_s + _FORGOTTEN_S < time.time():
            await self._till.abandon(order, "Stripe does not know it")
        return order.state

    async def _return_if_due(self, order_id: str, returns: bool) -> str:
        """The key was revoked before its money came, or an operator wants it so: it goes back.

        What is in dispute is at the bank, and Stripe gives nothing back before it is decided. A
        refund that failed needs a person.
        """
        order = await self._till.order(order_id)
        assert order is not None, "orders stay"
        if order.state != "returning" or order.payment_id is None or not returns:
            return order.state
        known = decode(order.facts)
        failed = any(how is Refund.FAILED for _, how in known.refunds.values())
        open_ = any(how is Dispute.OPEN for _, how in known.disputes.values())
        if failed or open_:
            return order.state
        try:
            await self._port.return_payment(order)
        except StripeRefused as refused:
            # The sweep asks again; until then /admin/billing shows it.
            _LOG.error("order %s cannot be returned yet: %s", order_id, refused)
            return order.state
        return await self.look(order_id, returns=False)


def _of(order: Order, intent: IntentSeen | None) -> IntentSeen | None:
    """The payment, if it was made for this order."""
    return intent if intent is not None and intent.order_id == order.order_id else None
