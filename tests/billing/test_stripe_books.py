"""Stripe's balance transactions beside our orders: what one knows and the other does not."""

import asyncpg
import pytest

from gateway.billing.stripe_books import NAME, NOT_CONFIGURED, StripeBooks
from gateway.billing.stripe_port import StripePort
from gateway.ledger.rows import Check
from gateway.sql import load_queries
from tests.billing.shop import Shop
from tests.control.rig import until
from tests.stripe_standin import STATUS, Fault


async def _paid(shop: Shop) -> tuple[str, str, str]:
    """Key, order and session."""
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key)
    await shop.stripe.pay(session)
    await shop.reaches(key, order_id, "paid")
    await _at_rest(shop)
    return key, order_id, session


async def _at_rest(shop: Shop) -> None:
    """Until nobody looks at an order any more."""

    async def done() -> bool:
        sql = "select not exists (select from stripe_inbox where done_at is null)"
        return bool(await shop.door.node.ground.postgres.value(sql))

    await shop.stripe.idle()
    await until(done)


async def _check(shop: Shop, *, settled_s: int = -60) -> Check:
    def port() -> StripePort:
        return StripePort(shop.stripe.secret_key, shop.stripe.base_url)

    postgres = shop.door.node.ground.postgres
    return await StripeBooks(postgres, load_queries(), port, settled_s=settled_s).check()


async def test_payments_refunds_and_disputes_agree_with_stripe(shop: Shop) -> None:
    key, order_id, session = await _paid(shop)
    await shop.stripe.refund(session, 200)
    await shop.reaches(key, order_id, "partly_refunded")
    disputed_key, disputed_order, disputed_session = await _paid(shop)
    dispute = await shop.stripe.dispute(disputed_session)
    await shop.reaches(disputed_key, disputed_order, "disputed")
    assert await _check(shop) == Check(NAME, 0)
    await shop.stripe.win(dispute["id"])
    await shop.reaches(disputed_key, disputed_order, "paid")
    failing = await shop.stripe.refund(disputed_session, 100)
    await shop.reaches(disputed_key, disputed_order, "partly_refunded")
    await shop.stripe.refund_fails(failing["id"])
    await shop.reaches(disputed_key, disputed_order, "paid")
    assert await _check(shop) == Check(NAME, 0)
    told = (await shop.door.ops("GET", "/admin/reconcile")).json()
    assert told["ok"] is True
    assert NAME in {check["name"] for check in told["checks"]}


async def test_a_refund_of_which_nobody_told_us_is_found_once_it_has_settled(shop: Shop) -> None:
    _, order_id, session = await _paid(shop)
    shop.stripe.courier.hold()
    await shop.stripe.refund(session, 200)
    assert (await _check(shop, settled_s=900)).differences == 0
    found = await _check(shop)
    assert found.differences == 1
    assert found.sample[0]["order_id"] == order_id
    assert (found.sample[0]["refunded"], found.sample[0]["refunded_at_stripe"]) == (0, 200)


@pytest.mark.parametrize(
    ("damage", "differences"),
    [
        ("update topup_order set facts = jsonb_set(facts, '{received_minor}', '499')", 1),
        ("update topup_order set refunded_minor = 1", 1),
        ("update topup_order set disputed_minor = 500", 1),
        ("update topup_order set payment_id = 'pi_of_nobody'", 1),
    ],
)
async def test_an_order_that_was_changed_by_hand_is_found(
    shop: Shop, database: str, damage: str, differences: int
) -> None:
    await _paid(shop)
    line = await asyncpg.connect(database, ssl=False)
    try:
        await line.execute("set session_replication_role = replica")
        await line.execute(damage)
    finally:
        await line.close()
    assert (await _check(shop)).differences == differences


async def test_what_others_sell_is_told_and_no_difference(shop: Shop, database: str) -> None:
    await _paid(shop)
    line = await asyncpg.connect(database, ssl=False)
    try:
        await line.execute("set session_replication_role = replica")
        await line.execute("delete from topup_order")
    finally:
        await line.close()
    found = await _check(shop)
    assert (found.differences, found.note) == (0, "1 payments at Stripe are of no order")


async def test_without_stripe_it_says_that_it_did_not_look(shop: Shop) -> None:
    shop.stripe.faults.add(Fault(STATUS, path="/v1/balance_transactions", status=503, times=9))
    found = await _check(shop)
    assert found.fault
    assert not found.holds
    books = StripeBooks(shop.door.node.ground.postgres, load_queries(), None)
    assert await books.check() == Check(NAME, 0, note=NOT_CONFIGURED)
