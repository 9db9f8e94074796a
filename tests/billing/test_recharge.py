"""Recharges: only what the owner allowed, once at a time, and off after too many declines."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.edge.request_ids import new_request_id
from tests.billing.recharging import (
    PATH,
    Owner,
    allow,
    as_owner,
    owner_listening,
    saved,
    shown,
    soon,
    worker_of,
)
from tests.billing.shop import SMALL_TOKENS, SMALL_USD, Shop
from tests.control.rig import until


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    """A webhook on loopback, which the tests' gateways are allowed to call."""
    async with owner_listening() as found:
        yield found


async def test_a_key_below_its_threshold_buys_its_pack_until_the_months_cap(
    shop: Shop, owner: Owner
) -> None:
    key, _ = await saved(shop)
    told = await allow(shop, key, monthly_cap=2 * SMALL_USD, notify_url=owner.url)
    assert told.status == 200, told
    secret = told.json()["notify_secret"]
    async with worker_of(shop) as worker:
        for _ in range(4):
            await asyncio.gather(*(worker.recharges.run_once() for _ in range(3)))
        assert (await shop.balance(key))[1] == 3 * SMALL_TOKENS
        await worker.notifier.run_once()
    brief = await shop.door.ask("GET", "/api/v1/authorization", host="dash.localhost", bearer=key)
    assert brief.json()["metadata"]["auto_recharge"] is True
    assert brief.json()["customer_id"].startswith("cus_")
    assert sorted(owner.kinds()) == ["recharge.cap_reached", "recharge.paid", "recharge.paid"]
    _, signed, body = owner.heard[0]
    stamp, digest = signed.removeprefix("t=").split(",v1=")
    right = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert digest == right
    assert "notify_secret" not in await shown(shop, key)
    assert await shop.proven()


async def test_declines_make_longer_pauses_and_the_fourth_switches_off(
    shop: Shop, owner: Owner
) -> None:
    key, method = await saved(shop)
    await allow(shop, key, notify_url=owner.url)
    shop.stripe.behave(method, "insufficient_funds")
    async with worker_of(shop) as worker:
        for declines in range(1, 5):
            await worker.recharges.run_once()
            assert (await shown(shop, key))["declines"] == declines
            # Within the pause nobody asks again.
            assert await worker.recharges.run_once() == 0
            await soon(shop)
        now = await shown(shop, key)
        assert (now["enabled"], now["stopped"]) == (False, "declined")
        assert await worker.recharges.run_once() == 0
        await worker.notifier.run_once()
    assert owner.kinds() == ["recharge.failed"] * 4
    told = [document["data"] for document, _, _ in owner.heard]
    assert sorted(each["auto_recharge"] for each in told) == ["off", "on", "on", "on"]
    assert {each["note"] for each in told} == {"insufficient_funds"}
    assert (await shop.balance(key))[1] == SMALL_TOKENS
    # Saying it again charges nobody; a purchase that saves how he pays ends the pause.
    shop.stripe.behave(method, "succeed")
    assert (await allow(shop, key)).json()["declines"] == 3
    async with worker_of(shop) as worker:
        assert await worker.recharges.run_once() == 0
        order_id, session = await shop.session_of(key, save_payment_method=True)
        await shop.stripe.pay(session)
        await shop.reaches(key, order_id, "paid")
        assert (await shown(shop, key))["declines"] == 0
        assert await worker.recharges.run_once() == 1
    assert (await shop.balance(key))[1] == 3 * SMALL_TOKENS
    assert await shop.proven()


async def test_one_is_in_flight_while_a_bank_takes_its_time(shop: Shop) -> None:
    key, method = await saved(shop)
    await allow(shop, key)
    shop.stripe.behave(method, "processing")
    async with worker_of(shop) as worker:
        await worker.recharges.run_once()
        order_id = (await shown(shop, key))["order_in_flight"]
        assert (await shop.order(key, order_id))["state"] == "pending"
        assert await worker.recharges.run_once() == 0
        intents = shop.stripe.desk.world.all("payment_intent")
        (mine,) = [i for i in intents if i["metadata"].get("order_id") == order_id]
        await shop.stripe.settle(mine["id"])
        await shop.reaches(key, order_id, "paid")
    assert (await shown(shop, key))["order_in_flight"] is None
    assert (await shop.balance(key))[1] == 2 * SMALL_TOKENS


async def test_nobody_is_charged_who_did_not_say_so(shop: Shop) -> None:
    key, _ = await saved(shop)
    async with worker_of(shop) as worker:
        assert await worker.recharges.run_once() == 0
        await allow(shop, key, threshold_tokens=1)
        assert await worker.recharges.run_once() == 0
        await allow(shop, key)
        assert (await shop.door.ask("DELETE", PATH, bearer=key)).json()["enabled"] is False
        assert await worker.recharges.run_once() == 0
        await allow(shop, key)
        view = await shop.door.me(key)
        status = f"/admin/keys/{view['key_id']}/status"
        await shop.door.ops("PUT", status, document={"status": "suspended"})
        assert await worker.recharges.run_once() == 0
    assert (await shop.balance(key))[1] == SMALL_TOKENS


async def test_wrong_wishes_are_refused(shop: Shop) -> None:
    bare = (await shop.door.mint())["api_key"]
    told = await allow(shop, bare)
    assert (told.status, told.json()["code"]) == (409, "RECHARGE_NEEDS_PAYMENT_METHOD")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"pack": "none"}, "pack"),
        ({"currency": "xyz"}, "currency"),
        ({"threshold_tokens": 0}, "threshold_tokens"),
        ({"threshold_tokens": True}, "threshold_tokens"),
        ({"monthly_cap": SMALL_USD - 1}, "monthly_cap"),
        ({"monthly_cap": None}, "monthly_cap"),
        ({"notify_url": "ftp://a.example/"}, "notify_url"),
        ({"notify_url": "http://10.0.0.1/"}, "notify_url"),
        ({"notify_url": "http://[::ffff:169.254.169.254]/"}, "notify_url"),
        ({"notify_url": "http://localhost/"}, "notify_url"),
        ({"notify_url": "http://2130706433/"}, "notify_url"),
        ({"notify_url": "http://u:p@a.example/"}, "notify_url"),
        ({"cap": 1}, "cap"),
    ]
    for more, name in wrong:
        told = await allow(shop, bare, **more)
        assert (told.status, told.json()["error"]["param"]) == (422, name), more
    assert (await shown(shop, bare)) == {"enabled": False}


async def test_a_pack_that_is_no_longer_sold_ends_it(shop: Shop, owner: Owner) -> None:
    key, _ = await saved(shop)
    await allow(shop, key, notify_url=owner.url)
    await as_owner(shop, "update recharge set pack = 'old'")
    async with worker_of(shop) as worker:
        assert await worker.recharges.run_once() == 0
        await worker.notifier.run_once()
    assert (await shown(shop, key))["stopped"] == "pack_gone"
    assert owner.kinds() == ["recharge.stopped"]


async def test_a_webhook_that_fails_is_told_again_and_given_up_in_the_end(
    shop: Shop, owner: Owner
) -> None:
    key, _ = await saved(shop)
    await allow(shop, key, notify_url=owner.url, monthly_cap=SMALL_USD)
    owner.status = 500
    async with worker_of(shop) as worker:
        await worker.recharges.run_once()
        for _ in range(8):
            await worker.notifier.run_once()
            await as_owner(shop, "update owner_notice set next_at = now()")
    assert len(owner.heard) == 6
    assert {document["id"] for document, _, _ in owner.heard} == {owner.heard[0][0]["id"]}


async def test_a_recharge_that_stripe_did_not_answer_is_ended_once(shop: Shop) -> None:
    key, _ = await saved(shop)
    await allow(shop, key, monthly_cap=SMALL_USD)
    async with worker_of(shop) as worker:
        ask = worker.recharges.run_once
        order_id = new_request_id()
        row = (await worker.recharge_till.due(10))[0]
        pack = worker.packs.packs["small"]
        said = await worker.recharge_till.begin(
            order_id, row[0], pack, "usd", livemode=False, lifetime_s=60
        )
        assert said == "NEW"
        # The process that began it is gone: within a minute nobody else takes it up.
        assert await ask() == 0
        await as_owner(shop, "update topup_order set looked_at = now() - interval '2 minutes'")
        await ask()
    await until(lambda: _is_paid(shop, key, order_id))
    assert (await shop.balance(key))[1] == 2 * SMALL_TOKENS


async def _is_paid(shop: Shop, key: str, order_id: str) -> bool:
    return bool((await shop.order(key, order_id))["state"] == "paid")
