"""Recharges when something is wrong: with Stripe's answers, with a card, with an owner's wishes."""

from tests.billing.recharging import allow, as_owner, owner_listening, saved, shown, worker_of
from tests.billing.shop import SMALL_TOKENS, SMALL_USD, Shop
from tests.stripe_standin import BREAK, Fault

# Of a recharge that was begun a while ago.
LATER = "update topup_order set looked_at = now() - interval '2 minutes' where origin = 'recharge'"


async def _notes(shop: Shop, key: str) -> list[str]:
    told = await shop.door.ask("GET", "/v1/billing/orders", bearer=key)
    return [item["note"] for item in told.json()["items"] if item["origin"] == "recharge"]


async def test_one_whose_answer_stripe_broke_for_good_keeps_no_other_waiting(shop: Shop) -> None:
    broken, _ = await saved(shop)
    await allow(shop, broken, monthly_cap=SMALL_USD)
    path = "/v1/payment_intents"
    shop.stripe.faults.add(Fault(BREAK, path=path, method="POST", status=500, times=1))
    async with worker_of(shop) as worker:
        assert await worker.recharges.run_once() == 0
        other, _ = await saved(shop)
        await allow(shop, other, monthly_cap=SMALL_USD)
        await as_owner(shop, LATER)
        assert await worker.recharges.run_once() == 1
        assert (await shop.balance(other))[1] == 2 * SMALL_TOKENS
        # Stripe gives that error for as long as it keeps the idempotency key: then it is looked up.
        at = "created_at = now() - interval '13 hours', looked_at = now() - interval '13 hours'"
        await as_owner(shop, f"update topup_order set {at} where state = 'created'")
        await worker.recharges.run_once()
    assert (await shown(shop, broken))["order_in_flight"] is None
    assert (await shop.balance(broken))[1] == SMALL_TOKENS
    assert await shop.proven()


async def test_saying_it_again_and_again_charges_a_declined_card_once(shop: Shop) -> None:
    key, method = await saved(shop)
    shop.stripe.behave(method, "insufficient_funds")
    async with worker_of(shop) as worker:
        for _ in range(3):
            assert (await allow(shop, key)).status == 200
            await worker.recharges.run_once()
        await shop.door.ask("DELETE", "/v1/billing/auto-recharge", bearer=key)
        assert (await allow(shop, key)).json()["declines"] == 1
        await worker.recharges.run_once()
    assert await _notes(shop, key) == ["insufficient_funds"]


async def test_an_owner_reads_that_his_card_is_gone_and_it_is_not_tried_again(shop: Shop) -> None:
    key, method = await saved(shop)
    shop.stripe.object(method)["customer"] = None
    async with owner_listening() as owner, worker_of(shop) as worker:
        await allow(shop, key, notify_url=owner.url)
        assert await worker.recharges.run_once() == 0
        await worker.notifier.run_once()
        assert sorted(owner.kinds()) == ["recharge.failed", "recharge.stopped"]
        told = {document["type"]: document["data"] for document, _, _ in owner.heard}
    assert "saved way to pay is gone" in told["recharge.failed"]["note"]
    assert told["recharge.stopped"]["why"] == "no_payment_method"
    assert (await shown(shop, key))["enabled"] is False
    told_again = await allow(shop, key)
    assert told_again.json()["code"] == "RECHARGE_NEEDS_PAYMENT_METHOD"


async def test_another_currency_does_not_begin_the_months_cap_anew(shop: Shop) -> None:
    key, _ = await saved(shop)
    async with worker_of(shop) as worker:
        await allow(shop, key, monthly_cap=2 * SMALL_USD)
        for _ in range(3):
            await worker.recharges.run_once()
        # Two packs of 470 were bought: within 1,400 one is left, within 1,000 none.
        await allow(shop, key, currency="eur", monthly_cap=1_000)
        await worker.recharges.run_once()
        assert len(await _notes(shop, key)) == 2
        await allow(shop, key, currency="eur", monthly_cap=1_410)
        for _ in range(2):
            await worker.recharges.run_once()
        assert len(await _notes(shop, key)) == 3
    assert await shop.proven()
