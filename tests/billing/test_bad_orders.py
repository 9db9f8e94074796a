"""Checkouts that cannot be: a clear 4xx, no order, nothing at Stripe."""

from tests.billing.shop import Shop

BAD = [
    ({"pack": "none", "currency": "usd"}, "pack"),
    ({"pack": None, "currency": "usd"}, "pack"),
    ({"pack": ["small"], "currency": "usd"}, "pack"),
    ({"currency": "usd"}, "pack"),
    ({"pack": "small"}, "currency"),
    ({"pack": "small", "currency": "xyz"}, "currency"),
    ({"pack": "small", "currency": "USD"}, "currency"),
    ({"pack": "small", "currency": {}}, "currency"),
    ({"pack": "small", "currency": "usd", "email": "nobody"}, "email"),
    ({"pack": "small", "currency": "usd", "email": 1}, "email"),
    ({"pack": "small", "currency": "usd", "email": "<a>@b.c"}, "email"),
    ({"pack": "small", "currency": "usd", "email": "a@b@c.d"}, "email"),
    ({"pack": "small", "currency": "usd", "email": "a@.d"}, "email"),
    ({"pack": "small", "currency": "usd", "success_url": "https://u:p@a.example/"}, "success_url"),
    ({"pack": "small", "currency": "usd", "save_payment_method": 0}, "save_payment_method"),
    ({"pack": "small", "currency": "usd", "save_payment_method": 1.0}, "save_payment_method"),
    ({"pack": "small", "currency": "usd", "success_url": "javascript:alert(1)"}, "success_url"),
    ({"pack": "small", "currency": "usd", "cancel_url": "http://"}, "cancel_url"),
    ({"pack": "small", "currency": "usd", "save_payment_method": "yes"}, "save_payment_method"),
    ({"pack": "small", "currency": "usd", "save_payment_method": 1}, "save_payment_method"),
    ({"pack": "small", "currency": "usd", "tokens": 10**12}, "tokens"),
]


async def test_wrong_fields_are_named(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    for document, field in BAD:
        told = await shop.door.ask("POST", "/v1/billing/checkout", bearer=key, document=document)
        assert told.status == 422, (document, told)
        assert told.json()["error"]["param"] == field, told
        assert field in told.json()["message"], told
    assert shop.stripe.desk.world.all("checkout.session") == []
    items = (await shop.door.ask("GET", "/v1/billing/orders", bearer=key)).json()["items"]
    assert items == []


async def test_keys_that_may_not_buy_are_refused(shop: Shop) -> None:
    assert (await shop.buy("sluice_" + "x" * 60)).status == 401
    told = await shop.door.ask("POST", "/v1/billing/checkout", document={})
    assert told.status == 401
    minted = await shop.door.mint()
    path = f"/admin/keys/{minted['key_id']}/status"
    await shop.door.ops("PUT", path, document={"status": "suspended"})
    told = await shop.buy(minted["api_key"])
    assert (told.status, told.json()["code"]) == (402, "AUTHZ_KEY_SUSPENDED")
    await shop.door.ask("DELETE", "/v1/keys/me", bearer=minted["api_key"])
    assert (await shop.buy(minted["api_key"])).status == 401
    assert shop.stripe.desk.world.all("checkout.session") == []


async def test_unreadable_idempotency_key_is_refused(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    for name in (" ", "x" * 256, "\u00e9"):
        told = await shop.buy(key, name=name)
        assert (told.status, told.json()["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")


async def test_only_so_many_orders_of_a_key_wait_for_their_payment(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    for _ in range(20):
        assert (await shop.buy(key)).status == 200
    told = await shop.buy(key)
    assert (told.status, told.json()["code"]) == (429, "ORDERS_TOO_MANY")


async def test_an_order_of_another_key_is_not_seen(shop: Shop) -> None:
    mine, other = [(await shop.door.mint())["api_key"] for _ in range(2)]
    first = await shop.buy(mine, name="same")
    second = await shop.buy(other, name="same")
    assert first.json()["order_id"] != second.json()["order_id"]
    shown = (await shop.door.ask("GET", "/v1/billing/orders", bearer=other)).json()["items"]
    assert [item["order_id"] for item in shown] == [second.json()["order_id"]]
