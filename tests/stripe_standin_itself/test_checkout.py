"""Checkout sessions by the API, and how each ends."""

import time

import pytest
import stripe

from tests.stripe_standin import AUTHENTICATES, StandIn
from tests.stripe_standin_itself.conftest import Open


def kinds(standin: StandIn) -> list[str]:
    """The types of all events so far."""
    return [event["type"] for event in standin.events()]


async def test_a_session_is_open_and_unpaid_and_has_no_intent_yet(opened: Open) -> None:
    session = await opened()
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert (session.amount_total, session.currency, session.livemode) == (2_000, "usd", False)
    assert session.payment_intent is None
    assert "line_items" not in session.to_dict()
    assert session.metadata is not None
    assert session.metadata["order"] == "1"


async def test_a_paid_session_has_intent_charge_customer_and_invoice(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    made = await opened(payment_intent_data={"setup_future_usage": "off_session"})
    await standin.pay(made.id, email="ada@example.com")
    expand = ["payment_intent.latest_charge.balance_transaction", "invoice", "customer"]
    session = await client.v1.checkout.sessions.retrieve_async(made.id, {"expand": expand})
    assert (session.status, session.payment_status) == ("complete", "paid")
    intent, invoice, customer = session.payment_intent, session.invoice, session.customer
    assert isinstance(intent, stripe.PaymentIntent)
    assert (intent.status, intent.amount_received) == ("succeeded", 2_000)
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    moved = charge.balance_transaction
    assert isinstance(moved, stripe.BalanceTransaction)
    assert (moved.amount, moved.net, moved.type) == (2_000, 2_000 - moved.fee, "charge")
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.status, invoice.amount_paid, invoice.amount_remaining) == ("paid", 2_000, 0)
    assert isinstance(customer, stripe.Customer)
    assert customer.email == "ada@example.com"
    methods = await client.v1.payment_methods.list_async({"customer": customer.id, "type": "card"})
    assert [method.id for method in methods.data] == [intent.payment_method]


async def test_line_items_are_there_when_expanded_and_by_their_own_address(
    client: stripe.StripeClient, opened: Open
) -> None:
    made = await opened()
    expanded = await client.v1.checkout.sessions.retrieve_async(
        made.id, {"expand": ["line_items.data.price.product"]}
    )
    assert expanded.line_items is not None
    price = expanded.line_items.data[0].price
    assert price is not None
    assert isinstance(price.product, stripe.Product)
    assert price.product.name == "1 million tokens"
    alone = await client.v1.checkout.sessions.line_items.list_async(made.id)
    assert [line.amount_total for line in alone.data] == [2_000]


async def test_a_declined_card_leaves_the_session_open_and_a_second_card_pays_it(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    made = await opened()
    await standin.decline(made.id, "insufficient_funds")
    session = await client.v1.checkout.sessions.retrieve_async(made.id)
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert isinstance(session.payment_intent, str)
    intent = await client.v1.payment_intents.retrieve_async(session.payment_intent)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.decline_code == "insufficient_funds"
    await standin.pay(made.id)
    again = await client.v1.checkout.sessions.retrieve_async(made.id)
    assert (again.payment_status, again.payment_intent) == ("paid", session.payment_intent)
    assert kinds(standin).count("checkout.session.completed") == 1


@pytest.mark.parametrize(
    ("comes_in", "last", "status"),
    [
        (True, "checkout.session.async_payment_succeeded", "paid"),
        (False, "checkout.session.async_payment_failed", "unpaid"),
    ],
)
async def test_a_bank_debit_completes_unpaid_and_ends_later(
    standin: StandIn, opened: Open, comes_in: bool, last: str, status: str
) -> None:
    made = await opened()
    session = await standin.pay_by_debit(made.id)
    assert (session["status"], session["payment_status"]) == ("complete", "unpaid")
    assert session["invoice"] is None
    assert kinds(standin)[-1] == "checkout.session.completed"
    assert standin.object(session["payment_intent"])["status"] == "processing"
    await (standin.settle if comes_in else standin.bounce)(made.id)
    assert session["payment_status"] == status
    assert kinds(standin)[-1] == last
    assert (session["invoice"] is not None) == comes_in


async def test_a_card_that_asks_for_proof_is_paid_once_it_is_given(
    standin: StandIn, opened: Open
) -> None:
    made = await opened()
    session = await standin.pay(made.id, behaviour=AUTHENTICATES)
    assert session["status"] == "open"
    assert standin.object(session["payment_intent"])["status"] == "requires_action"
    await standin.prove(made.id, passed=False)
    assert standin.object(session["payment_intent"])["status"] == "requires_payment_method"
    await standin.pay(made.id, behaviour=AUTHENTICATES)
    await standin.prove(made.id)
    assert session["payment_status"] == "paid"


async def test_a_promotion_code_lowers_and_tax_raises_what_is_paid(
    standin: StandIn, opened: Open
) -> None:
    standin.promotion("QUARTER", percent=25)
    made = await opened(allow_promotion_codes=True, automatic_tax={"enabled": True})
    session = await standin.pay(made.id, promotion_code="quarter", country="DE")
    assert session["total_details"]["amount_discount"] == 500
    assert session["total_details"]["amount_tax"] == 285
    assert session["amount_subtotal"] == 2_000
    assert session["amount_total"] == 1_785
    assert standin.charge(made.id)["amount"] == 1_785


async def test_a_code_for_all_of_it_needs_no_payment_and_makes_no_intent(
    standin: StandIn, opened: Open
) -> None:
    standin.promotion("GIFT", percent=100)
    made = await opened(allow_promotion_codes=True)
    session = await standin.pay(made.id, promotion_code="GIFT")
    assert session["payment_status"] == "no_payment_required"
    assert session["payment_intent"] is None
    assert session["amount_total"] == 0
    assert standin.object(session["invoice"])["amount_paid"] == 0


async def test_a_late_invoice_comes_after_everything_else(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    standin.late_invoices()
    made = await opened()
    session = await standin.pay(made.id)
    assert (session["payment_status"], session["invoice"]) == ("paid", None)
    assert not [kind for kind in kinds(standin) if kind.startswith("invoice")]
    invoice = await standin.issue_invoice(made.id)
    assert session["invoice"] == invoice["id"]
    assert "invoice.paid" in kinds(standin)


async def test_a_currency_without_cents_is_charged_in_whole_units(
    standin: StandIn, opened: Open
) -> None:
    made = await opened(1_500, "jpy")
    await standin.pay(made.id, country="JP")
    assert (standin.charge(made.id)["amount"], standin.charge(made.id)["currency"]) == (
        1_500,
        "jpy",
    )


async def test_an_expired_session_cannot_be_paid_nor_expired_again(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    made = await opened()
    session = await client.v1.checkout.sessions.expire_async(made.id)
    assert (session.status, session.url) == ("expired", None)
    assert kinds(standin) == ["checkout.session.expired"]
    with pytest.raises(stripe.InvalidRequestError, match="status of expired"):
        await client.v1.checkout.sessions.expire_async(made.id)


async def test_a_session_expires_by_itself_when_its_time_is_over(
    standin: StandIn, client: stripe.StripeClient, opened: Open
) -> None:
    made = await opened(expires_at=int(time.time()) + 1_800)
    standin.advance(1_801)
    assert (await client.v1.checkout.sessions.retrieve_async(made.id)).status == "expired"
    assert kinds(standin) == ["checkout.session.expired"]


async def test_sessions_are_listed_newest_first_a_page_at_a_time(
    client: stripe.StripeClient, opened: Open
) -> None:
    ids = [(await opened()).id for _ in range(5)]
    first = await client.v1.checkout.sessions.list_async({"limit": 2})
    assert [one.id for one in first.data] == [ids[4], ids[3]]
    assert first.has_more
    every = [one.id async for one in first.auto_paging_iter()]
    assert every == list(reversed(ids))


REFUSED = [
    ({"mode": "pay"}, "mode"),
    ({"modus": "payment"}, "modus"),
    ({"line_items": []}, "line_items"),
    ({"success_url": "shop"}, "success_url"),
    ({"expires_at": 12}, "expires_at"),
    ({"customer": "cus_unknown"}, "customer"),
    ({"payment_intent_data": {"meta": {"a": "b"}}}, "payment_intent_data[meta]"),
    ({"amount_total": 3}, "amount_total"),
]


@pytest.mark.parametrize(("asked", "param"), REFUSED)
async def test_what_stripe_refuses_is_refused_with_the_field_named(
    opened: Open, asked: dict[str, object], param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await opened(**asked)
    assert refused.value.http_status == 400
    assert refused.value.param == param


@pytest.mark.parametrize(("amount", "currency"), [(49, "usd"), (100_000_000, "usd"), (10, "eur")])
async def test_an_amount_out_of_bounds_is_refused(opened: Open, amount: int, currency: str) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await opened(amount, currency)


async def test_an_unknown_currency_is_refused(opened: Open) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Invalid currency: xyz"):
        await opened(2_000, "xyz")
