"""Payments without the buyer, customers, what is sold, and what an answer looks like."""

from typing import Any

import pytest
import stripe

from tests.stripe_standin import AUTHENTICATES, SETTLES_LATER, StandIn


async def _card(client: stripe.StripeClient, token: str = "pm_card_visa") -> tuple[str, str]:
    customer = await client.v1.customers.create_async({"email": "ada@example.com"})
    method = await client.v1.payment_methods.attach_async(token, {"customer": customer.id})
    return customer.id, method.id


async def _charge(
    client: stripe.StripeClient, customer: str, method: str, amount: int = 5_000
) -> stripe.PaymentIntent:
    return await client.v1.payment_intents.create_async(
        {
            "amount": amount,
            "currency": "usd",
            "customer": customer,
            "payment_method": method,
            "off_session": True,
            "confirm": True,
            "metadata": {"order": "7"},
        }
    )


async def test_a_saved_card_is_charged_without_the_buyer(
    standin: StandIn, client: stripe.StripeClient
) -> None:
    customer, method = await _card(client)
    intent = await _charge(client, customer, method)
    assert (intent.status, intent.amount_received) == ("succeeded", 5_000)
    assert standin.charge(intent.id)["metadata"] == {"order": "7"}
    listed = await client.v1.payment_intents.list_async({"customer": customer})
    assert [one.id for one in listed.data] == [intent.id]


@pytest.mark.parametrize(
    ("behaviour", "code", "decline_code"),
    [
        ("insufficient_funds", "card_declined", "insufficient_funds"),
        ("generic_decline", "card_declined", "generic_decline"),
        ("expired_card", "expired_card", None),
        (AUTHENTICATES, "authentication_required", "authentication_required"),
    ],
)
async def test_a_declined_card_raises_and_leaves_an_intent_behind(
    standin: StandIn,
    client: stripe.StripeClient,
    behaviour: str,
    code: str,
    decline_code: str | None,
) -> None:
    customer, method = await _card(client)
    standin.behave(method, behaviour)
    with pytest.raises(stripe.CardError) as declined:
        await _charge(client, customer, method)
    error = declined.value
    assert (error.http_status, error.code) == (402, code)
    assert error.error is not None
    assert error.error.decline_code == decline_code
    intent = error.error.payment_intent
    assert intent is not None
    kept = await client.v1.payment_intents.retrieve_async(intent.id)
    assert kept.status == "requires_payment_method"
    assert standin.events()[-1]["type"] == "payment_intent.payment_failed"
    assert standin.desk.world.all("balance_transaction") == []


async def test_a_debit_of_a_saved_account_is_processing_until_it_settles(
    standin: StandIn, client: stripe.StripeClient
) -> None:
    customer, method = await _card(client)
    standin.behave(method, SETTLES_LATER)
    intent = await _charge(client, customer, method)
    assert intent.status == "processing"
    await standin.settle(intent.id)
    assert (await client.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"


async def test_the_card_of_another_customer_is_refused(client: stripe.StripeClient) -> None:
    _, method = await _card(client)
    other, _ = await _card(client)
    with pytest.raises(stripe.InvalidRequestError, match="belongs to a customer"):
        await _charge(client, other, method)


async def test_a_payment_that_waits_can_be_cancelled_and_a_paid_one_cannot(
    client: stripe.StripeClient,
) -> None:
    waiting = await client.v1.payment_intents.create_async({"amount": 500, "currency": "eur"})
    assert (await client.v1.payment_intents.cancel_async(waiting.id)).status == "canceled"
    paid = await _charge(client, *await _card(client))
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.payment_intents.cancel_async(paid.id)
    assert refused.value.code == "payment_intent_unexpected_state"


async def test_a_detached_card_belongs_to_nobody(client: stripe.StripeClient) -> None:
    customer, method = await _card(client)
    await client.v1.payment_methods.detach_async(method)
    listed = await client.v1.customers.payment_methods.list_async(customer)
    assert listed.data == []


async def test_a_customer_is_made_changed_found_and_deleted(client: stripe.StripeClient) -> None:
    made = await client.v1.customers.create_async(
        {"email": "a@example.com", "metadata": {"k": "1"}}
    )
    changed = await client.v1.customers.update_async(
        made.id, {"name": "Ada", "metadata": {"l": "2"}}
    )
    assert changed.to_dict()["name"] == "Ada"
    assert changed.to_dict()["metadata"] == {"k": "1", "l": "2"}
    found = await client.v1.customers.list_async({"email": "a@example.com"})
    assert [one.id for one in found.data] == [made.id]
    await client.v1.customers.delete_async(made.id)
    assert (await client.v1.customers.retrieve_async(made.id)).deleted is True
    assert (await client.v1.customers.list_async({"email": "a@example.com"})).data == []


async def test_products_prices_and_promotion_codes_are_made_and_found(
    client: stripe.StripeClient,
) -> None:
    product = await client.v1.products.create_async({"name": "Pack"})
    price = await client.v1.prices.create_async(
        {"product": product.id, "currency": "eur", "unit_amount": 900, "lookup_key": "small"}
    )
    found = await client.v1.prices.list_async(
        {"lookup_keys": ["small"], "expand": ["data.product"]}
    )
    assert [(one.id, one.unit_amount) for one in found.data] == [(price.id, 900)]
    assert isinstance(found.data[0].product, stripe.Product)
    coupon = await client.v1.coupons.create_async({"percent_off": 10})
    await client.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "TEN"}
    )
    codes = await client.v1.promotion_codes.list_async({"code": "TEN"})
    assert [one.promotion.coupon for one in codes.data] == [coupon.id]


async def test_what_is_not_there_is_404_and_says_which(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.payment_intents.retrieve_async("pi_unknown")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    assert "pi_unknown" in str(refused.value)
    assert refused.value.request_id is not None


@pytest.mark.parametrize("key", ["sk_test_other", "sk_live_standin", "pk_test_standin"])
async def test_another_key_is_401(standin: StandIn, key: str) -> None:
    http: Any = stripe.AIOHTTPClient()
    other = stripe.StripeClient(key, base_addresses={"api": standin.base_url}, http_client=http)
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key"):
        await other.v1.balance.retrieve_async()
    await http.close_async()


async def test_the_request_of_the_library_is_kept_with_its_headers(
    standin: StandIn, client: stripe.StripeClient
) -> None:
    await client.v1.customers.create_async({"name": "Ada"}, {"idempotency_key": "k-1"})
    seen = standin.requests[-1]
    assert (seen.method, seen.path, seen.params) == ("POST", "/v1/customers", {"name": "Ada"})
    assert seen.headers["idempotency-key"] == "k-1"
    assert seen.headers["stripe-version"].startswith("20")
    assert seen.status == 200
