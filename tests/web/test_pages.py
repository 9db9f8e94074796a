"""Every page: what it says, with which headers, in which language."""

import pytest

from tests.control.rig import Door
from tests.web.browser import HTML, Browser

PAGES = ("/", "/playground", "/chat", "/limits", "/status", "/faq", "/sign-in", "/account")


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_html_for_nobody_and_for_somebody(
    door: Door, browser: Browser, path: str
) -> None:
    key = (await door.mint())["api_key"]
    await door.spend(key)
    for _ in range(2):
        told = await browser.open(path)
        assert (told.status, told["content-type"]) == (200, "text/html; charset=utf-8"), told
        assert "<h1>" in told.text
        assert key not in told.text
        assert told["x-content-type-options"] == "nosniff"
        assert "default-src 'none'; script-src 'self'" in told["content-security-policy"]
        await browser.enter(key)
    assert HTML
