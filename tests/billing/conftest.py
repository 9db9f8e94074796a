"""Gateways that sell, each with a Stripe of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.billing.shop import Shop
from tests.control.conftest import service
from tests.control.rig import gateway, settings_for
from tests.stripe_standin import StandIn

__all__ = ["service"]
OpenShop = Callable[..., AbstractAsyncContextManager[Shop]]


@pytest.fixture
async def stripe() -> AsyncIterator[StandIn]:
    """A Stripe that sends its events nowhere until a gateway is open."""
    async with StandIn() as opened:
        yield opened


@pytest.fixture
def open_shop(
    tmp_path: Path, database: str, redis_url: str, service: str, stripe: StandIn
) -> OpenShop:
    """Opens a gateway that sells; settings by name, `with_worker` for the background work."""

    @asynccontextmanager
    async def opened(*, with_worker: bool = False, **more: str) -> AsyncIterator[Shop]:
        ours = {
            "STRIPE_SECRET_KEY": stripe.secret_key,
            "STRIPE_WEBHOOK_SECRET": stripe.webhook_secret,
            "STRIPE_API_BASE": stripe.base_url,
            "NOTIFY_ALLOW": "http://127.0.0.1",
            "DRAIN_MS": "50",
        }
        settings = settings_for(tmp_path, database, redis_url, service, {**ours, **more})
        async with gateway(settings, with_worker=with_worker) as door:
            stripe.webhook_url = f"http://127.0.0.1:{door.port}/v1/billing/webhook"
            yield Shop(door, stripe)
            stripe.webhook_url = None

    return opened


@pytest.fixture
async def shop(open_shop: OpenShop) -> AsyncIterator[Shop]:
    """One gateway that sells."""
    async with open_shop() as opened:
        yield opened
