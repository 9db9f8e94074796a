"""Monthly budgets and alerts: who has used it up is suspended, told once, and lifted again."""

from typing import Any

import pytest

from gateway.control.web.house import watch_of
from gateway.control.web.texts import Texts
from tests.control.rig import COST_TOKENS, Door, until
from tests.web.browser import Browser
from tests.web.conftest import Open, signed_in
from tests.web.mail import Mailbox


@pytest.fixture
def mail(mailbox: Mailbox) -> dict[str, str]:
    """Settings of a gateway that sends letters."""
    return {"SMTP_URL": mailbox.url, "MAIL_FROM": "sluice@example.org"}


async def _work(door: Door) -> None:
    """One round of what the worker does for the web side."""
    base = door.node.ground
    for run, _, _ in watch_of(base.settings, base.postgres):
        await run()


async def _posted(door: Door, key: str) -> None:
    """What was spent is in the ledger."""
    await door.me(key)


async def test_used_up_budget_suspends_within_seconds_and_raising_it_lifts_at_once(
    open_door: Open,
) -> None:
    async with open_door(with_worker=True) as door:
        key = (await door.mint())["api_key"]
        browser = Browser(door.port)
        await browser.enter(key)
        document = {"monthly_tokens": 2 * COST_TOKENS}
        told = await browser.call("PUT", "/web/budget", document)
        assert told.json()["budget"] == {**document, "used_tokens": 0}
        await door.spend(key)
        await door.spend(key)

        async def refused() -> bool:
            told = await door.ask("GET", "/r/https://example.com/", bearer=key)
            return told.status == 402

        await until(refused)
        shown = await door.me(key)
        assert (shown["status"], shown["suspended_by"]) == ("suspended", ["budget"])
        overview = (await browser.call("GET", "/web/overview")).json()
        assert overview["suspended_by"] == ["budget"]
        used = overview["budget"]["used_tokens"]
        assert used >= 2 * COST_TOKENS
        assert "suspended" in (await browser.open("/")).text.lower()
        told = await browser.call("PUT", "/web/budget", {"monthly_tokens": used + 100})
        assert told.json()["status"] == "active"
        # In force with the answer.
        await door.spend(key)
        assert (await door.ops("GET", "/admin/reconcile")).json()["ok"] is True


async def test_budget_below_what_is_used_suspends_with_the_answer(
    door: Door, browser: Browser
) -> None:
    key = (await door.mint())["api_key"]
    await browser.enter(key)
    await door.spend(key)
    await _posted(door, key)
    told = await browser.call("PUT", "/web/budget", {"monthly_tokens": COST_TOKENS})
    assert (told.json()["status"], told.json()["suspended_by"]) == ("suspended", ["budget"])
    await door.spend(key, expected=402)
    told = await browser.call("PUT", "/web/budget", {"monthly_tokens": None})
    assert told.json()["status"] == "active"
    await door.spend(key)


async def test_a_new_month_lifts_what_the_budget_of_the_old_one_suspended(
    door: Door, browser: Browser, owner: Any
) -> None:
    key = (await door.mint())["api_key"]
    await browser.enter(key)
    await door.spend(key)
    await _posted(door, key)
    await browser.call("PUT", "/web/budget", {"monthly_tokens": 1})
    await owner.execute(
        "update usage_day set day = day - 40; update key_budget set seen_month = seen_month - 40;"
        "update key_suspension set ref = '2001-01/1'"
    )
    await _work(door)
    assert (await door.me(key))["status"] == "active"


async def test_budget_never_lifts_what_others_suspended_and_the_operator_s_word_stands(
    door: Door, browser: Browser
) -> None:
    minted = await door.mint()
    key, path = minted["api_key"], f"/admin/keys/{minted['key_id']}/status"
    await browser.enter(key)
    await door.spend(key)
    await _posted(door, key)
    await browser.call("PUT", "/web/budget", {"monthly_tokens": 1})
    await door.ops("PUT", path, document={"status": "suspended"})
    told = await browser.call("PUT", "/web/budget", {"monthly_tokens": None})
    assert (told.json()["status"], told.json()["suspended_by"]) == ("suspended", ["operator"])
    await browser.call("PUT", "/web/budget", {"monthly_tokens": 1})
    await door.ops("PUT", path, document={"status": "active"})
    await door.spend(key)
    await _posted(door, key)
    await _work(door)
    assert (await door.me(key))["status"] == "active"
    # Another budget is another word of the owner.
    told = await browser.call("PUT", "/web/budget", {"monthly_tokens": 2})
    assert told.json()["status"] == "suspended"


async def test_alerts_are_told_once_each(
    open_door: Open, mailbox: Mailbox, mail: dict[str, str]
) -> None:
    async with open_door(**mail) as door:
        ann = await signed_in(door, mailbox)
        made = (await ann.call("POST", "/web/account/keys", {"name": "Büro <b>"})).json()
        document = {
            "monthly_tokens": 4 * COST_TOKENS,
            "alert_percent": 50,
            "alert_low_tokens": 10_000_000 - 2 * COST_TOKENS,
        }
        path = f"/web/account/keys/{made['key_id']}"
        assert (await ann.call("PUT", path, document)).status == 200
        del mailbox.letters[:]
        told: list[list[str]] = []
        for _ in range(4):
            await door.spend(made["api_key"])
            await _posted(door, made["api_key"])
            for _ in range(3):
                await _work(door)
            told.append(sorted(str(letter["subject"]) for letter in mailbox.letters))
            del mailbox.letters[:]
        words = Texts().of("en")["letters"]
        kinds = ("budget_share", "balance_low", "budget_reached")
        assert told == [[], *([words[f"{kind}_subject"]] for kind in kinds)]


async def test_alert_without_a_mail_server_stands_in_the_log(
    open_door: Open,
    mailbox: Mailbox,
    mail: dict[str, str],
    owner: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_door(**mail) as door:
        ann = await signed_in(door, mailbox)
        made = (await ann.call("POST", "/web/account/keys", {"name": "n"})).json()
        path = f"/web/account/keys/{made['key_id']}"
        await ann.call("PUT", path, {"alert_low_tokens": 20_000_000})
        mailbox.is_away = True
        await _work(door)
        rows = await door.node.ground.postgres.rows("select attempts, done_at from account_notice")
        assert [(row["attempts"], row["done_at"]) for row in rows] == [(1, None)]
    async with open_door() as door:
        await owner.execute("update account_notice set next_at = now()")
        await _work(door)
        (line,) = [r.getMessage() for r in caplog.records if "alert of notice" in r.getMessage()]
        assert "10,000,000" in line


async def test_what_is_over_is_forgotten(posting: Door, mailbox: Mailbox, owner: Any) -> None:
    ann = await signed_in(posting, mailbox)
    await ann.call("POST", "/web/sign-in", {"email": "ann@example.org"})
    tables = ("web_session", "sign_in_ticket", "web_attempt")
    await _work(posting)
    for table in tables:
        assert await owner.fetchval(f"select count(*) from {table}") > 0
    await owner.execute(
        "update web_session set seen_at = now() - interval '13 hours';"
        "update sign_in_ticket set over_at = now() - interval '1 second';"
        "update web_attempt set over_at = now() - interval '1 second'"
    )
    await _work(posting)
    for table in tables:
        assert await owner.fetchval(f"select count(*) from {table}") == 0
