"""A stand-in that listens, the real library pointed to it, and an endpoint for its webhooks."""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import stripe
from aiohttp import web

from tests.stripe_standin import StandIn

Open = Callable[..., Coroutine[Any, Any, stripe.checkout.Session]]


@dataclass(slots=True)
class Hook:
    """An endpoint: what it was sent, and what it answers."""

    url: str = ""
    got: list[tuple[str, bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def events(self, secret: str) -> list[stripe.Event]:
        """What it was sent, by the library's own check of the signature."""
        return [_checked(body, header, secret) for header, body in self.got]


def _checked(body: bytes, header: str, secret: str) -> stripe.Event:
    event: stripe.Event = stripe.Webhook.construct_event(body, header, secret)
    return event


@pytest.fixture
async def standin() -> AsyncIterator[StandIn]:
    """Listening, with no endpoint for its events."""
    async with StandIn() as running:
        yield running


@pytest.fixture
async def client(standin: StandIn) -> AsyncIterator[stripe.StripeClient]:
    """The real library over aiohttp."""
    http: Any = stripe.AIOHTTPClient()
    made = stripe.StripeClient(
        standin.secret_key, base_addresses={"api": standin.base_url}, http_client=http
    )
    yield made
    await http.close_async()


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """A buyer's browser, without scripts; it does not follow to the shop."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def hook(standin: StandIn) -> AsyncIterator[Hook]:
    """The endpoint that the stand-in delivers to; 200 unless told otherwise."""
    noted = Hook()

    async def take(request: web.Request) -> web.Response:
        noted.got.append((request.headers["Stripe-Signature"], await request.read()))
        return web.Response(status=noted.answers.pop(0) if noted.answers else 200)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    noted.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    standin.webhook_url = noted.url
    yield noted
    await runner.cleanup()


@pytest.fixture
def opened(client: stripe.StripeClient) -> Open:
    """Makes a session as the gateway does; what is given replaces what it asks for."""

    async def make(amount: int = 2_000, currency: str = "usd", **more: Any) -> Any:
        asked: Any = {
            "mode": "payment",
            "line_items": [
                {
                    "price_data": {
                        "currency": currency,
                        "unit_amount": amount,
                        "product_data": {"name": "1 million tokens"},
                    },
                    "quantity": 1,
                }
            ],
            "success_url": "http://shop.test/paid?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.test/left",
            "client_reference_id": "order-1",
            "metadata": {"order": "1"},
            "invoice_creation": {"enabled": True},
            "payment_intent_data": {"metadata": {"order": "1"}},
            **more,
        }
        return await client.v1.checkout.sessions.create_async(asked)

    return make
