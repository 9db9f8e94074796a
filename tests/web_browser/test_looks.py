"""How the pages are in a real Chromium: quiet, labelled, legible, light, and not too wide."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.commands.sluice import Up
from tests.web_browser.conftest import CHROMIUM
from tests.web_browser.visitor import visiting

PAGES = ("/", "/playground", "/chat", "/limits", "/status", "/faq", "/sign-in", "/account")
MOST_BYTES = 150 * 1024

# What the page and all it loads weigh unpacked, without the answers to its calls.
WEIGHT = """
() => ['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind))
  .filter((each) => each.initiatorType !== 'fetch')
  .reduce((sum, each) => sum + each.decodedBodySize, 0)
"""
NAMELESS = """
() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a')]
  .filter((each) => !(each.labels?.length || each.ariaLabel || each.textContent.trim()))
  .map((each) => each.outerHTML)
"""
# WCAG 2: every text against what is behind it, which a canvas turns into plain numbers.
PALE = """
() => {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const over = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const each of colours) { context.fillStyle = each; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((each) => each / 255)
    .map((each) => each <= .04045 ? each / 12.92 : ((each + .055) / 1.055) ** 2.4)
    .reduce((sum, each, index) => sum + each * [.2126, .7152, .0722][index], 0);
  const behind = (each) => {
    const found = [];
    for (let at = each; at; at = at.parentElement) {
      found.unshift(getComputedStyle(at).backgroundColor);
    }
    return found;
  };
  const pale = [];
  for (const each of document.querySelectorAll('body *')) {
    const texts = [...each.childNodes].filter((node) => node.nodeType === 3);
    const own = texts.some((node) => node.textContent.trim());
    if (!own || !each.checkVisibility()) continue;
    if (each.closest('svg, script, :disabled, .unseen')) continue;
    const style = getComputedStyle(each), ground = behind(each);
    const [a, b] = [light(over([...ground, style.color])), light(over(ground))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) pale.push(`${ratio.toFixed(2)} ${each.textContent.trim()}`);
  }
  return pale;
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


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
                page.goto(running.door + path, wait_until="networkidle")
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
