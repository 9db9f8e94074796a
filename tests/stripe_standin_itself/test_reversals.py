"""Refunds and disputes: the objects, the events and the movements of the balance agree."""

import pytest
import stripe

from tests.stripe_standin import ApiError, StandIn
from tests.stripe_standin_itself.conftest import Open


async def _paid(standin: StandIn, opened: Open) -> str:
    session = await opened()
    await standin.pay(session.id)
    return session.id


def _kinds_since(standin: StandIn, before: int) -> list[str]:
    return [event["type"] for event in standin.events()[before:]]


async def test_refunds_add_up_on_the_charge_until_all_is_back(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    session = await _paid(standin, opened)
    charge = standin.charge(session)
    before = len(standin.events())
    first = await client.v1.refunds.create_async(
        {"payment_intent": charge["payment_intent"], "amount": 500}
    )
    assert (first.amount, first.status, first.charge) == (500, "succeeded", charge["id"])
    assert (charge["amount_refunded"], charge["refunded"]) == (500, False)
    assert _kinds_since(standin, before)[:2] == ["refund.created", "charge.refunded"]
    second = await client.v1.refunds.create_async({"charge": charge["id"]})
    assert second.amount == 1_500
    assert (charge["amount_refunded"], charge["refunded"]) == (2_000, True)
    listed = await client.v1.refunds.list_async({"charge": charge["id"]})
    assert [one.id for one in listed.data] == [second.id, first.id]
    expanded = await client.v1.charges.retrieve_async(charge["id"], {"expand": ["refunds"]})
    assert expanded.refunds is not None
    assert len(expanded.refunds.data) == 2


async def test_the_event_of_a_refund_shows_the_charge_as_it_was_then(
    standin: StandIn, opened: Open
) -> None:
    session = await _paid(standin, opened)
    for amount in (300, 700):
        await standin.refund(session, amount)
    told = [
        event["data"]["object"]["amount_refunded"] for event in standin.events("charge.refunded")
    ]
    assert told == [300, 1_000]
    previous = standin.events("charge.refunded")[1]["data"]["previous_attributes"]
    assert previous["amount_refunded"] == 300


async def test_more_than_is_left_cannot_be_refunded(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    charge = standin.charge(await _paid(standin, opened))["id"]
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        await client.v1.refunds.create_async({"charge": charge, "amount": 2_001})
    await standin.refund(charge)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.refunds.create_async({"charge": charge})
    assert refused.value.code == "charge_already_refunded"


async def test_a_refund_that_fails_is_taken_off_the_charge_again(
    standin: StandIn, opened: Open
) -> None:
    session = await _paid(standin, opened)
    refund = await standin.refund(session, 800, pending=True)
    assert refund["status"] == "pending"
    await standin.refund_fails(refund["id"])
    charge = standin.charge(session)
    assert (charge["amount_refunded"], charge["refunded"]) == (0, False)
    assert standin.object(refund["failure_balance_transaction"])["amount"] == 800
    assert standin.events()[-1]["type"] == "refund.failed"


async def test_a_won_dispute_withdraws_and_reinstates(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    session = await _paid(standin, opened)
    before = len(standin.events())
    made = await standin.dispute(session)
    assert standin.charge(session)["disputed"] is True
    await standin.win(made["id"])
    assert _kinds_since(standin, before) == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]
    dispute = await client.v1.disputes.retrieve_async(made["id"])
    assert (dispute.status, dispute.amount) == ("won", 2_000)
    assert [moved.amount for moved in dispute.balance_transactions] == [-2_000, 2_000]
    found = await client.v1.disputes.list_async({"payment_intent": str(dispute.payment_intent)})
    assert [one.id for one in found.data] == [dispute.id]


async def test_a_lost_dispute_gives_nothing_back_and_ends_once(
    standin: StandIn, opened: Open
) -> None:
    session = await _paid(standin, opened)
    made = await standin.dispute(session, 1_200)
    await standin.lose(made["id"])
    assert standin.object(made["id"])["status"] == "lost"
    assert standin.events("charge.dispute.funds_reinstated") == []
    with pytest.raises(ApiError, match="already lost"):
        await standin.win(made["id"])


async def test_a_lost_dispute_may_be_won_by_an_appeal(standin: StandIn, opened: Open) -> None:
    session = await _paid(standin, opened)
    made = await standin.dispute(session)
    with pytest.raises(ApiError, match="nothing to appeal"):
        await standin.appeal(made["id"])
    await standin.lose(made["id"])
    assert (await standin.appeal(made["id"]))["status"] == "appeal_under_review"
    await standin.win(made["id"])
    assert made["status"] == "won"
    assert [moved["amount"] for moved in made["balance_transactions"]] == [-2_000, 2_000]


async def test_a_disputed_charge_cannot_be_refunded(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    session = await _paid(standin, opened)
    await standin.dispute(session)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.refunds.create_async({"charge": standin.charge(session)["id"]})
    assert refused.value.code == "charge_disputed"


async def test_an_inquiry_takes_nothing_until_it_becomes_a_dispute(
    standin: StandIn, opened: Open
) -> None:
    session = await _paid(standin, opened)
    made = await standin.dispute(session, inquiry=True)
    assert made["status"] == "warning_needs_response"
    assert standin.events("charge.dispute.funds_withdrawn") == []
    await standin.escalate(made["id"])
    assert len(standin.events("charge.dispute.funds_withdrawn")) == 1


async def test_evidence_puts_a_dispute_under_review(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    made = await standin.dispute(await _paid(standin, opened))
    told = await client.v1.disputes.update_async(
        made["id"], {"evidence": {"product_description": "tokens"}}
    )
    assert told.status == "under_review"
    assert standin.events()[-1]["type"] == "charge.dispute.updated"


async def test_every_movement_is_listed_by_time_type_and_source(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    session = await _paid(standin, opened)
    charge = standin.charge(session)
    refund = await standin.refund(session, 500)
    dispute = await standin.dispute(session, 700)
    await standin.win(dispute["id"])
    listed = await client.v1.balance_transactions.list_async({"limit": 100})
    told = [(one.type, one.amount, one.reporting_category) for one in listed.data]
    assert told == [
        ("adjustment", 700, "dispute_reversal"),
        ("adjustment", -700, "dispute"),
        ("refund", -500, "refund"),
        ("charge", 2_000, "charge"),
    ]
    assert all(one.net == one.amount - one.fee for one in listed.data)
    by_type = await client.v1.balance_transactions.list_async({"type": "refund"})
    assert [one.source for one in by_type.data] == [refund["id"]]
    by_source = await client.v1.balance_transactions.list_async({"source": charge["id"]})
    assert [one.amount for one in by_source.data] == [2_000]
    later = await client.v1.balance_transactions.list_async(
        {"created": {"gt": charge["created"] + 60}}
    )
    assert later.data == []
