"""The pages in a real Chromium: what people do on them, and how they are.

One file, so that one system is started for all of it.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.commands.sluice import Up
from tests.web_browser.conftest import CHROMIUM, printed_link
from tests.web_browser.looks import MOST_BYTES, NAMELESS, PAGES, PALE, WEIGHT
from tests.web_browser.visitor import Visitor, figure, until, visiting

TRIAL = 10_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visitor(running: Up, browser: Browser) -> Iterator[Visitor]:
    with visiting(running, browser) as found:
        yield found


def test_balance_falls_by_what_a_call_of_the_playground_says_it_cost(
    visitor: Visitor, sample: str
) -> None:
    front, key = visitor.mint()
    assert (len(key), figure(front)) == (67, TRIAL)
    tab = visitor.open("/playground#reader")
    tab.fill("#reader-path", sample)
    assert sample in tab.inner_text("#reader-code")
    assert visitor.running.door in tab.inner_text("#reader-code")
    tab.click("#reader [data-kind=python]")
    assert "os.environ['SLUICE_API_KEY']" in tab.inner_text("#reader-code")
    assert key not in tab.content()
    tab.click("#reader [data-send]")
    tab.wait_for_selector("#reader .answer[data-done]")
    assert "How a sluice works" in tab.inner_text("#reader [data-body]")
    cost = int(tab.inner_text("#reader [data-line] .tint").split()[0])
    assert cost > 0
    tab.close()
    # The other tab was open all the time.
    until(front, "[data-live=total]", f"{TRIAL - cost:,}")
    assert front.inner_text("#recent-rows td.num") == str(cost)


def test_wrong_key_is_told_apart_in_words_of_the_page(running: Up, browser: Browser) -> None:
    with visiting(running, browser) as visitor:
        page = visitor.open()
        page.fill("[name=api_key]", "sluice_nonsense")
        page.click("#enter-card button.main")
        until(page, "#said", "This is not a key of ours. Please check it for typing errors.")
        # The console tells of every answer that is a refusal.
        assert all("401" in each for each in visitor.complaints)
        visitor.complaints.clear()


def test_payment_brings_the_buyer_back_to_a_balance_that_has_grown(visitor: Visitor) -> None:
    page, _ = visitor.mint()
    page.check("[name=pack][value=medium]")
    page.select_option("#currency", "eur")
    assert page.is_visible("text=47.00 EUR")
    page.click(".buy button.main")
    page.wait_for_url("**/c/pay/**")
    page.fill("[name=email]", "ada@example.org")
    page.click("button[value=pay]")
    page.wait_for_selector("#said.good")
    assert "1,000,000,000" in page.inner_text("#said")
    assert figure(page) == TRIAL + 1_000_000_000
    assert figure(page, "paid") == 1_000_000_000
    assert page.locator("a:text-is('Invoice')").get_attribute("href")


def test_tokens_move_after_a_preview_and_a_key_ends_by_its_last_characters(
    running: Up, browser: Browser
) -> None:
    with visiting(running, browser) as receiver, visiting(running, browser) as giver:
        there, other = receiver.mint()
        receiver.credit(receiver.key_id(there), 5_000)
        page, key = giver.mint()
        giver.credit(giver.key_id(page), 70_000)
        page.reload()
        page.fill("#give-form [name=to_api_key]", other)
        page.fill("#give-form [name=tokens]", "20000")
        # Enter looks first: nothing has moved.
        page.press("#give-form [name=tokens]", "Enter")
        until(page, "[data-sum=to]", f"{TRIAL + 25_000:,}")
        page.reload()
        assert figure(page, "paid") == 70_000
        page.fill("#give-form [name=to_api_key]", other)
        page.click("#give-look")
        until(page, "[data-sum=moved]", "70,000")
        page.click("#give-move")
        until(page, "#said", "The tokens were moved.")
        assert figure(page, "paid") == 0
        until(there, "[data-live=paid]", "75,000")
        assert page.is_disabled("#revoke-form button")
        page.fill("#revoke-form [name=confirm]", key[-4:])
        page.click("#revoke-form button")
        until(page, "#said", "The key is revoked.")
        page.fill("[name=api_key]", key)
        page.click("#enter-card button.main")
        until(page, "#said", "This key was revoked and can never be used again.")
        giver.complaints.clear()


def test_link_of_the_log_signs_in_to_an_account_that_names_its_keys(visitor: Visitor) -> None:
    page = visitor.open("/sign-in")
    page.fill("[name=email]", "grace@example.org")
    page.click("form[data-call='POST /web/sign-in'] button")
    page.wait_for_selector("#said.good")
    # In the same tab, as whoever pastes it does.
    page.goto(printed_link(visitor.running))
    page.click("#with-link button")
    page.wait_for_url("**/account")
    assert page.inner_text(".who a") == "grace@example.org"
    page.fill("#new-name", "Harbour")
    page.click("#new-form button")
    page.wait_for_selector("#fresh:not([hidden])")
    page.click("#fresh a.button")
    page.wait_for_selector("h2:text-is('Harbour')")
    page.click(".owned summary")
    page.fill(".owned [name=monthly_tokens]", "1000")
    page.click(".owned form.fields button")
    until(page, "#said", "Saved.")
    assert "1,000" in page.inner_text(".owned .trio")


def test_classifier_is_trained_and_tested_where_it_was_made(visitor: Visitor) -> None:
    visitor.mint()
    page = visitor.open("/playground#train")
    page.click("#train [data-send]")
    page.click("#train [data-view] button")
    page.wait_for_selector("#trained:not([hidden])")
    page.click("#trained [data-send]")
    page.wait_for_selector("#trained .ranks li")
    assert "billing" in page.inner_text("#trained .ranks li:first-child")


def test_research_is_watched_answered_with_sources_and_stopped(visitor: Visitor) -> None:
    visitor.mint()
    page = visitor.open("/chat")
    page.click("[data-example]")
    page.click("#ask")
    page.wait_for_selector(".turn .thoughts p")
    page.wait_for_selector(".turn[data-done] .sources a")
    assert "tokens" in page.inner_text(".turn .foot")
    page.fill("#question", "And what did it cost to build them?")
    page.press("#question", "Enter")
    page.click("#stop")
    page.wait_for_selector(".turn[data-done] >> nth=1")
    assert page.inner_text(".turn:last-child .note").startswith("Stopped.")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_every_page_is_quiet_labelled_legible_light_and_fits(
    running: Up, browser: Browser, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 900}
    with visiting(running, browser, viewport=size, color_scheme=scheme) as visitor:
        page = visitor.open()
        for signed_in in (False, True):
            if signed_in:
                visitor.mint()
            for path in PAGES:
                page.goto(running.door + path, wait_until="load")
                assert page.evaluate(NAMELESS) == [], path
                assert page.evaluate(PALE) == [], path
                assert page.evaluate("document.documentElement.scrollWidth") <= width, path
                assert MOST_BYTES // 20 < page.evaluate(WEIGHT) <= MOST_BYTES, path


def test_keyboard_reaches_the_content_and_shows_where_it_is(running: Up, browser: Browser) -> None:
    with visiting(running, browser) as visitor:
        page = visitor.open()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.name") == "api_key"


def test_language_is_the_browsers_until_it_is_switched(running: Up, browser: Browser) -> None:
    with visiting(running, browser, locale="ja-JP") as visitor:
        page = visitor.open("/limits")
        assert page.inner_text("h1") == "利用上限"
        page.click("footer a[lang=fr]")
        assert page.inner_text("h1") == "Limites"
        page.click("nav a[href='/faq']")
        assert page.get_attribute("html", "lang") == "fr"
        assert "10 000 000 jetons" in page.inner_text(".questions")


def test_pages_to_read_are_whole_without_scripts(running: Up, browser: Browser) -> None:
    with visiting(running, browser, java_script_enabled=False) as visitor:
        page = visitor.open("/limits")
        assert page.locator("tbody tr").count() == 9
        page.goto(f"{running.door}/faq")
        assert page.locator("tbody tr").count() == 16
        page.goto(f"{running.door}/status")
        assert page.locator(".banner h2").inner_text() != ""
        page.goto(f"{running.door}/playground")
        assert page.is_visible("noscript p")
