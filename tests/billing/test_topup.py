"""A top-up, from the packs to the tokens."""

import asyncio

from tests.billing.conftest import OpenShop
from tests.billing.shop import SMALL_TOKENS, SMALL_USD, TRIAL_TOKENS, Shop


async def test_packs_have_a_price_in_dollars_and_in_euros(shop: Shop) -> None:
    told = await shop.door.ask("GET", "/v1/billing/packs")
    assert told.status == 200
    items = told.json()["items"]
    assert {"small", "medium", "large"} == {item["pack"] for item in items}
    assert all({"usd", "eur"} <= set(item["prices"]) for item in items)


async def test_paid_checkout_makes_the_key_premium_and_tokens_usable_within_a_second(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key, email="buyer@example.com")
    assert (await shop.order(key, order_id))["state"] == "awaiting"
    await shop.stripe.pay(session)
    await shop.stripe.idle()
    async with asyncio.timeout(1.0):
        while await shop.balance(key) != (TRIAL_TOKENS, SMALL_TOKENS):
            await asyncio.sleep(0.01)
    order = await shop.reaches(key, order_id, "paid")
    assert (order["paid"], order["granted_tokens"]) == (SMALL_USD, SMALL_TOKENS)
    assert order["invoice_url"].startswith("http")
    assert (await shop.door.me(key))["tier"] == "premium"
    assert await shop.proven()


async def test_same_idempotency_key_gives_the_same_order_and_another_body_is_refused(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    first, again = await shop.buy(key, name="one"), await shop.buy(key, name="one")
    assert first.json() == again.json()
    other = await shop.buy(key, name="one", currency="eur")
    assert (other.status, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert (await shop.buy(key, name="two")).json()["order_id"] != first.json()["order_id"]
    at_once = await asyncio.gather(*(shop.buy(key, name="three") for _ in range(6)))
    assert {told.status for told in at_once} <= {200, 503}
    assert len({told.json()["url"] for told in at_once if told.status == 200}) == 1


async def test_what_no_webhook_told_is_found_by_the_sweep(open_shop: OpenShop) -> None:
    async with open_shop(with_worker=True) as shop:
        key = (await shop.door.mint())["api_key"]
        shop.stripe.courier.lose("*", 100)
        order_id, session = await shop.session_of(key)
        await shop.stripe.pay(session)
        # The worker's sweep may have had its turn already: its next one is ten minutes away.
        await shop.door.node.ground.postgres.value("select 1")
        order = await shop.order(key, order_id)
        assert order["state"] in ("awaiting", "paid")
