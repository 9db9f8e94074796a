"""Idempotency-Key, and outages of the API: what a retry may rely on."""

import asyncio
from typing import Any

import aiohttp
import pytest
import stripe

from tests.stripe_standin import BREAK, DROP, LOSE_ANSWER, SLOW, STATUS, Fault, StandIn


async def _customer(client: stripe.StripeClient, name: str, key: str) -> stripe.Customer:
    return await client.v1.customers.create_async({"name": name}, {"idempotency_key": key})


async def test_the_same_key_and_parameters_answer_the_same_object_once_made(
    standin: StandIn, client: stripe.StripeClient
) -> None:
    first = await _customer(client, "Ada", "k")
    second = await _customer(client, "Ada", "k")
    assert first.id == second.id
    assert len(standin.desk.world.all("customer")) == 1
    assert second.last_response is not None
    assert second.last_response.headers["Idempotent-Replayed"] == "true"


async def test_other_parameters_with_the_same_key_are_an_idempotency_error(
    client: stripe.StripeClient,
) -> None:
    await _customer(client, "Ada", "k")
    with pytest.raises(stripe.IdempotencyError) as refused:
        await _customer(client, "Bob", "k")
    assert refused.value.http_status == 400


async def test_another_address_with_the_same_key_is_an_idempotency_error(
    client: stripe.StripeClient,
) -> None:
    await _customer(client, "Ada", "k")
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.products.create_async({"name": "Ada"}, {"idempotency_key": "k"})


async def test_a_decline_is_answered_again_and_the_card_is_not_asked_twice(
    standin: StandIn, client: stripe.StripeClient
) -> None:
    customer = await _customer(client, "Ada", "c")
    token = "pm_card_chargeDeclinedInsufficientFunds"
    method = await client.v1.payment_methods.attach_async(token, {"customer": customer.id})
    asked: Any = {
        "amount": 500,
        "currency": "usd",
        "customer": customer.id,
        "payment_method": method.id,
        "off_session": True,
        "confirm": True,
    }
    told = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            await client.v1.payment_intents.create_async(asked, {"idempotency_key": "pay"})
        told.append(declined.value.json_body)
    assert told[0] == told[1]
    assert len(standin.desk.world.all("charge")) == 1


async def test_a_refused_parameter_does_not_use_the_key_up(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.payment_intents.create_async(
            {"amount": 1, "currency": "usd"}, {"idempotency_key": "k"}
        )
    made = await client.v1.payment_intents.create_async(
        {"amount": 100, "currency": "usd"}, {"idempotency_key": "k"}
    )
    assert made.amount == 100


async def test_two_at_once_with_one_key_are_a_conflict_for_the_second(
    standin: StandIn, client: stripe.StripeClient
) -> None:
    standin.faults.add(Fault(SLOW, seconds=2.0, times=1))
    first = asyncio.create_task(_customer(client, "Ada", "k"))
    await asyncio.sleep(0.5)
    with pytest.raises(stripe.APIError) as refused:
        await _customer(client, "Ada", "k")
    assert refused.value.http_status == 409
    assert refused.value.error is not None
    assert refused.value.error.code == "idempotency_key_in_use"
    assert (await first).name == "Ada"


async def test_a_lost_answer_was_done_and_a_retry_with_the_key_gets_it(
    standin: StandIn, client: stripe.StripeClient
) -> None:
    standin.faults.add(Fault(LOSE_ANSWER, times=1))
    with pytest.raises(stripe.APIConnectionError):
        await _customer(client, "Ada", "k")
    assert len(standin.desk.world.all("customer")) == 1
    assert (await _customer(client, "Ada", "k")).name == "Ada"
    assert len(standin.desk.world.all("customer")) == 1


async def test_an_error_in_the_midst_is_answered_for_ever_under_its_key(
    standin: StandIn, client: stripe.StripeClient
) -> None:
    standin.faults.add(Fault(BREAK, status=500, times=1))
    for _ in range(2):
        with pytest.raises(stripe.APIError) as broken:
            await _customer(client, "Ada", "k")
        assert broken.value.http_status == 500
    assert (await _customer(client, "Ada", "other")).name == "Ada"


async def test_a_dropped_request_was_not_done(
    standin: StandIn, client: stripe.StripeClient
) -> None:
    standin.faults.add(Fault(DROP, times=1))
    with pytest.raises(stripe.APIConnectionError):
        await _customer(client, "Ada", "k")
    assert standin.desk.world.all("customer") == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, stripe.AuthenticationError),
        (403, stripe.PermissionError),
        (429, stripe.RateLimitError),
        (500, stripe.APIError),
        (503, stripe.APIError),
    ],
)
async def test_an_outage_is_what_the_library_raises_for_it(
    standin: StandIn, client: stripe.StripeClient, status: int, kind: type[stripe.StripeError]
) -> None:
    standin.faults.add(Fault(STATUS, path="/v1/customers", status=status, times=1))
    with pytest.raises(kind) as refused:
        await _customer(client, "Ada", "k")
    assert refused.value.http_status == status
    assert (await _customer(client, "Ada", "k")).name == "Ada"


async def test_an_unknown_address_and_a_body_of_json_are_refused(
    standin: StandIn, browser: aiohttp.ClientSession
) -> None:
    auth = {"Authorization": f"Bearer {standin.secret_key}"}
    async with browser.get(f"{standin.base_url}/v1/nothing", headers=auth) as reply:
        assert reply.status == 404
        assert "Unrecognized request URL" in (await reply.json())["error"]["message"]
    url = f"{standin.base_url}/v1/customers"
    async with browser.post(url, headers=auth, json={"name": "Ada"}) as reply:
        assert reply.status == 400
