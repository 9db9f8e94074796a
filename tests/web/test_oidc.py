"""Signing in at an identity provider: who it names is signed in, and no lie is believed."""

import time
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import pytest
from aiohttp import web

from gateway.control.web.texts import Texts
from tests.control.plain_http import Told
from tests.control.rig import Door
from tests.web.browser import Browser
from tests.web.conftest import Open, signed_in
from tests.web.mail import Mailbox
from tests.web.provider import CLIENT, SECRET, StandIn, identity_provider


@pytest.fixture
async def provider() -> AsyncIterator[StandIn]:
    """A provider."""
    async with identity_provider() as found:
        yield found


@pytest.fixture
async def trusting(open_door: Open, provider: StandIn, mailbox: Mailbox) -> AsyncIterator[Door]:
    """A gateway that believes it, and sends letters too."""
    async with open_door(
        OIDC_ISSUER=provider.issuer,
        OIDC_CLIENT_ID=CLIENT,
        OIDC_CLIENT_SECRET=SECRET,
        SMTP_URL=mailbox.url,
        MAIL_FROM="sluice@example.org",
    ) as door:
        yield door


async def _begin(browser: Browser, provider: StandIn) -> str:
    told = await browser.call("POST", "/web/sign-in", {"with": "provider"})
    assert told.status == 200, told
    return provider.consent(told.json()["url"])


async def _through(browser: Browser, provider: StandIn) -> Told:
    back = await _begin(browser, provider)
    # The browser comes from another site, by a link: without Origin, with its Lax cookies.
    return await browser.bare("GET", back)


def _refusal(told: Told) -> str:
    """What the page to sign in at is told."""
    page, _, code = told["location"].partition("?refused=")
    assert (told.status, page) == (303, "/sign-in")
    return code


async def test_who_the_provider_names_is_signed_in(trusting: Door, provider: StandIn) -> None:
    browser = Browser(trusting.port)
    told = await _through(browser, provider)
    assert (told.status, told["location"]) == (303, "/account")
    account = (await browser.call("GET", "/web/account")).json()
    assert account["email"] == "ann@example.org"
    again = Browser(trusting.port)
    provider.email = "other@example.org"
    await _through(again, provider)
    assert (await again.call("GET", "/web/account")).json()["email"] == "other@example.org"


async def test_address_that_it_vouches_for_is_the_mailbox_s_account_and_no_other_is(
    trusting: Door, provider: StandIn, mailbox: Mailbox
) -> None:
    mail = await signed_in(trusting, mailbox)
    await mail.call("POST", "/web/account/keys", {"name": "of the mailbox"})
    by_provider = Browser(trusting.port)
    await _through(by_provider, provider)
    (key,) = (await by_provider.call("GET", "/web/account")).json()["keys"]
    assert key["name"] == "of the mailbox"
    provider.subject, provider.verified = "u-2", False
    claiming = Browser(trusting.port)
    await _through(claiming, provider)
    found = (await claiming.call("GET", "/web/account")).json()
    assert (found["email"], found["keys"]) == (None, [])


async def test_way_back_is_for_the_browser_that_began_and_for_once(
    trusting: Door, provider: StandIn
) -> None:
    browser = Browser(trusting.port)
    back = await _begin(browser, provider)
    stranger = Browser(trusting.port)
    told = await stranger.bare("GET", back)
    assert Texts().of("en")["sign_in"]["refused"] in unescape(
        (await stranger.open(told["location"])).text
    )
    assert _refusal(told) == "SIGN_IN_LINK_OVER"
    other = Browser(trusting.port)
    await _begin(other, provider)
    assert _refusal(await other.bare("GET", back)) == "SIGN_IN_LINK_OVER"
    jar = dict(browser.jar)
    assert (await browser.bare("GET", back))["location"] == "/account"
    copied = Browser(trusting.port, jar=jar)
    assert _refusal(await copied.bare("GET", back)) == "SIGN_IN_LINK_OVER"


LIES: tuple[dict[str, Any], ...] = (
    {"iss": "https://other.example"},
    {"aud": "somebody else"},
    {"aud": [CLIENT, "another"]},
    {"aud": [CLIENT, "another"], "azp": "another"},
    {"azp": "another"},
    {"exp": int(time.time()) - 3_600},
    {"exp": "soon"},
    {"nonce": "of another time"},
    {"nonce": None},
    {"sub": ""},
    {"sub": None},
)


async def test_token_that_is_not_for_this_sign_in_is_refused(
    trusting: Door, provider: StandIn
) -> None:
    for claims in LIES:
        provider.claims = claims
        browser = Browser(trusting.port)
        told = await _through(browser, provider)
        assert _refusal(told) == "SIGN_IN_PROVIDER_FAILED", claims
        assert "sluice_session" not in browser.jar


async def test_provider_that_fails_signs_nobody_in(trusting: Door, provider: StandIn) -> None:
    for broken in (
        web.Response(status=500),
        web.Response(status=302, headers={"location": "/token"}),
        web.Response(text="no JSON"),
        web.Response(text="[]"),
        web.Response(text="x" * 300_000),
        web.json_response({"id_token": 7}),
        web.json_response({"id_token": "a.b"}),
        web.json_response({"id_token": "a.W10.c"}),
        web.json_response({"id_token": "a.é.c"}),
    ):
        provider.broken = broken
        browser = Browser(trusting.port)
        told = await _through(browser, provider)
        assert _refusal(told) == "SIGN_IN_PROVIDER_FAILED"
        assert "sluice_session" not in browser.jar


async def test_discovery_that_leads_elsewhere_is_refused(trusting: Door, provider: StandIn) -> None:
    for said in (
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://far.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
    ):
        provider.discovery = said
        told = await Browser(trusting.port).call("POST", "/web/sign-in", {"with": "provider"})
        assert (told.status, told.json()["code"]) == (502, "SIGN_IN_PROVIDER_FAILED")
