"""The calls about a session's key: what /v1 says and does, no more and no less."""

from typing import Any

from tests.billing.shop import SMALL_TOKENS
from tests.control.rig import COST_TOKENS, Door
from tests.web.browser import Browser
from tests.web.conftest import OpenShop, signed_in
from tests.web.mail import Mailbox


async def test_overview_is_what_the_key_reads_under_v1(door: Door, browser: Browser) -> None:
    key = (await door.mint())["api_key"]
    await browser.enter(key)
    for _ in range(3):
        await door.spend(key)
    found = (await browser.call("GET", "/web/overview?days=1&recent=2")).json()
    shown = await door.me(key)
    assert found["key"]["balance"] == shown["balance"]
    assert found["key"]["key_id"] == shown["key_id"]
    told = await door.ask("GET", "/v1/keys/me/usage?days=1", bearer=key)
    assert found["usage"] == told.json()["items"]
    told = await door.ask("GET", "/v1/keys/me/usage?recent=2", bearer=key)
    assert found["recent"] == told.json()["items"]
    assert len(found["recent"]) == 2
    assert found["budget"] == {"monthly_tokens": None, "used_tokens": 3 * COST_TOKENS}
    for query in ("days=0", "days=x", "recent=1001", "days=1e3"):
        assert (await browser.call("GET", f"/web/overview?{query}")).status == 422
    one = (await browser.call("GET", f"/web/requests/{found['recent'][0]['request_id']}")).json()
    assert one == found["recent"][0]
    told = await browser.call("GET", "/web/export?format=jsonl")
    assert told.status == 200
    assert told["content-disposition"].startswith("attachment")
    assert (await browser.call("GET", "/web/usage?by=product")).json()["items"][0]["requests"] == 3


async def test_request_of_another_key_is_not_found(door: Door, browser: Browser) -> None:
    mine, other = (await door.mint())["api_key"], (await door.mint())["api_key"]
    told = await door.spend(other)
    await door.me(other)
    await browser.enter(mine)
    found = await browser.call("GET", f"/web/requests/{told['x-request-id']}")
    assert (found.status, found.json()["code"]) == (404, "RESOURCE_NOT_FOUND")


async def test_revocation_needs_what_the_key_ends_with(door: Door, browser: Browser) -> None:
    key = (await door.mint())["api_key"]
    await browser.enter(key)
    for typed in (None, "", key[-3:], key[-5:], key, key[-4:].swapcase() + " ", 7):
        told = await browser.call("POST", "/web/revoke", {"confirm": typed})
        assert (told.status, told.json()["code"]) == (422, "CONFIRMATION_WRONG")
    told = await browser.call("POST", "/web/revoke?preview=1", {})
    assert told.json()["forfeited_tokens"] == 10_000_000
    await door.spend(key)
    # A field that is not known may be a typo of where the tokens go.
    document = {"confirm": key[-4:], "transfer_to": "x"}
    assert (await browser.call("POST", "/web/revoke", document)).status == 422
    told = await browser.call("POST", "/web/revoke", {"confirm": key[-4:]})
    assert (told.status, told.json()["status"]) == (200, "revoked")
    assert browser.jar == {}
    await door.spend(key, expected=401)


async def _paid(door: Door, browser: Browser, ref: str) -> str:
    """A premium key of the account."""
    made = (await browser.call("POST", "/web/account/keys", {"name": ref})).json()
    document = {"tokens": 1_000, "bucket": "paid", "ref": ref}
    await door.ops("POST", f"/admin/keys/{made['key_id']}/credit", document=document)
    return str(made["key_id"])


async def test_tokens_move_between_keys_of_one_account_without_typing_a_key(
    posting: Door, mailbox: Mailbox
) -> None:
    ann = await signed_in(posting, mailbox)
    first, second = [await _paid(posting, ann, ref) for ref in ("one", "two")]
    assert (await ann.call("PUT", "/web/session", {"key_id": first})).status == 200
    document: dict[str, Any] = {"to_key_id": second, "tokens": 300}
    told = await ann.call("POST", "/web/transfer?preview=1", document)
    assert (told.status, told.json()["moved_tokens"]) == (200, 300)
    headers = {"Idempotency-Key": "once"}
    for _ in range(2):
        told = await ann.call("POST", "/web/transfer", document, **headers)
        assert (told.status, told.json()["moved_tokens"]) == (200, 300)
    assert told.json()["from"]["balance"]["paid"] == 700
    assert told.json()["to"]["balance"]["paid"] == 1_300
    # To itself, to nobody, to a key that is not there.
    for odd in (first, None, "key_00000000000", "x"):
        told = await ann.call("POST", "/web/transfer", {"to_key_id": odd})
        assert told.status in (400, 404, 409, 422), told
    view = (await ann.call("GET", "/web/overview")).json()["key"]
    document = {"confirm": view["last_characters"], "transfer_to_key_id": second}
    told = await ann.call("POST", "/web/revoke", document)
    assert (told.status, told.json()["moved_tokens"]) == (200, 700)
    # The account goes on, without a key in view.
    assert (await ann.call("GET", "/web/overview")).json()["code"] == "SESSION_KEY_NEEDED"
    keys = {k["key_id"]: k for k in (await ann.call("GET", "/web/account")).json()["keys"]}
    assert (keys[first]["status"], keys[second]["balance"]["paid"]) == ("revoked", 2_000)
    assert (await posting.ops("GET", "/admin/reconcile")).json()["ok"] is True


async def test_checkout_comes_back_to_this_page_with_a_grown_balance(open_shop: OpenShop) -> None:
    async with open_shop() as shop:
        key = (await shop.door.mint())["api_key"]
        browser = Browser(shop.door.port)
        await browser.enter(key)
        packs = (await browser.call("GET", "/web/packs")).json()["items"]
        assert packs[0]["pack"] in (await browser.open("/")).text
        document = {"pack": "small", "currency": "usd", "success_url": "https://evil.example/"}
        told = await browser.call("POST", "/web/checkout", document)
        assert told.status == 200, told
        session_id = told.json()["url"].rpartition("/")[2]
        session = shop.stripe.session(session_id)
        order_id = told.json()["order_id"]
        assert session["success_url"] == f"http://{browser.name}/?paid={order_id}"
        await shop.stripe.pay(session_id)
        await shop.reaches(key, order_id, "paid")
        found = (await browser.call("GET", "/web/overview")).json()
        assert found["key"]["balance"]["paid"] == SMALL_TOKENS
        (order,) = (await browser.call("GET", "/web/orders")).json()["items"]
        assert order["order_id"] == order_id
        assert (await browser.open(f"/?paid={order_id}")).status == 200
        told = await browser.call("GET", "/web/recharge")
        assert told.json() == {"enabled": False}
        policy = (await browser.open("/"))["content-security-policy"]
        assert f"form-action 'self' https://checkout.stripe.com {shop.stripe.base_url}" in policy


async def test_without_stripe_nothing_is_sold_and_the_page_says_nothing_of_it(
    door: Door, browser: Browser
) -> None:
    await browser.enter((await door.mint())["api_key"])
    for method, path in (("GET", "/web/packs"), ("GET", "/web/orders"), ("POST", "/web/checkout")):
        told = await browser.call(method, path, None if method == "GET" else {})
        assert (told.status, told.json()["code"]) == (503, "BILLING_NOT_CONFIGURED")
    assert "/web/checkout" not in (await browser.open("/")).text


async def test_status_and_limits_are_for_everybody_and_tell_no_words_of_failures(
    door: Door, browser: Browser, owner: Any
) -> None:
    await owner.execute(
        """select note_canary('[["reader", true, 12, "fine"], ["search", false, 900, "secret"],
            ["deepsearch", null, 0, "not deployed"]]')"""
    )
    found = (await browser.call("GET", "/web/status")).json()
    assert {each["subject"]: each["ok"] for each in found["latest"]} == {
        "reader": True,
        "search": False,
        "deepsearch": None,
    }
    assert found["parts"] == {"redis": True, "postgres": True, "spool": True}
    page = (await browser.open("/status")).text
    assert "secret" not in str(found) + page
    limits = (await browser.call("GET", "/web/limits")).json()
    tiers = {each["product"]: each["tiers"] for each in limits["products"]}
    assert tiers["reader"]["anonymous"]["rpm"] == 20
    assert tiers["search"]["anonymous"] is None
