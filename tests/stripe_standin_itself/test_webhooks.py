"""Events: what they show, how they are signed and delivered, and how badly on command."""

import time

import pytest
import stripe

from tests.stripe_standin import StandIn
from tests.stripe_standin_itself.conftest import Hook, Open


async def _paid(standin: StandIn, opened: Open) -> list[str]:
    session = await opened()
    await standin.pay(session.id)
    await standin.idle()
    return [event["type"] for event in standin.events()]


async def test_every_event_arrives_once_in_order_and_the_library_takes_the_signature(
    standin: StandIn, hook: Hook, opened: Open
) -> None:
    happened = await _paid(standin, opened)
    got = hook.events(standin.webhook_secret)
    assert [event.type for event in got] == happened
    assert "checkout.session.completed" in happened
    session = got[-1].data.object
    assert isinstance(session, stripe.checkout.Session)
    assert session.payment_status == "paid"


async def test_a_name_beyond_ascii_is_signed_as_it_is_sent(standin: StandIn, hook: Hook) -> None:
    customer = standin.desk.world.add(
        {"id": "cus_1", "object": "customer", "created": 1, "name": "Žofie 李"}
    )
    standin.desk.world.emit("customer.created", customer)
    await standin.idle()
    event = hook.events(standin.webhook_secret)[0]
    assert event.data.object["name"] == "Žofie 李"


async def test_another_secret_is_refused_and_either_of_two_is_taken(
    standin: StandIn, hook: Hook, opened: Open
) -> None:
    standin.courier.endpoints[0].secrets = ["whsec_old", "whsec_new"]
    await _paid(standin, opened)
    for secret in ("whsec_old", "whsec_new"):
        assert hook.events(secret)
    with pytest.raises(stripe.SignatureVerificationError):
        hook.events("whsec_other")


async def test_an_old_and_a_forged_delivery_are_refused_by_the_library(
    standin: StandIn, hook: Hook, opened: Open
) -> None:
    standin.courier.hold()
    await _paid(standin, opened)
    event = standin.events()[0]
    await standin.courier.deliver(event, at=int(time.time()) - 301)
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        hook.events(standin.webhook_secret)
    hook.got.clear()
    await standin.courier.deliver(event, secrets=["whsec_forged"])
    with pytest.raises(stripe.SignatureVerificationError):
        hook.events(standin.webhook_secret)


async def test_what_is_not_taken_is_sent_again_until_it_is(
    standin: StandIn, hook: Hook, opened: Open
) -> None:
    standin.courier.retry_s = (0.01, 0.01)
    hook.answers = [500, 404]
    happened = await _paid(standin, opened)
    got = [event.type for event in hook.events(standin.webhook_secret)]
    assert sorted(set(got)) == sorted(set(happened))
    assert len(got) == len(happened) + 2


async def test_after_the_last_retry_an_event_is_given_up(
    standin: StandIn, hook: Hook, opened: Open
) -> None:
    standin.courier.retry_s = (0.01,)
    hook.answers = [500] * 100
    happened = await _paid(standin, opened)
    assert len(hook.got) == 2 * len(happened)
    assert {attempt.status for attempt in standin.courier.attempts} == {500}


async def test_an_endpoint_that_is_not_there_harms_nothing(standin: StandIn, opened: Open) -> None:
    standin.webhook_url = "http://127.0.0.1:9/hook"
    standin.courier.retry_s = ()
    await _paid(standin, opened)
    assert {attempt.status for attempt in standin.courier.attempts} == {0}


async def test_held_events_are_delivered_in_whatever_order_is_asked_for(
    standin: StandIn, hook: Hook, opened: Open
) -> None:
    standin.courier.hold()
    happened = await _paid(standin, opened)
    assert hook.got == []
    for event in reversed(standin.events()):
        assert await standin.courier.deliver(event) == 200
    got = [event.type for event in hook.events(standin.webhook_secret)]
    assert got == list(reversed(happened))
    assert standin.courier.held == []


async def test_release_delivers_what_was_held(standin: StandIn, hook: Hook, opened: Open) -> None:
    standin.courier.hold()
    happened = await _paid(standin, opened)
    standin.courier.release()
    await standin.idle()
    assert [event.type for event in hook.events(standin.webhook_secret)] == happened


async def test_events_are_repeated_lost_and_late_on_command(
    standin: StandIn, hook: Hook, opened: Open
) -> None:
    standin.courier.copies = 3
    standin.courier.delay_s = 0.05
    standin.courier.lose("charge.*")
    began = time.monotonic()
    happened = await _paid(standin, opened)
    assert time.monotonic() - began >= 0.05
    got = [event.type for event in hook.events(standin.webhook_secret)]
    assert "charge.succeeded" not in got
    assert len(got) == 3 * (len(happened) - 1)
    assert [event["type"] for event in standin.courier.lost] == ["charge.succeeded"]


async def test_shuffled_events_all_arrive(standin: StandIn, hook: Hook, opened: Open) -> None:
    standin.courier.shuffle_s = 0.05
    happened = await _paid(standin, opened)
    got = [event.type for event in hook.events(standin.webhook_secret)]
    assert sorted(got) == sorted(happened)


async def test_a_lost_event_is_still_found_by_the_api(
    standin: StandIn, client: stripe.StripeClient, hook: Hook, opened: Open
) -> None:
    standin.courier.lose("*", 1_000)
    began = int(time.time())
    happened = await _paid(standin, opened)
    assert hook.got == []
    listed = await client.v1.events.list_async({"created": {"gte": began}, "limit": 100})
    assert [event.type for event in reversed(listed.data)] == happened
    wanted = "checkout.session.completed"
    by_type = await client.v1.events.list_async({"types": [wanted, "invoice.paid"]})
    assert {event.type for event in by_type.data} == {wanted, "invoice.paid"}
    one = await client.v1.events.retrieve_async(by_type.data[0].id)
    assert one.to_dict() == by_type.data[0].to_dict()


async def test_an_event_keeps_showing_the_object_as_it_was(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    session = await opened()
    await standin.pay_by_debit(session.id)
    completed = standin.events("checkout.session.completed")[0]
    await standin.settle(session.id)
    again = await client.v1.events.retrieve_async(completed["id"])
    assert again.data.object["payment_status"] == "unpaid"


async def test_an_old_version_is_told_and_its_objects_differ(
    standin: StandIn, hook: Hook, opened: Open
) -> None:
    standin.use_version("2020-08-27")
    await _paid(standin, opened)
    got = hook.events(standin.webhook_secret)
    assert {event.api_version for event in got} == {"2020-08-27"}
    intent = next(event for event in got if event.type == "payment_intent.succeeded").data.object
    assert "latest_charge" not in intent
    assert intent["charges"]["data"][0]["status"] == "succeeded"


async def test_an_endpoint_made_by_the_api_gets_what_it_asked_for(
    standin: StandIn, client: stripe.StripeClient, hook: Hook, opened: Open
) -> None:
    standin.webhook_url = None
    made = await client.v1.webhook_endpoints.create_async(
        {"url": hook.url, "enabled_events": ["invoice.paid"]}
    )
    assert made.secret is not None
    await _paid(standin, opened)
    assert [event.type for event in hook.events(made.secret)] == ["invoice.paid"]
    await client.v1.webhook_endpoints.delete_async(made.id)
    assert standin.webhook_url is None
