"""Top-ups by themselves: a key that its owner allowed to, below its threshold, buys a pack.

1. The order's row, in one transaction with all conditions: allowed, active, below the threshold,
   none in flight, within the month's cap, not in the pause after a decline.
2. The saved method is charged; the row's id is Stripe's idempotency key.
3. The order is settled like any other. A decline makes the pauses longer; the fourth in a row
   switches it off, and the owner's webhook is told.

Refuses to ask a second time what may have been done: killed after 1, the same call is repeated;
after half a day, when Stripe may have forgotten the call, the payment is looked for instead.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from gateway.billing.checkout import Terms
from gateway.billing.looking import Looker
from gateway.billing.orders import Order, StripeRefused, StripeUnavailable
from gateway.billing.packs import Packs
from gateway.billing.port import Port
from gateway.billing.recharge_till import RechargeTill
from gateway.billing.seen import IntentSeen, Sight
from gateway.billing.till import Till

_LOG = logging.getLogger("sluice.billing")
DEFAULT_THRESHOLD_TOKENS: Final = 1_000_000
_BATCH: Final = 20
_LIFETIME_S: Final = 86_400
_RESUME_AFTER_S: Final = 60
_AWAY: Final = 3
GONE: Final = (
    "The saved way to pay is gone: please buy a pack with save_payment_method to save one again"
)
# Stripe keeps idempotency keys for at least a day.
_TRUST_REPEATS_S: Final = 43_200


class Recharges:
    """Finds keys that are due and charges for them."""

    def __init__(
        self,
        till: Till,
        recharges: RechargeTill,
        port: Port,
        looker: Looker,
        packs: Packs,
        terms: Terms,
        new_id: Callable[[], str],
        resume_after_s: int = _RESUME_AFTER_S,
    ) -> None:
        self._till = till
        self._recharges = recharges
        self._port = port
        self._looker = looker
        self._packs = packs
        self._terms = terms
        self._new_id = new_id
        self._resume_after_s = resume_after_s

    async def run_once(self) -> int:
        """Charge for every key that is due, and end what was begun; how many were charged.

        One whose answer Stripe does not give keeps none of the others waiting: it is resumed
        later. Raises StripeUnavailable when that was so for several.
        """
        charged = 0
        away: list[StripeUnavailable] = []
        for order_id in await self._recharges.to_resume(self._resume_after_s, _BATCH):
            # However this one ends, the others come before it next time.
            await self._till.note_look(order_id)
            charged += await self._tried(order_id, away)
        for key_id, pack_name, currency in await self._recharges.due(_BATCH):
            pack = self._packs.packs.get(pack_name)
            if pack is None or currency not in pack.prices_minor:
                await self._recharges.stop(key_id, "pack_gone")
            elif self._terms.automatic_tax:
                await self._recharges.stop(key_id, "tax")
            else:
                order_id = self._new_id()
                said = await self._recharges.begin(
                    order_id,
                    key_id,
                    pack,
                    currency,
                    livemode=self._port.livemode,
                    lifetime_s=_LIFETIME_S,
                )
                if said == "NEW":
                    charged += await self._tried(order_id, away)
        return charged

    async def _tried(self, order_id: str, away: list[StripeUnavailable]) -> int:
        try:
            return await self._pay(order_id)
        except StripeUnavailable as fault:
            _LOG.warning("recharge %s waits: %s", order_id, fault)
            away.append(fault)
            if len(away) >= _AWAY:
                raise
            return 0

    async def _pay(self, order_id: str) -> int:
        order = await self._till.order(order_id)
        if order is None or order.livemode != self._port.livemode:
            return 0
        try:
            intent = await self._intent(order)
        except StripeRefused as refused:
            _LOG.warning("recharge %s was refused: %s", order_id, refused)
            await self._till.abandon(order, await self._why(order, refused))
            return 0
        if intent is None:
            await self._till.abandon(order, "it was never asked for")
            return 0
        # False: a webhook was faster, and has settled it.
        await self._looker.settle(order, Sight(None, intent))
        return 1

    async def _why(self, order: Order, refused: StripeRefused) -> str:
        """What its owner reads; a method that is gone is not charged again."""
        customer, method = str(order.customer_id), str(order.payment_method)
        if await self._port.has_method(customer, method):
            return f"Stripe did not take this payment ({refused.code})"
        await self._till.forget_method(order.key_id, method)
        await self._recharges.stop(order.key_id, "no_payment_method")
        return GONE

    async def _intent(self, order: Order) -> IntentSeen | None:
        if order.created_s + _TRUST_REPEATS_S < time.time():
            return await self._port.intent_of_order(order)
        return await self._port.charge_saved(order)
