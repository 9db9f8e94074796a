"""The only module that knows the `stripe` library: calls, signatures, and what came back.

Refuses to decide anything: answers are records of `seen`, failures are StripeUnavailable (ask
again) or StripeRefused (asking again does not help). Every call that makes something carries an
idempotency key made of our own row, and always the same parameters for the same row.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import aiohttp
import orjson
import stripe

from gateway.billing.orders import Order, StripeRefused, StripeUnavailable
from gateway.billing.port import EventUnreadable, SignatureWrong
from gateway.billing.seen import (
    DisputeSeen,
    EventSeen,
    IntentSeen,
    MoveSeen,
    RefundSeen,
    SessionSeen,
)
from gateway.billing.words import (
    EVENT_KINDS,
    event_of,
    intent_of,
    move_of,
    order_named,
    return_name,
    session_name,
    session_of,
    session_params,
)

TOLERANCE_S: Final = 300
_PAGE: Final = 100
_LIVE: Final = ("sk_live_", "rk_live_")
Json = Mapping[str, Any]
_T = TypeVar("_T")


class StripePort:
    """Calls to Stripe at `base` (None: Stripe itself) under a secret key.

    Each call ends within `deadline_ms`. `told` hears after each why Stripe did not answer, or "".
    """

    def __init__(
        self,
        secret_key: str,
        base: str | None = None,
        deadline_ms: int = 10_000,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._deadline_s = deadline_ms / 1_000
        self._told = told
        self.livemode = secret_key.startswith(_LIVE)
        self._http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=deadline_ms / 1_000))
        self._client = stripe.StripeClient(
            secret_key,
            http_client=self._http,
            base_addresses={} if base is None else {"api": base},
            max_network_retries=1,
        )
        self._v1 = self._client.v1

    async def close(self) -> None:
        """Ends the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]
        # The transports of closed connections end in the loop's next turns.
        await asyncio.sleep(0)

    async def create_session(self, order: Order) -> SessionSeen:
        """The checkout session of an order; the same order always gets the same one."""
        made = await self._said(
            self._v1.checkout.sessions.create_async(
                params=session_params(order), options={"idempotency_key": session_name(order)}
            )
        )
        return session_of(made)

    async def session(self, session_id: str) -> SessionSeen | None:
        """The session as it is now; None if Stripe does not know it."""
        # All in one call, because tokens wait for it.
        wanted: Any = {"expand": ["payment_intent.latest_charge", "invoice"]}
        call = self._v1.checkout.sessions.retrieve_async(session_id, params=wanted)
        return await self._or_none(call, session_of)

    async def session_of_payment(self, payment_id: str) -> SessionSeen | None:
        """The session through which this payment was made, if there is one."""
        params: Any = {
            "payment_intent": payment_id,
            "expand": ["data.payment_intent.latest_charge", "data.invoice"],
        }
        async for each in self._pages(self._v1.checkout.sessions.list_async, params):
            return session_of(each)
        return None

    async def charge_saved(self, order: Order) -> IntentSeen:
        """Charges the saved method of a customer who is away; a decline is an answer too."""
        try:
            made = await self._said(
                self._v1.payment_intents.create_async(
                    params={
                        "amount": order.price_minor,
                        "currency": order.currency,
                        "customer": str(order.customer_id),
                        "payment_method": str(order.payment_method),
                        "off_session": True,
                        "confirm": True,
                        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                        "metadata": {"order_id": order.order_id},
                    },
                    options={"idempotency_key": order.order_id},
                )
            )
        except stripe.CardError as declined:
            return _declined(declined)
        return intent_of(made)

    async def has_method(self, customer_id: str, method: str) -> bool:
        """Whether this customer can still be charged by this method."""
        call = self._v1.customers.payment_methods.retrieve_async(customer_id, method)
        return await self._or_none(call, lambda told: bool(told["id"])) is not None

    async def intent(self, payment_id: str) -> IntentSeen | None:
        """The payment as it is now; None if Stripe does not know it."""
        call = self._v1.payment_intents.retrieve_async(
            payment_id, params={"expand": ["latest_charge"]}
        )
        return await self._or_none(call, intent_of)

    async def intent_of_order(self, order: Order) -> IntentSeen | None:
        """The payment that was made for an order, looked for among its customer's."""
        params: Any = {
            "customer": order.customer_id,
            "created": {"gte": order.created_s - 60},
        }
        async for each in self._pages(self._v1.payment_intents.list_async, params):
            if order_named(each) == order.order_id:
                return intent_of(each)
        return None

    async def refunds(self, payment_id: str) -> list[RefundSeen]:
        """Every refund of a payment."""
        found = self._pages(self._v1.refunds.list_async, {"payment_intent": payment_id})
        return [RefundSeen(r["id"], r["amount"], r.get("status") or "pending") async for r in found]

    async def disputes(self, payment_id: str) -> list[DisputeSeen]:
        """Every dispute of a payment."""
        found = self._pages(self._v1.disputes.list_async, {"payment_intent": payment_id})
        return [DisputeSeen(d["id"], d["amount"], d["currency"], d["status"]) async for d in found]

    async def return_payment(self, order: Order) -> None:
        """Gives all that is left of a payment back; once, however often it is asked."""
        assert order.payment_id is not None
        await self._said(
            self._v1.refunds.create_async(
                params={
                    "payment_intent": order.payment_id,
                    "metadata": {"order_id": order.order_id},
                },
                options={"idempotency_key": return_name(order)},
            )
        )

    async def events_since(self, since_s: int) -> list[EventSeen]:
        """What happened since then, oldest first; Stripe keeps 30 days."""
        params: Any = {"created": {"gte": since_s}, "types": list(EVENT_KINDS)}
        seen = [event_of(each) async for each in self._pages(self._v1.events.list_async, params)]
        return [event for event in reversed(seen) if event is not None]

    async def balance_transactions(self, since_s: int) -> AsyncIterator[MoveSeen]:
        """What moved our balance at Stripe because of payments, the newest first."""
        params: Any = {"created": {"gte": since_s}, "expand": ["data.source"]}
        async for each in self._pages(self._v1.balance_transactions.list_async, params):
            move = move_of(each)
            if move is not None:
                yield move

    def signed_event(self, raw: bytes, header: str | None, secrets: Sequence[str]) -> EventSeen:
        """The event in a webhook's raw body, if one of the secrets signed it lately.

        Raises SignatureWrong, and EventUnreadable for a signed body that is no event.
        """
        if not any(_signed(raw, header, secret) for secret in secrets):
            raise SignatureWrong
        try:
            document = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise EventUnreadable(str(error)) from error
        event = event_of(document) if isinstance(document, dict) else None
        if event is None:
            raise EventUnreadable("it is no event of Stripe")
        return event

    async def _said(self, call: Awaitable[Any]) -> dict[str, Any]:
        """The answer, within the deadline: the library's own repeats included."""
        try:
            with _faults():
                async with asyncio.timeout(self._deadline_s):
                    made = await call
        except StripeUnavailable as fault:
            self._told(str(fault) or "it does not answer")
            raise
        self._told("")
        found: dict[str, Any] = made.to_dict()
        return found

    async def _or_none(
        self, call: Awaitable[Any], read: Callable[[dict[str, Any]], _T]
    ) -> _T | None:
        try:
            return read(await self._said(call))
        except StripeRefused as refused:
            if refused.code == "resource_missing":
                return None
            raise

    async def _pages(self, ask: Any, params: Json) -> AsyncIterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            page = await self._said(ask(params={**params, **after, "limit": _PAGE}))
            for each in page["data"]:
                yield each
            if not page.get("has_more") or not page["data"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}


def _signed(raw: bytes, header: str | None, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(raw, header, secret, TOLERANCE_S)
    except (stripe.SignatureVerificationError, ValueError, TypeError):
        # Bytes that are no text, or a header that no comparison takes, were not signed either.
        return False
    # The library refuses what is old, not what is of a time to come and would be good for long.
    stamps = [p.split("=")[1] for p in (header or "").split(",") if p.startswith("t=")]
    return all(int(stamp) <= time.time() + TOLERANCE_S for stamp in stamps)


@contextmanager
def _faults() -> Iterator[None]:
    """Turns what the library raises into the two faults; a declined card stays what it is."""
    try:
        yield
    except stripe.CardError:
        raise
    except (stripe.APIConnectionError, stripe.RateLimitError, stripe.APIError) as error:
        raise StripeUnavailable(str(error.user_message)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise StripeUnavailable(f"Stripe does not take our key: {error.user_message}") from error
    except stripe.StripeError as error:
        if (error.http_status or 0) in (409, 429) or (error.http_status or 0) >= 500:
            raise StripeUnavailable(str(error.user_message)) from error
        kind = "idempotency" if isinstance(error, stripe.IdempotencyError) else error.code
        param = str(getattr(error, "param", None) or "")
        raise StripeRefused(str(kind or "refused"), str(error.user_message), param) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise StripeUnavailable(f"{type(error).__name__}: {error}") from error


def _declined(error: stripe.CardError) -> IntentSeen:
    body: Any = error.json_body
    told = body.get("error", {}) if isinstance(body, dict) else {}
    intent = told.get("payment_intent")
    if not isinstance(intent, dict):
        raise StripeRefused(str(error.code or "declined"), str(error.user_message)) from error
    return intent_of(intent)
