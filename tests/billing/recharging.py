"""What an owner allows, a webhook of his, and a worker, for the tests of recharges."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from gateway.billing.house import Billing, billing
from gateway.edge.request_ids import new_request_id
from tests.billing.shop import Shop
from tests.control.plain_http import Told

PATH = "/v1/billing/auto-recharge"
WISH = {"pack": "small", "currency": "usd", "threshold_tokens": 10**12, "monthly_cap": 5_000}


@dataclass
class Owner:
    """An owner's webhook; `status` is what it answers."""

    url: str = ""
    status: int = 204
    heard: list[tuple[dict[str, Any], str, bytes]] = field(default_factory=list)

    def kinds(self) -> list[str]:
        """What it was told, in order."""
        return [document["type"] for document, _, _ in self.heard]


@asynccontextmanager
async def owner_listening() -> AsyncIterator[Owner]:
    """A webhook on loopback, which the tests' gateways are allowed to call."""
    found = Owner()

    async def hear(request: web.Request) -> web.Response:
        body = await request.read()
        found.heard.append((orjson.loads(body), request.headers["Sluice-Signature"], body))
        return web.Response(status=found.status)

    application = web.Application()
    application.router.add_post("/hear", hear)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hear"
    yield found
    await runner.cleanup()


@asynccontextmanager
async def worker_of(shop: Shop) -> AsyncIterator[Billing]:
    """What a worker does, for a test to do it step by step."""
    base = shop.door.node.ground
    async with billing(
        base.settings, base.postgres, base.gate, base.telemetry, new_request_id
    ) as found:
        assert found is not None
        yield found


async def saved(shop: Shop) -> tuple[str, str]:
    """A key that bought a pack and saved how it pays, and that method."""
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key, save_payment_method=True)
    await shop.stripe.pay(session)
    await shop.reaches(key, order_id, "paid")
    intent = shop.stripe.object(shop.stripe.session(session)["payment_intent"])
    return key, intent["payment_method"]


async def allow(shop: Shop, key: str, **more: Any) -> Told:
    """The owner's wish."""
    return await shop.door.ask("PUT", PATH, bearer=key, document={**WISH, **more})


async def shown(shop: Shop, key: str) -> dict[str, Any]:
    """What is allowed, as its owner reads it."""
    told = await shop.door.ask("GET", PATH, bearer=key)
    return dict(told.json())


async def soon(shop: Shop) -> None:
    """The pause after a decline is over."""
    # The gateway's role writes to no table: pauses are moved by the owner of the database.
    await as_owner(shop, "update recharge set next_at = now()")


async def as_owner(shop: Shop, sql: str) -> None:
    """One statement by the owner of the database."""
    base = shop.door.node.ground
    port = type(base.postgres)(str(base.settings.database_url), role=None)
    await port.rows(sql)
    await port.close()
