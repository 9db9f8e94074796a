"""Refunds and disputes: tokens go back in proportion, what was spent is owed, keys are held."""

from typing import Any

from tests.billing.shop import SMALL_TOKENS, SMALL_USD, Shop
from tests.control.rig import until

KEY_PATH = "/admin/keys/{}/status"


async def _paid(shop: Shop) -> tuple[dict[str, Any], str, str]:
    minted = await shop.door.mint()
    order_id, session = await shop.session_of(minted["api_key"])
    await shop.stripe.pay(session)
    await shop.reaches(minted["api_key"], order_id, "paid")
    return minted, order_id, session


async def _spend_paid(shop: Shop, minted: dict[str, Any], tokens: int) -> None:
    """As if this much of the paid tokens had been used."""
    postgres = shop.door.node.ground.postgres
    other = await shop.door.mint()
    key_id = await postgres.value(
        "select key_id from api_key where last_characters = $1", minted["api_key"][-4:]
    )
    other_id = await postgres.value(
        "select key_id from api_key where last_characters = $1", other["api_key"][-4:]
    )
    await shop.door.ops(
        "POST",
        f"/admin/keys/{other['key_id']}/credit",
        document={"tokens": 1, "bucket": "paid", "ref": f"make {other_id} premium"},
    )
    told = await shop.door.ask(
        "POST",
        "/v1/keys/me/transfer",
        bearer=minted["api_key"],
        document={"to_api_key": other["api_key"], "tokens": tokens},
        headers={"Idempotency-Key": f"spend-{key_id}"},
    )
    assert told.status == 200, told


async def _owed(shop: Shop, key: str) -> int:
    told = await shop.door.ask("GET", "/v1/billing/orders", bearer=key)
    return int(told.json()["owed_tokens"])


async def _paid_tokens(shop: Shop, key: str, tokens: int) -> None:
    async def there() -> bool:
        return (await shop.balance(key))[1] == tokens

    await until(there)


async def test_refunds_take_tokens_in_proportion_and_a_failed_one_gives_them_back(
    shop: Shop,
) -> None:
    minted, order_id, session = await _paid(shop)
    key = minted["api_key"]
    await shop.stripe.refund(session, 100)
    await _paid_tokens(shop, key, SMALL_TOKENS * 4 // 5)
    assert (await shop.order(key, order_id))["state"] == "partly_refunded"
    second = await shop.stripe.refund(session, 33, pending=True)
    left = SMALL_TOKENS - SMALL_TOKENS * 133 // SMALL_USD
    await _paid_tokens(shop, key, left)
    await shop.stripe.refund_fails(second["id"])
    await _paid_tokens(shop, key, SMALL_TOKENS * 4 // 5)
    await shop.stripe.refund(session)
    await shop.reaches(key, order_id, "refunded")
    await _paid_tokens(shop, key, 0)
    assert await _owed(shop, key) == 0
    assert await shop.proven()


async def test_what_was_spent_before_a_refund_is_owed_and_the_next_topup_pays_it_first(
    shop: Shop,
) -> None:
    minted, order_id, session = await _paid(shop)
    key = minted["api_key"]
    await _spend_paid(shop, minted, SMALL_TOKENS * 3 // 4)
    await shop.stripe.refund(session)
    await shop.reaches(key, order_id, "refunded")
    assert (await shop.balance(key))[1] == 0
    assert await _owed(shop, key) == SMALL_TOKENS * 3 // 4
    again, session = await shop.session_of(key)
    await shop.stripe.pay(session)
    await shop.reaches(key, again, "paid")
    assert (await shop.balance(key))[1] == SMALL_TOKENS // 4
    assert await _owed(shop, key) == 0
    assert await shop.proven()


async def test_dispute_suspends_and_takes_all_and_a_won_one_gives_all_back(shop: Shop) -> None:
    minted, order_id, session = await _paid(shop)
    key = minted["api_key"]
    await _spend_paid(shop, minted, 1_000)
    dispute = await shop.stripe.dispute(session)
    await shop.reaches(key, order_id, "disputed")
    assert (await shop.door.me(key))["status"] == "suspended"
    assert ((await shop.balance(key))[1], await _owed(shop, key)) == (0, 1_000)
    assert (await shop.door.spend(key, expected=402)).json()["reason"] == "AUTHZ_KEY_SUSPENDED"
    assert await shop.proven()
    await shop.stripe.win(dispute["id"])
    await shop.reaches(key, order_id, "paid")
    assert (await shop.door.me(key))["status"] == "active"
    await _paid_tokens(shop, key, SMALL_TOKENS - 1_000)
    assert await _owed(shop, key) == 0
    await shop.door.spend(key)
    assert await shop.proven()


async def test_won_dispute_is_settled_though_no_balance_can_hold_all_of_it(shop: Shop) -> None:
    minted, order_id, session = await _paid(shop)
    key = minted["api_key"]
    dispute = await shop.stripe.dispute(session)
    await shop.reaches(key, order_id, "disputed")
    trial, room = (await shop.balance(key))[0], 1_000
    credit = {"tokens": 2**53 - 1 - trial - room, "bucket": "paid", "ref": "much"}
    await shop.door.ops("POST", f"/admin/keys/{minted['key_id']}/credit", document=credit)
    await shop.stripe.win(dispute["id"])
    await shop.reaches(key, order_id, "paid")
    await _paid_tokens(shop, key, 2**53 - 1 - trial)
    sums = await shop.door.node.ground.book.account_sums()
    assert sums["writeoff"] == SMALL_TOKENS - room
    assert await shop.proven()


async def test_lost_dispute_stays_and_only_an_operator_lifts_the_suspension(shop: Shop) -> None:
    minted, order_id, session = await _paid(shop)
    key = minted["api_key"]
    dispute = await shop.stripe.dispute(session)
    await shop.stripe.lose(dispute["id"])
    await shop.reaches(key, order_id, "dispute_lost")
    assert (await shop.door.me(key))["status"] == "suspended"
    assert (await shop.buy(key)).json()["code"] == "AUTHZ_KEY_SUSPENDED"
    lifted = {"status": "active"}
    await shop.door.ops("PUT", KEY_PATH.format(minted["key_id"]), document=lifted)
    assert (await shop.door.me(key))["status"] == "active"
    # A late event about the same dispute does not suspend again what a person has lifted.
    for event in shop.stripe.events("charge.dispute.closed"):
        assert await shop.stripe.courier.deliver(event) == 200
    assert (await shop.door.me(key))["status"] == "active"
    assert await shop.proven()


async def test_lost_dispute_whose_appeal_is_won_gives_all_back(shop: Shop) -> None:
    minted, order_id, session = await _paid(shop)
    key = minted["api_key"]
    dispute = await shop.stripe.dispute(session)
    await shop.stripe.lose(dispute["id"])
    await shop.reaches(key, order_id, "dispute_lost")
    await shop.stripe.appeal(dispute["id"])
    await shop.stripe.idle()
    assert (await shop.order(key, order_id))["state"] == "dispute_lost"
    await shop.stripe.win(dispute["id"])
    await shop.reaches(key, order_id, "paid")
    assert (await shop.door.me(key))["status"] == "active"
    await _paid_tokens(shop, key, SMALL_TOKENS)
    assert await shop.proven()


async def test_suspension_by_an_operator_survives_a_won_dispute(shop: Shop) -> None:
    minted, order_id, session = await _paid(shop)
    key = minted["api_key"]
    dispute = await shop.stripe.dispute(session)
    await shop.reaches(key, order_id, "disputed")
    path = KEY_PATH.format(minted["key_id"])
    await shop.door.ops("PUT", path, document={"status": "suspended"})
    await shop.stripe.win(dispute["id"])
    await shop.reaches(key, order_id, "paid")
    assert (await shop.door.me(key))["status"] == "suspended"
    await shop.door.ops("PUT", path, document={"status": "active"})
    assert (await shop.door.me(key))["status"] == "active"
    assert await shop.proven()


async def test_inquiry_moves_nothing_until_it_becomes_a_dispute(shop: Shop) -> None:
    minted, order_id, session = await _paid(shop)
    key = minted["api_key"]
    inquiry = await shop.stripe.dispute(session, inquiry=True)
    await shop.stripe.idle()
    assert (await shop.order(key, order_id))["state"] == "paid"
    assert (await shop.balance(key))[1] == SMALL_TOKENS
    await shop.stripe.escalate(inquiry["id"])
    await shop.reaches(key, order_id, "disputed")
    assert (await shop.balance(key))[1] == 0


async def test_money_for_a_key_that_was_revoked_meanwhile_goes_back(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key)
    assert (await shop.door.ask("DELETE", "/v1/keys/me", bearer=key)).status == 200
    await shop.stripe.pay(session)

    async def back() -> bool:
        return bool(shop.stripe.charge(session)["refunded"])

    await until(back)
    till = shop.door.node.ground.postgres

    async def returned() -> bool:
        state = await till.value("select state from topup_order where order_id = $1", order_id)
        return bool(state == "returned")

    await until(returned)
    assert len(shop.stripe.desk.world.all("refund")) == 1
    assert await shop.proven()


async def test_a_revoked_keys_money_that_is_disputed_first_ends_whoever_wins(shop: Shop) -> None:
    postgres = shop.door.node.ground.postgres

    async def reaches(order_id: str, state: str) -> None:
        async def there() -> bool:
            sql = "select state from topup_order where order_id = $1"
            return bool(await postgres.value(sql, order_id) == state)

        await until(there)

    for ours in (True, False):
        key = (await shop.door.mint())["api_key"]
        order_id, session = await shop.session_of(key)
        assert (await shop.door.ask("DELETE", "/v1/keys/me", bearer=key)).status == 200
        shop.stripe.courier.hold()
        await shop.stripe.pay(session)
        dispute = await shop.stripe.dispute(session)
        shop.stripe.courier.release()
        # The bank has taken it back: nothing of it is with us.
        await reaches(order_id, "returned")
        await (shop.stripe.win if ours else shop.stripe.lose)(dispute["id"])
        await shop.stripe.idle()
        await reaches(order_id, "returned")
        if ours:
            await _all_refunded(shop, session)
        assert bool(shop.stripe.charge(session)["amount_refunded"]) is ours

    async def all_done() -> bool:
        sql = "select count(*) from stripe_inbox where done_at is null"
        return bool(await postgres.value(sql) == 0)

    await until(all_done)
    assert await shop.proven()


async def _all_refunded(shop: Shop, session: str) -> None:
    async def there() -> bool:
        return bool(shop.stripe.charge(session)["amount_refunded"] == SMALL_USD)

    await until(there)


async def test_refund_after_a_revocation_is_owed_and_books_hold(shop: Shop) -> None:
    minted, _, session = await _paid(shop)
    assert (await shop.door.ask("DELETE", "/v1/keys/me", bearer=minted["api_key"])).status == 200
    dispute = await shop.stripe.dispute(session)
    postgres = shop.door.node.ground.postgres

    async def owed(tokens: int) -> bool:
        found = await postgres.value("select coalesce(sum(tokens), 0)::bigint from key_debt")
        return bool(found == tokens)

    await until(lambda: owed(SMALL_TOKENS))
    assert await shop.proven()
    await shop.stripe.win(dispute["id"])
    await until(lambda: owed(0))
    assert await shop.proven()
