"""Every ten minutes: what no webhook told, and orders that nobody will pay any more.

1. Stripe's own list of events since the last sweep goes into the inbox: known ones stay as they
   are, so a webhook that was lost is one that came late.
2. Open orders that nobody looked at for a while are looked at.
3. Orders that were never opened at Stripe are over after an hour.

Refuses to move on in the list before all of it is in the inbox: killed in between, the next sweep
begins where the last whole one ended.
"""

import logging
import time
from typing import Final

from gateway.billing.looking import Looker
from gateway.billing.orders import CHECKOUT, StripeRefused, StripeUnavailable
from gateway.billing.port import Port
from gateway.billing.till import Till

_LOG = logging.getLogger("sluice.billing")
EVERY_S: Final = 600
# Events may be listed a little after they happened.
_OVERLAP_S: Final = 600
_ORDERS: Final = 200
_ABANDONED_S: Final = 3_600
_AWAY: Final = 5


class Sweep:
    """Heals what webhooks did not tell."""

    def __init__(self, till: Till, port: Port, looker: Looker, every_s: int = EVERY_S) -> None:
        self._till = till
        self._port = port
        self._looker = looker
        self._every_s = every_s

    async def run_once(self) -> int:
        """One sweep if it is time for one and nobody else does it; how many events were new."""
        since_s = await self._till.claim_sweep(self._every_s)
        if since_s is None:
            return 0
        began_s = int(time.time())
        new = 0
        for event in await self._port.events_since(since_s - _OVERLAP_S):
            hints = (event.order_id, event.session_id, event.payment_id)
            if event.livemode == self._port.livemode and event.account is None and any(hints):
                new += await self._till.note_event(event)
        await self._till.end_sweep(began_s)
        away = 0
        for order_id in await self._till.to_look_at(self._every_s, _ORDERS):
            away += await self._heal(order_id)
            if away >= _AWAY:
                # Not only one order's answer is broken: the next sweep goes on.
                break
        return new

    async def _heal(self, order_id: str) -> bool:
        """Look at one order; whether Stripe was away."""
        order = await self._till.order(order_id)
        if order is None:
            return False
        # However this one ends, the others come before it next time.
        await self._till.note_look(order_id)
        if order.state == "created":
            # A recharge without a payment is resumed by the recharges themselves.
            if order.origin == CHECKOUT and order.created_s + _ABANDONED_S < time.time():
                await self._till.abandon(order, "nobody opened it")
            return False
        try:
            await self._looker.look(order_id)
        except (StripeRefused, StripeUnavailable) as fault:
            _LOG.error("order %s cannot be looked at: %s", order_id, fault)
            return isinstance(fault, StripeUnavailable)
        return False
