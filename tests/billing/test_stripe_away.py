"""Stripe silent or gone: a checkout is 503 within its bound, and nothing else suffers."""

import asyncio
from typing import Any

from tests.billing.conftest import OpenShop
from tests.billing.shop import SMALL_TOKENS, Shop
from tests.control.rig import until
from tests.stripe_standin import SLOW, Fault


async def ready(shop: Shop) -> dict[str, Any]:
    told = await shop.door.ops("GET", "/ready", token=None)
    assert told.status == 200
    found: dict[str, Any] = told.json()
    return found


async def test_a_silent_stripe_is_a_503_that_may_be_repeated_and_stops_nobody_else(
    open_shop: OpenShop,
) -> None:
    async with open_shop(STRIPE_DEADLINE_MS="1000") as shop:
        key = (await shop.door.mint())["api_key"]
        order_id, session = await shop.session_of(key, name="before")
        # Much longer than the bound; Stripe works at what it was sent all the same.
        shop.stripe.faults.add(Fault(SLOW, seconds=3))
        waiting = [asyncio.create_task(shop.buy(key, name="silent")) for _ in range(3)]
        for _ in range(20):
            await shop.door.spend(key)
        for task in waiting:
            away = await task
            assert (away.status, away.json()["code"]) == (503, "PAYMENTS_UNAVAILABLE")
            assert int(away["retry-after"]) > 0

        async def told() -> bool:
            found = await ready(shop)
            # Nothing that a load balancer should know.
            return found["status"] == "ok" and found.get("told") == ["stripe"]

        await until(told)
        # What Stripe says meanwhile is kept, and worked at when Stripe can be asked.
        await shop.stripe.pay(session)
        await shop.stripe.idle()
        assert {attempt.status for attempt in shop.stripe.courier.attempts} == {200}
        shop.stripe.faults.clear()
        await shop.reaches(key, order_id, "paid")

        async def opened() -> bool:
            return (await shop.buy(key, name="silent")).status == 200

        await until(opened)
        made = shop.stripe.desk.world.all("checkout.session")
        assert len(made) == 2
        assert (await shop.balance(key))[1] == SMALL_TOKENS

        async def forgotten() -> bool:
            return "told" not in await ready(shop)

        await until(forgotten)
        assert await shop.proven()
