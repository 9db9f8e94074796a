"""A top-up, from the packs to the tokens."""

import asyncio
from datetime import datetime, timedelta

import asyncpg

from tests.billing.shop import SMALL_TOKENS, SMALL_USD, TRIAL_TOKENS, Shop
from tests.control.rig import until
from tests.stripe_standin import DROP, LOSE_ANSWER, STATUS, Fault


async def test_packs_have_a_price_in_dollars_and_in_euros(shop: Shop) -> None:
    told = await shop.door.ask("GET", "/v1/billing/packs")
    assert told.status == 200
    items = told.json()["items"]
    assert {"small", "medium", "large"} == {item["pack"] for item in items}
    assert all({"usd", "eur"} <= set(item["prices"]) for item in items)


async def test_paid_checkout_makes_the_key_premium_and_tokens_usable_at_once(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key, email="buyer@example.com")
    assert (await shop.order(key, order_id))["state"] == "awaiting"
    await shop.stripe.pay(session)
    await shop.stripe.idle()

    async def there() -> bool:
        return await shop.balance(key) == (TRIAL_TOKENS, SMALL_TOKENS)

    # A second is promised, of a machine that has time for it.
    await until(there, within_s=20.0)
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


async def test_bank_debit_is_pending_until_it_settles_and_failed_when_it_bounces(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    good, good_session = await shop.session_of(key)
    bad, bad_session = await shop.session_of(key)
    for session in (good_session, bad_session):
        await shop.stripe.pay_by_debit(session)
    await shop.reaches(key, good, "pending")
    await shop.reaches(key, bad, "pending")
    assert await shop.balance(key) == (TRIAL_TOKENS, 0)
    await shop.stripe.settle(good_session)
    await shop.stripe.bounce(bad_session)
    await shop.reaches(key, good, "paid")
    await shop.reaches(key, bad, "failed")
    assert await shop.balance(key) == (TRIAL_TOKENS, SMALL_TOKENS)


async def test_declined_card_leaves_the_order_open_and_an_abandoned_one_expires(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key)
    await shop.stripe.decline(session)
    await shop.stripe.idle()
    assert (await shop.order(key, order_id))["state"] == "awaiting"
    await shop.stripe.abandon(session)
    await shop.reaches(key, order_id, "expired")
    assert await shop.balance(key) == (TRIAL_TOKENS, 0)
    assert await shop.proven()


async def test_an_order_that_is_over_is_not_offered_again_under_its_idempotency_key(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    first = (await shop.buy(key, name="one")).json()
    await shop.stripe.abandon(first["url"].rpartition("/")[2])
    await shop.reaches(key, first["order_id"], "expired")
    told = await shop.buy(key, name="one")
    assert (told.status, told.json()["code"]) == (409, "ORDER_OVER")
    assert (await shop.buy(key, name="another")).status == 200


async def test_a_customer_who_was_deleted_at_stripe_can_buy_again(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key)
    await shop.stripe.pay(session)
    await shop.reaches(key, order_id, "paid")
    gone = shop.stripe.session(session)["customer"]
    shop.stripe.object(gone)["deleted"] = True
    first, again = await shop.buy(key, name="x"), await shop.buy(key, name="x")
    assert (first.status, first.json()) == (again.status, again.json()) == (200, again.json())
    await shop.stripe.pay(first.json()["url"].rpartition("/")[2])
    await shop.reaches(key, first.json()["order_id"], "paid")
    assert (await shop.balance(key))[1] == 2 * SMALL_TOKENS
    _, session = await shop.session_of(key)
    assert shop.stripe.session(session)["customer"] not in (None, gone)
    assert await shop.proven()


async def test_promotion_codes_and_tax_change_what_is_paid_and_not_the_tokens(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    shop.stripe.promotion("HALF", percent=50)
    shop.stripe.promotion("GIFT", percent=100)
    cheap, session = await shop.session_of(key)
    await shop.stripe.pay(session, promotion_code="HALF")
    assert (await shop.reaches(key, cheap, "paid"))["paid"] == SMALL_USD // 2
    gifted = (await shop.door.mint())["api_key"]
    free, session = await shop.session_of(gifted)
    await shop.stripe.pay(session, promotion_code="GIFT")
    assert (await shop.reaches(gifted, free, "paid"))["paid"] == 0
    assert await shop.balance(gifted) == await shop.balance(key) == (TRIAL_TOKENS, SMALL_TOKENS)
    # Who made the code wanted it to be a purchase like any other.
    assert (await shop.door.me(gifted))["tier"] == "premium"
    assert await shop.proven()


async def test_invoice_that_comes_later_and_events_of_an_old_version_are_understood(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    shop.stripe.use_version("2020-08-27")
    shop.stripe.late_invoices()
    order_id, session = await shop.session_of(key)
    await shop.stripe.pay(session)
    assert (await shop.reaches(key, order_id, "paid"))["invoice_url"] is None
    await shop.stripe.issue_invoice(session)

    async def linked() -> bool:
        return bool((await shop.order(key, order_id))["invoice_url"])

    await until(linked)
    assert (await shop.balance(key))[1] == SMALL_TOKENS


async def test_who_named_no_request_is_not_told_to_repeat_the_name(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    shop.stripe.faults.add(Fault(STATUS, method="POST"))
    away = await shop.buy(key)
    assert (away.status, away.json()["code"]) == (503, "PAYMENTS_UNAVAILABLE")
    assert "Idempotency-Key" not in away.text
    shop.stripe.faults.clear()


async def test_an_order_lives_two_hours_whenever_in_its_second_it_was_made(
    shop: Shop, database: str
) -> None:
    key = (await shop.door.mint())["api_key"]
    order_id, _ = await shop.session_of(key)
    line = await asyncpg.connect(database, ssl=False)
    await line.execute(
        "update topup_order set created_at = date_trunc('second', created_at) + interval '999 ms'"
    )
    await line.close()
    order = await shop.order(key, order_id)
    began, ends = (datetime.fromisoformat(order[at]) for at in ("created_at", "expires_at"))
    assert ends - began == timedelta(hours=2)


async def test_stripe_away_is_a_503_that_may_be_repeated_and_makes_one_session(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    for kind in (STATUS, DROP, LOSE_ANSWER):
        shop.stripe.faults.add(Fault(kind, method="POST"))
        away = await shop.buy(key, name=kind)
        assert (away.status, away.json()["code"]) == (503, "PAYMENTS_UNAVAILABLE")
        assert int(away["retry-after"]) > 0
        assert "same Idempotency-Key" in away.json()["message"]
        shop.stripe.faults.clear()
        told = await shop.buy(key, name=kind)
        assert told.status == 200, told
    items = (await shop.door.ask("GET", "/v1/billing/orders", bearer=key)).json()["items"]
    sessions = shop.stripe.desk.world.all("checkout.session")
    assert len(items) == len(sessions) == 3


async def test_old_dashboard_calls_sell_the_same_packs(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    dash = {"host": "dash.localhost"}
    prices = (await shop.door.ask("GET", "/api/v1/product", **dash)).json()
    (price,) = [p for p in prices if p["quantity"] == SMALL_TOKENS and p["currency"] == "eur"]
    words = {"price_id": price["price_id"], "success_url": "https://a.example/"}
    words["cancel_url"] = "https://a.example/no"
    told = await shop.door.ask(
        "POST", "/api/v1/checkout_session", bearer=key, document=words, **dash
    )
    assert told.status == 200, told
    session = shop.stripe.session(told.json()["url"].rpartition("/")[2])
    assert (session["currency"], session["success_url"]) == ("eur", "https://a.example/")
    await shop.stripe.pay(session["id"])

    async def there() -> bool:
        return (await shop.balance(key))[1] == SMALL_TOKENS

    await until(there)
