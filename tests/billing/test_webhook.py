"""Stripe's door: what is not Stripe's is refused, what is not ours is let go, nothing moves."""

import hashlib
import hmac
import time

import orjson

from tests.billing.conftest import OpenShop
from tests.billing.shop import SMALL_TOKENS, TRIAL_TOKENS, Shop
from tests.control.plain_http import Told
from tests.control.rig import until

EVENT = {
    "id": "evt_made_up",
    "object": "event",
    "type": "checkout.session.completed",
    "created": 1,
    "livemode": False,
    "data": {"object": {"id": "cs_test_none", "object": "checkout.session"}},
}


def _signed(body: bytes, secret: str, *, age_s: int = 0) -> str:
    at = int(time.time()) - age_s
    return f"t={at},v1={hmac.new(secret.encode(), b'%d.' % at + body, hashlib.sha256).hexdigest()}"


async def _send(shop: Shop, body: bytes, signature: str | None) -> Told:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    return await shop.door.ask("POST", "/v1/billing/webhook", body=body, headers=headers)


async def _inbox(shop: Shop) -> int:
    count: int = await shop.door.node.ground.postgres.value("select count(*) from stripe_inbox")
    return count


async def test_forged_old_unsigned_and_unreadable_bodies_are_refused_and_not_kept(
    shop: Shop,
) -> None:
    body, secret = orjson.dumps(EVENT), shop.stripe.webhook_secret
    wrong = [
        (body, None),
        (body, ""),
        (body, "t=,v1="),
        (body, "t=1,v1=\u00e9"),
        (body, _signed(body, "whsec_other")),
        (body, _signed(body, secret, age_s=301)),
        (body, _signed(body, secret, age_s=-330)),
        (body + b" ", _signed(body, secret)),
        (b"\xff\xfe", _signed(b"\xff\xfe", secret)),
    ]
    for sent, signature in wrong:
        told = await _send(shop, sent, signature)
        assert (told.status, told.json()["code"]) == (400, "WEBHOOK_SIGNATURE"), (sent, signature)
    strange = [{**EVENT, "data": 7}, {**EVENT, "id": "evt_\x00"}, {**EVENT, "type": "a\x00"}]
    strange += [{**EVENT, "id": "evt\x00a"}]
    strange += [{**EVENT, "id": "evt_\u00e9"}, {**EVENT, "created": "2026"}]
    for sent in (b"", b"no json", b"[]", b"{}", *map(orjson.dumps, strange)):
        told = await _send(shop, sent, _signed(sent, secret))
        assert (told.status, told.json()["code"]) == (400, "REQUEST_UNREADABLE"), sent
    large = orjson.dumps({**EVENT, "padding": "x" * 262_144})
    assert (await _send(shop, large, _signed(large, secret))).status == 413
    assert await _inbox(shop) == 0


async def test_events_of_another_mode_account_or_kind_are_accepted_and_forgotten(
    shop: Shop,
) -> None:
    nameless: dict[str, object] = {
        "data": {"object": {"id": "cs_\x00", "object": "checkout.session"}}
    }
    named = {"object": "charge", "payment_intent": "pi\x00", "metadata": {"order_id": "\x00"}}
    foreign: list[dict[str, object]] = [
        {"livemode": True},
        {"account": "acct_1"},
        {"type": "customer.created"},
        nameless,
    ]
    foreign += [{"type": "charge.refunded", "data": {"object": named}}]
    for change in foreign:
        body = orjson.dumps({**EVENT, **change})
        told = await _send(shop, body, _signed(body, shop.stripe.webhook_secret))
        assert told.status == 200, told
    assert await _inbox(shop) == 0


async def test_signed_event_that_says_paid_moves_nothing_when_stripe_says_otherwise(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key)
    thing = {
        "id": session,
        "object": "checkout.session",
        "client_reference_id": order_id,
        "payment_status": "paid",
        "status": "complete",
        "amount_total": 500,
    }
    body = orjson.dumps({**EVENT, "data": {"object": thing}})
    assert (await _send(shop, body, _signed(body, shop.stripe.webhook_secret))).status == 200
    postgres = shop.door.node.ground.postgres

    async def worked_at() -> bool:
        open_rows = "select count(*) from stripe_inbox where done_at is null"
        return bool(await postgres.value(open_rows) == 0)

    await until(worked_at)
    assert (await shop.order(key, order_id))["state"] == "awaiting"
    assert await shop.balance(key) == (TRIAL_TOKENS, 0)


async def test_two_secrets_are_good_while_one_replaces_the_other(open_shop: OpenShop) -> None:
    async with open_shop(STRIPE_WEBHOOK_SECRET="whsec_new_one,whsec_old_one") as shop:
        body = orjson.dumps(EVENT)
        for secret in ("whsec_new_one", "whsec_old_one"):
            assert (await _send(shop, body, _signed(body, secret))).status == 200
        assert (await _send(shop, body, _signed(body, shop.stripe.webhook_secret))).status == 400


async def test_without_a_secret_webhooks_are_503_and_the_sweep_finds_what_was_paid(
    open_shop: OpenShop,
) -> None:
    async with open_shop(STRIPE_WEBHOOK_SECRET="") as shop:
        key = (await shop.door.mint())["api_key"]
        order_id, session = await shop.session_of(key)
        body = orjson.dumps(EVENT)
        told = await _send(shop, body, _signed(body, shop.stripe.webhook_secret))
        assert (told.status, told.json()["code"]) == (503, "WEBHOOK_NOT_CONFIGURED")
        await shop.stripe.pay(session)
        async with open_shop(with_worker=True, STRIPE_WEBHOOK_SECRET="") as beside:
            await beside.reaches(key, order_id, "paid")
            assert await beside.balance(key) == (TRIAL_TOKENS, SMALL_TOKENS)


async def test_every_event_repeated_and_shuffled_gives_the_tokens_once(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    shop.stripe.courier.copies = 3
    shop.stripe.courier.shuffle_s = 0.2
    order_id, session = await shop.session_of(key)
    await shop.stripe.pay(session)
    await shop.stripe.refund(session, 100)
    await shop.stripe.idle()
    await shop.reaches(key, order_id, "partly_refunded")
    assert await shop.balance(key) == (TRIAL_TOKENS, SMALL_TOKENS * 4 // 5)
    assert await shop.proven()
