"""What no webhook told is found, whoever was away; what nobody pays is over."""

from contextlib import AbstractAsyncContextManager

import aiohttp

from gateway.billing.house import Billing, billing
from gateway.edge.request_ids import new_request_id
from tests.billing.conftest import OpenShop
from tests.billing.shop import SMALL_TOKENS, Shop
from tests.control.rig import until
from tests.stripe_standin import DROP, STATUS, Fault


def _worker(shop: Shop) -> AbstractAsyncContextManager[Billing | None]:
    base = shop.door.node.ground
    return billing(base.settings, base.postgres, base.gate, base.telemetry, new_request_id)


async def _as_owner(shop: Shop, sql: str) -> None:
    base = shop.door.node.ground
    port = type(base.postgres)(str(base.settings.database_url), role=None)
    await port.rows(sql)
    await port.close()


async def _sweep(shop: Shop) -> None:
    """Ten minutes later."""
    await _as_owner(shop, "update billing_sweep set claimed_at = '-infinity'")
    async with _worker(shop) as worker:
        assert worker is not None
        await worker.sweep.run_once()
        assert await worker.sweep.run_once() == 0
        while await worker.inbox.run_once():
            pass

        async def worked_at() -> bool:
            # The gateway may have taken some of it before us.
            return (await worker.till.figures())["inbox_open"] == 0

        await until(worked_at)


async def test_lost_webhooks_of_a_payment_a_refund_and_a_dispute_are_found(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    shop.stripe.courier.lose("*", 1_000)
    order_id, session = await shop.session_of(key)
    await shop.stripe.pay(session)
    await _sweep(shop)
    assert (await shop.order(key, order_id))["state"] == "paid"
    assert (await shop.balance(key))[1] == SMALL_TOKENS
    await shop.stripe.refund(session, 100)
    await _sweep(shop)
    assert (await shop.balance(key))[1] == SMALL_TOKENS * 4 // 5
    dispute = await shop.stripe.dispute(session, 400)
    await _sweep(shop)
    assert (await shop.door.me(key))["status"] == "suspended"
    await shop.stripe.win(dispute["id"])
    await _sweep(shop)
    assert (await shop.balance(key))[1] == SMALL_TOKENS * 4 // 5
    assert await shop.proven()


async def test_orders_that_nobody_opened_or_paid_are_over(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    left, session = await shop.session_of(key)
    shop.stripe.faults.add(Fault(DROP, method="POST"))
    assert (await shop.buy(key, name="never")).status == 503
    shop.stripe.faults.clear()
    await _sweep(shop)
    items = (await shop.door.ask("GET", "/v1/billing/orders", bearer=key)).json()["items"]
    assert {item["state"] for item in items} == {"awaiting", "created"}
    past = "created_at = created_at - interval '2 hours', looked_at = now() - interval '2 hours'"
    await _as_owner(shop, f"update topup_order set {past}")
    shop.stripe.courier.lose("*", 1_000)
    shop.stripe.advance(7_300)
    await _sweep(shop)
    items = (await shop.door.ask("GET", "/v1/billing/orders", bearer=key)).json()["items"]
    assert [item["state"] for item in items] == ["expired", "expired"]
    told = await shop.buy(key, name="never")
    assert (told.status, told.json()["code"]) == (409, "ORDER_OVER")
    assert (await shop.order(key, left))["url"] is None
    assert shop.stripe.session(session)["status"] == "expired"


async def test_webhooks_are_kept_while_stripe_is_away_and_worked_at_when_it_is_back(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key)
    shop.stripe.faults.add(Fault(STATUS, method="GET", status=500))
    await shop.stripe.pay(session)
    await shop.stripe.idle()
    assert {a.status for a in shop.stripe.courier.attempts} == {200}
    assert (await shop.order(key, order_id))["state"] == "awaiting"
    figures = (await shop.door.ops("GET", "/admin/billing")).json()
    assert figures["inbox_open"] > 0
    shop.stripe.faults.clear()
    await shop.reaches(key, order_id, "paid")
    assert (await shop.balance(key))[1] == SMALL_TOKENS


async def test_money_that_is_not_what_was_asked_is_held_for_a_person(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key)
    # As if the session had been changed by hand at Stripe.
    shop.stripe.courier.hold()
    await shop.stripe.pay(session)
    shop.stripe.session(session)["amount_subtotal"] = 1
    shop.stripe.courier.release()
    order = await shop.reaches(key, order_id, "held")
    assert "price is" in order["note"]
    assert (await shop.balance(key))[1] == 0
    (held,) = (await shop.door.ops("GET", "/admin/billing")).json()["held"]
    assert held["order_id"] == order_id
    await shop.stripe.refund(session)
    await shop.reaches(key, order_id, "returned")
    assert await shop.proven()


async def test_a_session_of_others_that_names_our_order_pays_nothing_of_it(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    shop.stripe.faults.add(Fault(DROP, method="POST"))
    assert (await shop.buy(key, name="one")).status == 503
    shop.stripe.faults.clear()
    (order,) = (await shop.door.ask("GET", "/v1/billing/orders", bearer=key)).json()["items"]
    form = {
        "mode": "payment",
        "client_reference_id": order["order_id"],
        "success_url": "https://a.example/",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "500",
        "line_items[0][price_data][product_data][name]": "something cheap",
    }
    headers = {"Authorization": f"Bearer {shop.stripe.secret_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{shop.stripe.base_url}/v1/checkout/sessions", data=form) as made,
    ):
        session = (await made.json())["id"]
    await shop.stripe.pay(session)
    await shop.stripe.idle()
    await _sweep(shop)
    assert (await shop.order(key, order["order_id"]))["state"] == "created"
    assert (await shop.balance(key))[1] == 0


async def test_a_topup_is_usable_at_every_gateway_at_once(open_shop: OpenShop) -> None:
    async with open_shop() as other, open_shop() as shop:
        key = (await other.door.mint())["api_key"]
        await other.door.spend(key)
        view = await other.door.me(key)
        order_id, session = await shop.session_of(key)
        await shop.stripe.pay(session)
        await shop.stripe.idle()

        gate = other.door.node.ground.gate

        async def known() -> bool:
            rows = await gate.copies()
            return any(row.paid == SMALL_TOKENS and row.tier == "premium" for row in rows)

        await until(known, within_s=20.0)
        await shop.reaches(key, order_id, "paid")
        assert view["tier"] == "key"


async def test_tax_that_stripe_computes_is_on_top_of_the_price(open_shop: OpenShop) -> None:
    async with open_shop(STRIPE_AUTOMATIC_TAX="yes") as shop:
        key = (await shop.door.mint())["api_key"]
        order_id, session = await shop.session_of(key, currency="eur", save_payment_method=True)
        await shop.stripe.pay(session, country="DE")
        order = await shop.reaches(key, order_id, "paid")
        assert order["paid"] > order["price"]
        assert (await shop.balance(key))[1] == SMALL_TOKENS
        again, session = await shop.session_of(key, currency="eur")
        await shop.stripe.pay(session, country="DE")
        await shop.reaches(key, again, "paid")
        wish = {"pack": "small", "currency": "eur", "monthly_cap": 5_000}
        path = "/v1/billing/auto-recharge"
        told = await shop.door.ask("PUT", path, bearer=key, document=wish)
        assert (told.status, told.json()["code"]) == (409, "RECHARGE_NOT_WITH_TAX")
