"""Money that is not what was asked: healed where the comparison was early, else for a person."""

from dataclasses import replace
from typing import Any

from gateway.billing.looking import Hints
from gateway.billing.seen import SessionSeen
from tests.billing.recharging import worker_of
from tests.billing.shop import SMALL_TOKENS, Shop
from tests.control.plain_http import Told

RELEASE = "/admin/billing/orders/{}/release"


async def _held(shop: Shop) -> tuple[dict[str, Any], str, str]:
    """A key, an order whose session was changed at Stripe before it was paid, and the session."""
    minted = await shop.door.mint()
    order_id, session = await shop.session_of(minted["api_key"])
    shop.stripe.courier.hold()
    await shop.stripe.pay(session)
    shop.stripe.session(session)["amount_subtotal"] = 1
    shop.stripe.courier.release()
    await shop.reaches(minted["api_key"], order_id, "held")
    return minted, order_id, session


async def _release(shop: Shop, order_id: str, decision: str) -> Told:
    document = {"decision": decision}
    return await shop.door.ops("POST", RELEASE.format(order_id), document=document)


async def test_a_payment_between_two_looks_is_compared_with_its_own_promotion_code(
    shop: Shop,
) -> None:
    key = (await shop.door.mint())["api_key"]
    shop.stripe.promotion("HALF", percent=50)
    order_id, name = await shop.session_of(key)
    shop.stripe.courier.hold()
    async with worker_of(shop) as worker:
        before = await worker.port.session(name)
        assert before is not None
        await shop.stripe.pay(name, promotion_code="HALF")
        read = worker.port.session
        stale = [replace(before, intent=None, payment_id=None)]

        async def session(session_id: str) -> SessionSeen | None:
            return stale.pop() if stale else await read(session_id)

        worker.port.session = session  # type: ignore[method-assign]
        payment_id = shop.stripe.session(name)["payment_intent"]
        assert await worker.looker.look(order_id, Hints(name, payment_id)) == "paid"
        assert stale == []
    assert (await shop.balance(key))[1] == SMALL_TOKENS
    shop.stripe.courier.release()


async def test_what_was_held_by_an_early_comparison_is_healed_by_the_next_look(shop: Shop) -> None:
    minted, order_id, session = await _held(shop)
    shop.stripe.session(session)["amount_subtotal"] = 500
    async with worker_of(shop) as worker:
        assert await worker.looker.look(order_id) == "paid"
    assert (await shop.balance(minted["api_key"]))[1] == SMALL_TOKENS
    assert await shop.proven()


async def test_an_operator_credits_what_was_bought_once(shop: Shop) -> None:
    minted, order_id, session = await _held(shop)
    key = minted["api_key"]
    async with worker_of(shop) as worker:
        for _ in range(2):
            assert (await _release(shop, order_id, "credit")).status in (200, 202)
            await worker.inbox.run_once()
        await shop.reaches(key, order_id, "paid")
        assert (await _release(shop, order_id, "credit")).json()["released"] == "credit"
        told = await _release(shop, order_id, "return")
        assert (told.status, told.json()["code"]) == (409, "ORDER_NOT_HELD")
        await worker.inbox.run_once()
    assert (await shop.balance(key))[1] == SMALL_TOKENS
    await shop.stripe.refund(session, 250)
    await shop.reaches(key, order_id, "partly_refunded")
    assert (await shop.balance(key))[1] == SMALL_TOKENS // 2
    assert await shop.proven()


async def test_an_operator_gives_back_what_was_held_once(shop: Shop) -> None:
    minted, order_id, session = await _held(shop)
    async with worker_of(shop) as worker:
        for _ in range(2):
            assert (await _release(shop, order_id, "return")).status in (200, 202)
            await worker.inbox.run_once()
        await shop.reaches(minted["api_key"], order_id, "returned")
    assert shop.stripe.charge(session)["amount_refunded"] == 500
    assert len(shop.stripe.desk.world.all("refund")) == 1
    assert (await shop.balance(minted["api_key"]))[1] == 0
    assert await shop.proven()


async def test_only_what_is_held_is_released(shop: Shop) -> None:
    key = (await shop.door.mint())["api_key"]
    order_id, session = await shop.session_of(key)
    assert (await _release(shop, order_id, "credit")).status == 409
    await shop.stripe.pay(session)
    await shop.reaches(key, order_id, "paid")
    assert (await _release(shop, order_id, "return")).status == 409
    assert (await _release(shop, "nonsense", "credit")).status == 404
    unknown = "01a1f931-0000-7000-8000-000000000000"
    assert (await _release(shop, unknown, "credit")).status == 404
    assert (await shop.balance(key))[1] == SMALL_TOKENS


async def test_a_decision_is_one_of_two(shop: Shop) -> None:
    path = RELEASE.format("01a1f931-0000-7000-8000-000000000000")
    bodies: list[Any] = [{}, {"decision": "keep"}, {"decision": "credit", "n": 1}, []]
    for body in bodies:
        assert (await shop.door.ops("POST", path, document=body)).status == 422
