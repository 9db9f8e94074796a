"""Opens a checkout: the order's row first, then the call to Stripe, then the session on the row.

Refuses to hold a transaction open over the call. Killed anywhere in between, the same request
under the same Idempotency-Key goes on where it stopped: the row's id is Stripe's idempotency key.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.billing.orders import Order, StripeRefused
from gateway.billing.packs import Pack, Packs
from gateway.billing.port import Port
from gateway.billing.seen import SessionSeen
from gateway.billing.till import Till, Wanted

# A session lives from half an hour to a day; two hours leave time for one more try after one.
LIFETIME_S: Final = 7_200
RETRY_FOR_S: Final = 3_600
MOST_OPEN: Final = 20


@dataclass(frozen=True, slots=True)
class Terms:
    """What the deployment says of every checkout; `{order_id}` may stand in the addresses."""

    automatic_tax: bool
    success_url: str
    cancel_url: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asked for; None: the deployment's own."""

    key_id: int
    idempotency_key: str
    pack: Pack
    currency: str
    email: str | None = None
    success_url: str | None = None
    cancel_url: str | None = None
    save: bool = False

    @property
    def digest(self) -> bytes:
        """Of all that he said: another digest under the same key is another request."""
        said = (self.pack.pack, self.currency, self.email, self.success_url, self.cancel_url)
        return hashlib.sha256(orjson.dumps([*said, self.save])).digest()


class Checkout:
    """Makes orders and their sessions."""

    def __init__(
        self, till: Till, port: Port, packs: Packs, terms: Terms, new_id: Callable[[], str]
    ) -> None:
        self._till = till
        self._port = port
        self._packs = packs
        self._terms = terms
        self._new_id = new_id

    async def open(self, asked: Asked) -> Order | str:
        """The order with its session, or why there is none: a word of `begin_order`,
        ORDER_OVER (it was never opened, and its time is over) or REFUSED (Stripe said no).

        Raises StripeUnavailable or PostgresUnavailable: the same request may be repeated.
        """
        customer = await self._till.customer(asked.key_id, livemode=self._port.livemode)
        wanted = Wanted(
            order_id := self._new_id(),
            asked.key_id,
            asked.idempotency_key or f"none/{order_id}",
            asked.digest,
            asked.pack,
            asked.currency,
            self._port.livemode,
            self._request(asked, order_id, None if customer is None else customer[0]),
        )
        said = await self._till.begin(wanted, LIFETIME_S, MOST_OPEN)
        if said not in ("NEW", "KNOWN"):
            return said
        order = await self._till.order_under(asked.key_id, wanted.idempotency_key)
        if order.state != "created":
            return "ORDER_OVER" if _is_over(order) else order
        if order.created_s + RETRY_FOR_S < time.time():
            await self._till.abandon(order, "nobody opened it in time")
            return "ORDER_OVER"
        try:
            session = await self._session(order)
        except StripeRefused as refused:
            await self._till.abandon(order, f"Stripe refused it: {refused.code}")
            return "REFUSED"
        await self._till.note_session(order.order_id, session.session_id, session.url)
        return await self._till.order_under(asked.key_id, wanted.idempotency_key)

    async def _session(self, order: Order) -> SessionSeen:
        """A session; without the customer that the key had, if he is no more."""
        customer = order.request["customer"]
        try:
            return await self._port.create_session(order)
        except StripeRefused as refused:
            gone = refused.code == "resource_missing" and refused.param in ("", "customer")
            if not customer or not gone:
                raise
        await self._till.forget_customer(order.key_id, customer)
        again = await self._till.order(order.order_id)
        assert again is not None, "orders stay"
        return await self._port.create_session(again)

    def _request(self, asked: Asked, order_id: str, customer: str | None) -> Mapping[str, Any]:
        terms = self._terms
        return {
            "title": asked.pack.title,
            "tax": self._packs.tax,
            "automatic_tax": terms.automatic_tax,
            "email": asked.email,
            "customer": customer,
            "save": asked.save,
            "success_url": (asked.success_url or terms.success_url).replace("{order_id}", order_id),
            "cancel_url": (asked.cancel_url or terms.cancel_url).replace("{order_id}", order_id),
        }


def _is_over(order: Order) -> bool:
    """Whether nobody can pay it any more, and nobody did."""
    late = order.state == "awaiting" and order.expires_s <= time.time()
    return late or order.session_url is None or order.state in ("expired", "failed")
