"""The hosted page and the operator's page, as a browser without scripts uses them."""

from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest

from tests.stripe_standin import StandIn
from tests.stripe_standin_itself.conftest import Open


class _Fields(HTMLParser):
    """Names of the fields, and ids without a label."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag in ("input", "select") and told.get("type") != "hidden":
            self.names.add(str(told.get("name")))
            self.ids.append(str(told.get("id")))
        if tag == "label":
            self.labelled.add(str(told.get("for")))


async def _get(browser: aiohttp.ClientSession, url: str) -> str:
    async with browser.get(url) as reply:
        assert reply.status == 200
        return await reply.text()


async def _post(browser: aiohttp.ClientSession, url: str, **fields: str) -> tuple[int, str, str]:
    async with browser.post(url, data=fields, allow_redirects=False) as reply:
        return reply.status, reply.headers.get("Location", ""), await reply.text()


async def test_the_page_shows_what_is_bought_and_has_a_label_for_every_field(
    browser: aiohttp.ClientSession, opened: Open
) -> None:
    session = await opened(allow_promotion_codes=True)
    text = await _get(browser, str(session.url))
    assert "1 million tokens" in text
    assert "20.00 USD" in text
    assert "<script" not in text
    fields = _Fields(text)
    assert fields.names >= {"email", "card", "country", "method", "promotion_code"}
    assert set(fields.ids) <= fields.labelled
    assert len(set(fields.ids)) == len(fields.ids)


async def test_a_card_pays_and_leads_back_to_the_shop_with_the_session(
    standin: StandIn, browser: aiohttp.ClientSession, opened: Open
) -> None:
    session = await opened()
    told = await _post(browser, str(session.url), email="a@example.com", card="4242424242424242")
    assert told[:2] == (303, f"http://shop.test/paid?session={session.id}")
    assert standin.session(session.id)["payment_status"] == "paid"
    assert "has been paid already" in await _get(browser, str(session.url))
    again = await _post(browser, str(session.url), email="a@example.com")
    assert again[0] == 400
    assert len(standin.desk.world.all("charge")) == 1


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ("4000 0000 0000 0002", "was declined"),
        ("4000000000009995", "insufficient funds"),
        ("4000000000000069", "expired"),
        ("1234", "number is incorrect"),
    ],
)
async def test_a_card_that_is_not_taken_says_why_and_the_page_stays(
    standin: StandIn, browser: aiohttp.ClientSession, opened: Open, card: str, says: str
) -> None:
    session = await opened()
    status, _, text = await _post(browser, str(session.url), email="a@example.com", card=card)
    assert status == 402
    assert says in text
    assert 'value="a@example.com"' in text
    assert standin.session(session.id)["status"] == "open"


async def test_a_page_without_an_email_is_not_sent(
    standin: StandIn, browser: aiohttp.ClientSession, opened: Open
) -> None:
    session = await opened()
    status, _, text = await _post(browser, str(session.url))
    assert status == 400
    assert "email is incomplete" in text
    assert standin.desk.world.all("payment_intent") == []


async def test_the_bank_may_ask_and_the_answer_counts(
    standin: StandIn, browser: aiohttp.ClientSession, opened: Open
) -> None:
    session = await opened()
    card = {"email": "a@example.com", "card": "4000002500003155"}
    status, where, _ = await _post(browser, str(session.url), **card)
    assert (status, where) == (303, f"/c/prove/{session.id}")
    proof = standin.base_url + where
    assert "is it you" in await _get(browser, proof)
    status, _, text = await _post(browser, proof, proof="fail")
    assert status == 402
    assert "unable to authenticate" in text
    await _post(browser, str(session.url), **card)
    status, where, _ = await _post(browser, proof, proof="pass")
    assert (status, where) == (303, f"http://shop.test/paid?session={session.id}")


async def test_a_code_and_a_country_change_the_price_before_paying(
    standin: StandIn, browser: aiohttp.ClientSession, opened: Open
) -> None:
    standin.promotion("HALF", percent=50)
    session = await opened(allow_promotion_codes=True, automatic_tax={"enabled": True})
    fields = {"email": "a@example.com", "country": "DE", "promotion_code": "HALF"}
    _, _, text = await _post(browser, str(session.url), do="price", **fields)
    assert "11.90 USD" in text
    _, _, text = await _post(browser, str(session.url), do="price", promotion_code="NO")
    assert "code is invalid" in text
    await _post(browser, str(session.url), do="pay", **fields)
    assert standin.charge(session.id)["amount"] == 1_190


async def test_a_bank_debit_is_settled_by_the_operator(
    standin: StandIn, browser: aiohttp.ClientSession, opened: Open
) -> None:
    session = await opened()
    await _post(browser, str(session.url), email="a@example.com", method="bank")
    assert standin.session(session.id)["payment_status"] == "unpaid"
    control = f"{standin.base_url}/_control"
    assert "Settle" in await _get(browser, control)
    await _post(browser, control, do="settle", id=session.id)
    assert standin.session(session.id)["payment_status"] == "paid"


async def test_who_leaves_is_led_back_and_the_session_stays_open(
    standin: StandIn, browser: aiohttp.ClientSession, opened: Open
) -> None:
    session = await opened()
    assert 'href="http://shop.test/left"' in await _get(browser, str(session.url))
    assert standin.session(session.id)["status"] == "open"
    await standin.abandon(session.id)
    assert "has expired" in await _get(browser, f"{standin.base_url}/c/pay/{session.id}")


async def test_an_invoice_is_a_page_and_a_pdf(
    standin: StandIn, browser: aiohttp.ClientSession, opened: Open
) -> None:
    session = await opened()
    await standin.pay(session.id)
    invoice = standin.object(standin.session(session.id)["invoice"])
    assert invoice["number"] in await _get(browser, invoice["hosted_invoice_url"])
    async with browser.get(invoice["invoice_pdf"]) as reply:
        assert reply.content_type == "application/pdf"
        assert (await reply.read()).startswith(b"%PDF-")


async def test_words_from_outside_are_escaped(browser: aiohttp.ClientSession, opened: Open) -> None:
    bad = "<script>alert(1)</script>"
    session = await opened(cancel_url=f'http://shop.test/"{bad}')
    _, _, text = await _post(browser, str(session.url), do="price", name=bad, email=f'"{bad}')
    assert "<script" not in text


DEEDS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"do": "refund", "amount": "500"}, {"amount_refunded": 500}),
    ({"do": "refund"}, {"refunded": True}),
    ({"do": "dispute", "how": "inquiry"}, {"disputed": True}),
]


@pytest.mark.parametrize(("deed", "then"), DEEDS)
async def test_the_operator_refunds_and_disputes_by_a_button(
    standin: StandIn,
    browser: aiohttp.ClientSession,
    opened: Open,
    deed: dict[str, str],
    then: dict[str, Any],
) -> None:
    session = await opened()
    await standin.pay(session.id)
    charge = standin.charge(session.id)
    control = f"{standin.base_url}/_control"
    status, _, _ = await _post(browser, control, id=charge["id"], **deed)
    assert status == 303
    assert {name: charge[name] for name in then} == then
    assert charge["id"] in await _get(browser, control)


async def test_the_operator_makes_a_promotion_code(
    standin: StandIn, browser: aiohttp.ClientSession, opened: Open
) -> None:
    control = f"{standin.base_url}/_control"
    assert (await _post(browser, control, do="promotion", code="TEN", percent="10"))[0] == 303
    assert (await _post(browser, control, do="promotion", code="TEN", percent="101"))[0] == 400
    session = await opened(allow_promotion_codes=True)
    await standin.pay(session.id, promotion_code="TEN")
    assert standin.charge(session.id)["amount"] == 1_800
    assert "10 %" in await _get(browser, control)


async def test_the_operator_is_told_what_cannot_be_done(
    standin: StandIn, browser: aiohttp.ClientSession
) -> None:
    control = f"{standin.base_url}/_control"
    for fields in ({"do": "refund", "id": "ch_none"}, {"do": "x"}, {"do": "lose", "times": "x"}):
        status, _, text = await _post(browser, control, **fields)
        assert status == 400
        assert 'role="alert"' in text


async def test_every_field_of_the_control_page_has_a_label(
    standin: StandIn, browser: aiohttp.ClientSession, opened: Open
) -> None:
    session = await opened(payment_intent_data={"setup_future_usage": "off_session"})
    await standin.pay(session.id)
    await standin.refund(session.id, 100)
    await standin.dispute(session.id, inquiry=True)
    fields = _Fields(await _get(browser, f"{standin.base_url}/_control"))
    assert set(fields.ids) <= fields.labelled
    assert len(set(fields.ids)) == len(fields.ids)
