"""Accounts: their keys, names and totals; what one knows of a key, and what nobody else may."""

import itertools
from typing import Any

from tests.control.rig import Door
from tests.web.browser import Browser
from tests.web.conftest import signed_in
from tests.web.mail import Mailbox

NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% include 'base.html' %}",
    "'; drop table web_account; --",
    "%s %(a)s {key} {0}",
    "名前 🔑 é",
    "</script><script>",
)


ODD_NUMBERS: tuple[object, ...] = (0, -1, 1.5, "7", True, 2**53, 10**30, [], {})


async def _account(browser: Browser) -> dict[str, Any]:
    told = await browser.call("GET", "/web/account")
    assert told.status == 200, told
    found: dict[str, Any] = told.json()
    return found


async def test_account_has_typed_and_new_keys_with_names_and_totals(
    posting: Door, mailbox: Mailbox
) -> None:
    ann = await signed_in(posting, mailbox)
    old = await posting.mint()
    document = {"name": "typed", "api_key": old["api_key"]}
    assert (await ann.call("POST", "/web/account/keys", document)).status == 201
    told = await ann.call("POST", "/web/account/keys", {"name": "made here"})
    fresh = told.json()["api_key"]
    await posting.spend(fresh)
    await posting.me(fresh)
    found = await _account(ann)
    assert [key["name"] for key in found["keys"]] == ["typed", "made here"]
    assert found["balance"] == {"trial": 19_999_993, "paid": 0, "total": 19_999_993}
    assert found["used_tokens_this_month"] == 7
    page = await ann.open("/account")
    assert fresh not in page.text
    assert old["api_key"] not in page.text
    # The same key again is the same entry, and keeps its name unless it gets one.
    await ann.call("POST", "/web/account/keys", {"api_key": old["api_key"]})
    assert [key["name"] for key in (await _account(ann))["keys"]] == ["typed", "made here"]


async def test_names_are_shown_as_they_are_and_never_do_anything(
    posting: Door, mailbox: Mailbox
) -> None:
    ann = await signed_in(posting, mailbox)
    key_id = (await ann.call("POST", "/web/account/keys", {})).json()["key_id"]
    for name in NAMES:
        told = await ann.call("PUT", f"/web/account/keys/{key_id}", {"name": name})
        assert (told.status, told.json()["key"]["name"]) == (200, name)
        for path in ("/account", "/"):
            page = (await ann.open(path)).text
            assert "<script>alert" not in page
            assert "<img" not in page
    for odd in ("x" * 61, "a\nb", "a\x00b", "a\u2028b", 7, None, ["a"], "\ud800"):
        document = {"name": odd}
        told = await ann.call("PUT", f"/web/account/keys/{key_id}", document)
        assert told.status in (400, 422), odd


async def test_nobody_reaches_a_key_of_somebody_else(posting: Door, mailbox: Mailbox) -> None:
    ann = await signed_in(posting, mailbox)
    bob = await signed_in(posting, mailbox, "bob@example.org")
    key_id = (await ann.call("POST", "/web/account/keys", {"name": "hers"})).json()["key_id"]
    for method, path, document in (
        ("PUT", f"/web/account/keys/{key_id}", {"name": "his", "monthly_tokens": 1}),
        ("DELETE", f"/web/account/keys/{key_id}", {}),
        ("PUT", "/web/session", {"key_id": key_id}),
    ):
        told = await bob.call(method, path, document)
        assert (told.status, told.json()["code"]) == (404, "RESOURCE_NOT_FOUND")
    await bob.call("POST", "/web/account/keys", {})
    document = {"confirm": "x", "transfer_to_key_id": key_id}
    assert (await bob.call("POST", "/web/revoke", document)).status == 422
    assert (await bob.call("POST", "/web/transfer", {"to_key_id": key_id})).status == 422
    (key,) = (await _account(ann))["keys"]
    assert (key["name"], key["budget"]["monthly_tokens"]) == ("hers", None)


async def test_session_looks_at_the_key_that_is_chosen(posting: Door, mailbox: Mailbox) -> None:
    ann = await signed_in(posting, mailbox)
    ids = [(await ann.call("POST", "/web/account/keys", {})).json()["key_id"] for _ in range(2)]
    for key_id in ids:
        told = await ann.call("PUT", "/web/session", {"key_id": key_id})
        assert told.status == 200
        overview = (await ann.call("GET", "/web/overview")).json()
        assert overview["key"]["key_id"] == key_id
    assert (await ann.call("PUT", "/web/session", {"key_id": None})).status == 200
    told = await ann.call("GET", "/web/overview")
    assert (told.status, told.json()["code"]) == (409, "SESSION_KEY_NEEDED")
    for odd in ("", "key_", 7, "x" * 5000):
        assert (await ann.call("PUT", "/web/session", {"key_id": odd})).status == 422


async def test_forgotten_key_goes_on_without_the_account(posting: Door, mailbox: Mailbox) -> None:
    ann = await signed_in(posting, mailbox)
    made = (await ann.call("POST", "/web/account/keys", {})).json()
    assert (await ann.call("GET", "/web/overview")).status == 200
    assert (await ann.call("DELETE", f"/web/account/keys/{made['key_id']}", {})).status == 200
    assert (await _account(ann))["keys"] == []
    # A session does not look at what its account has not any more.
    assert (await ann.call("GET", "/web/overview")).status == 409
    await posting.spend(made["api_key"])


async def test_account_ends_only_with_its_address_typed(posting: Door, mailbox: Mailbox) -> None:
    ann = await signed_in(posting, mailbox)
    made = (await ann.call("POST", "/web/account/keys", {})).json()
    for confirm in (None, "", "delete", "bob@example.org"):
        told = await ann.call("DELETE", "/web/account", {"confirm": confirm})
        assert (told.status, told.json()["code"]) == (422, "CONFIRMATION_WRONG")
    copied = Browser(posting.port, jar=dict(ann.jar))
    told = await ann.call("DELETE", "/web/account", {"confirm": "ann@example.org"})
    assert told.status == 200
    assert ann.jar == {}
    assert (await copied.call("GET", "/web/account")).status == 401
    await posting.spend(made["api_key"])
    again = await signed_in(posting, mailbox)
    assert (await _account(again))["keys"] == []


async def test_key_alone_has_no_account(door: Door, browser: Browser) -> None:
    await browser.enter((await door.mint())["api_key"])
    told = await browser.call("GET", "/web/account")
    assert (told.status, told.json()["code"]) == (403, "ACCOUNT_NEEDED")


async def test_signing_in_keeps_nothing_of_who_was_there_before(
    posting: Door, mailbox: Mailbox
) -> None:
    shared = Browser(posting.port)
    await shared.enter((await posting.mint())["api_key"])
    await shared.call("POST", "/web/sign-in", {"email": "ann@example.org"})
    _, ticket = mailbox.link()
    told = await shared.call("POST", "/web/sign-in/finish", {"ticket": ticket})
    assert told.json()["key"] is None


async def test_account_holds_a_hundred_keys(posting: Door, mailbox: Mailbox, owner: Any) -> None:
    ann = await signed_in(posting, mailbox)
    await owner.execute(
        "insert into api_key (key_id, key_hmac, last_characters, created_at) "
        "select n, int4send(n), 'abcd', now() from generate_series(1, 100) n"
    )
    await owner.execute("insert into key_balance (key_id) select generate_series(1, 100)")
    await owner.execute(
        "insert into account_key (account_id, key_id) "
        "select account_id, n from web_account, generate_series(1, 100) n"
    )
    told = await ann.call("POST", "/web/account/keys", {})
    assert (told.status, told.json()["code"]) == (409, "ACCOUNT_KEYS_TOO_MANY")
    assert await owner.fetchval("select count(*) from api_key") == 100


async def test_odd_budgets_and_alerts_are_refused_and_change_nothing(
    posting: Door, mailbox: Mailbox
) -> None:
    ann = await signed_in(posting, mailbox)
    key_id = (await ann.call("POST", "/web/account/keys", {"name": "a"})).json()["key_id"]
    fields = ("alert_percent", "alert_low_tokens", "monthly_tokens", "limits")
    for field, odd in itertools.product(fields, ODD_NUMBERS):
        document: dict[str, object] = {"name": "b", field: odd}
        told = await ann.call("PUT", f"/web/account/keys/{key_id}", document)
        assert told.status == 422, (field, odd, told)
    assert (await _account(ann))["keys"][0]["name"] == "a"
