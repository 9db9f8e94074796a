"""Signing in by a letter: once, in time, for whoever reads the mailbox, and for nobody else."""

import logging
from typing import Any

import pytest

from gateway.control.web.letters import MailUnavailable, SmtpLetters
from gateway.control.web.sign_in import mail_address
from gateway.errors import ConfigurationFault
from gateway.settings import load_settings
from tests.control.rig import Door
from tests.web.browser import Browser
from tests.web.conftest import Open, signed_in
from tests.web.mail import Mailbox


async def test_link_of_a_letter_signs_in_once(posting: Door, mailbox: Mailbox) -> None:
    browser = Browser(posting.port)
    told = await browser.call("POST", "/web/sign-in", {"email": " Ann@Example.org "})
    assert (told.status, told.json()) == (202, {"sent": True})
    letter = mailbox.letters[-1]
    assert mailbox.recipients == ["ann@example.org"]
    assert (letter["from"], letter["to"]) == ("sluice@example.org", "ann@example.org")
    origin, ticket = mailbox.link()
    assert origin == f"http://{browser.name}"
    # A scanner that opens the link uses nothing up, and no server sees what is behind the #.
    assert (await browser.open("/sign-in")).status == 200
    told = await browser.call("POST", "/web/sign-in/finish", {"ticket": ticket})
    assert told.status == 200
    assert told.json()["account"] == {"email": "ann@example.org"}
    for again in (Browser(posting.port), browser):
        told = await again.call("POST", "/web/sign-in/finish", {"ticket": ticket})
        assert (told.status, told.json()["code"]) == (410, "SIGN_IN_LINK_OVER")
    assert (await browser.call("GET", "/web/account")).json()["email"] == "ann@example.org"


async def test_same_mailbox_is_the_same_account(posting: Door, mailbox: Mailbox) -> None:
    one = await signed_in(posting, mailbox)
    told = await one.call("POST", "/web/account/keys", {"name": "first"})
    assert told.status == 201
    two = await signed_in(posting, mailbox)
    (key,) = (await two.call("GET", "/web/account")).json()["keys"]
    assert key["key_id"] == told.json()["key_id"]
    other = await signed_in(posting, mailbox, "bob@example.org")
    assert (await other.call("GET", "/web/account")).json()["keys"] == []


async def test_link_is_over_after_15_minutes_and_guesses_are_nothing(
    posting: Door, mailbox: Mailbox, owner: Any
) -> None:
    browser = Browser(posting.port)
    await browser.call("POST", "/web/sign-in", {"email": "ann@example.org"})
    _, ticket = mailbox.link()
    tickets = [row[0] for row in await owner.fetch("select t::text from sign_in_ticket t")]
    assert not any(ticket in each for each in tickets)
    for guess in ("", "0" * 64, "é", 7, None, ticket[:-1], ticket.upper() + "0"):
        told = await browser.call("POST", "/web/sign-in/finish", {"ticket": guess})
        assert (told.status, told.json()["code"]) == (410, "SIGN_IN_LINK_OVER")
    await owner.execute("update sign_in_ticket set over_at = now()")
    told = await browser.call("POST", "/web/sign-in/finish", {"ticket": ticket})
    assert (told.status, told.json()["code"]) == (410, "SIGN_IN_LINK_OVER")


async def test_a_letter_never_leads_where_the_asker_says(open_door: Open, mailbox: Mailbox) -> None:
    ours = {"SMTP_URL": mailbox.url, "MAIL_FROM": "sluice@example.org"}
    for more, origin in (
        ({"DOMAIN": "sluice.example"}, "https://dash.sluice.example"),
        ({"WEB_URL": "https://pages.example/"}, "https://pages.example"),
        ({}, "http://localhost:8080"),
    ):
        async with open_door(**ours, **more) as door:
            evil = Browser(door.port, host="evil.example")
            told = await evil.call("POST", "/web/sign-in", {"email": "ann@example.org"})
            assert told.status == 202
            assert mailbox.link()[0] == origin


async def test_what_is_no_address_gets_no_letter(posting: Door, mailbox: Mailbox) -> None:
    browser = Browser(posting.port)
    for given in (
        *("", "ann", "ann@", "@example.org", "a b@example.org", "ann@example", 7, None, ["a@b.c"]),
        *("a@b.c\r\nBcc: eve@example.org", "a@b.c,eve@example.org", "<a@b.c>", "ä@example.org"),
        *("a@b@example.org", "x" * 250 + "@example.org", '"a"@example.org'),
    ):
        assert mail_address(given) is None
        told = await browser.call("POST", "/web/sign-in", {"email": given})
        assert told.status == 422, given
    assert mailbox.letters == []


async def test_a_mailbox_gets_five_letters_an_hour_from_however_many_askers(
    posting: Door, mailbox: Mailbox
) -> None:
    for number in range(6):
        browser = Browser(posting.port, address=f"127.0.1.{number + 1}")
        told = await browser.call("POST", "/web/sign-in", {"email": "ann@example.org"})
    assert (told.status, told.json()["code"]) == (429, "SIGN_IN_TOO_OFTEN")
    assert len(mailbox.letters) == 5
    told = await browser.call("POST", "/web/sign-in", {"email": "bob@example.org"})
    assert told.status == 202


async def test_address_that_the_server_refuses_is_told_like_any_other(
    posting: Door, mailbox: Mailbox
) -> None:
    mailbox.refuses = True
    told = await Browser(posting.port).call("POST", "/web/sign-in", {"email": "no@example.org"})
    assert (told.status, told.json()) == (202, {"sent": True})


async def test_mail_server_that_is_away_is_told(posting: Door, mailbox: Mailbox) -> None:
    mailbox.is_away = True
    told = await Browser(posting.port).call("POST", "/web/sign-in", {"email": "no@example.org"})
    assert (told.status, told.json()["code"]) == (503, "MAIL_UNAVAILABLE")
    assert told["retry-after"] == "5"


async def test_developer_finds_the_link_in_the_log(
    open_door: Open, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_door() as door:
        browser = Browser(door.port)
        told = await browser.call("POST", "/web/sign-in", {"email": "ann@example.org"})
        assert told.status == 202
        (line,) = [r.getMessage() for r in caplog.records if "/sign-in#" in r.getMessage()]
        ticket = line.partition("/sign-in#")[2].split()[0]
        told = await browser.call("POST", "/web/sign-in/finish", {"ticket": ticket})
        assert told.status == 200


@pytest.mark.parametrize(
    "more",
    [
        {"DOMAIN": "sluice.example"},
        {"BIND": "0.0.0.0"},
        {"WEB_URL": "https://pages.example"},
        {"TRUSTED_PROXIES": "127.0.0.1/32"},
    ],
)
async def test_no_link_is_logged_where_others_may_come_in(
    open_door: Open, caplog: pytest.LogCaptureFixture, more: dict[str, str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_door(**more) as door:
        browser = Browser(door.port)
        assert "/sign-in#" not in caplog.text
        told = await browser.call("POST", "/web/sign-in", {"email": "ann@example.org"})
        assert (told.status, told.json()["code"]) == (503, "SIGN_IN_NOT_CONFIGURED")
        assert (await browser.open("/sign-in")).status == 200


async def test_no_letter_goes_in_clear_text_over_a_network(mailbox: Mailbox) -> None:
    ours = SmtpLetters(mailbox.url, "sluice@example.org")
    await ours.send("ann@example.org", "Übung", "Zeile")
    assert mailbox.letters[-1]["subject"] == "Übung"
    far = SmtpLetters(mailbox.url, "sluice@example.org")
    far._may_be_clear = False
    with pytest.raises(MailUnavailable):
        await far.send("ann@example.org", "a", "b")
    assert len(mailbox.letters) == 1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"SMTP_URL": "smtp://mail.example"}, "SLUICE_MAIL_FROM"),
        ({"SMTP_URL": "http://mail.example"}, "SLUICE_SMTP_URL"),
        ({"SMTP_URL": "smtp://secret-user:hunter22@"}, "SLUICE_SMTP_URL"),
        ({"SMTP_URL": "smtp://m", "MAIL_FROM": "Ann <a@b.c>"}, "SLUICE_MAIL_FROM"),
        ({"OIDC_ISSUER": "https://id.example"}, "SLUICE_OIDC_CLIENT_ID"),
        ({"OIDC_ISSUER": "http://id.example", "OIDC_CLIENT_ID": "x"}, "SLUICE_OIDC_ISSUER"),
        ({"WEB_URL": "https://dash.example/pages"}, "SLUICE_WEB_URL"),
    ],
)
def test_mistake_in_a_setting_is_named_without_its_secret(
    settings: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigurationFault, match=named) as caught:
        load_settings({f"SLUICE_{name}": text for name, text in settings.items()})
    assert "hunter22" not in str(caught.value)
