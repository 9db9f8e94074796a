"""Somebody in front of a Chromium: pages that may not complain, and steps that many tests take."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.commands.sluice import Up

PATIENCE_MS = 60_000


@dataclass
class Visitor:
    """One browser profile. `complaints` are errors of the console, among them those of the CSP."""

    running: Up
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        """A new tab."""
        page = self.context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.running.door + path)
        return page

    def _hear(self, said: ConsoleMessage) -> None:
        # The pages of the stand-in are not ours.
        where = said.location["url"]
        ours = not where or where.startswith(self.running.door)
        if ours and said.type in ("error", "warning"):
            self.complaints.append(said.text)

    def mint(self) -> tuple[Page, str]:
        """A tab on a fresh key, as one gets it by a click; the key."""
        page = self.open()
        page.click("form[data-call='POST /web/mint'] button")
        page.wait_for_selector("#fresh:not([hidden])")
        key = page.inner_text("#fresh-key")
        page.click("#fresh a.button")
        page.wait_for_selector("#balance")
        return page, key

    def key_id(self, page: Page) -> str:
        """Which key the tab shows."""
        return str(page.inner_text("main .foreword .mono").split()[0])

    def credit(self, key_id: str, tokens: int) -> None:
        """Paid tokens by the operator's hand, which makes a key premium."""
        folder = next(line.split()[-1] for line in self.running.lines if "  data  " in line)
        with open(f"{folder}/admin-token", encoding="utf-8") as file:
            token = file.read().strip()
        told = self.context.request.post(
            f"http://127.0.0.1:{self.running.ops_port}/admin/keys/{key_id}/credit",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            data=orjson.dumps({"tokens": tokens, "bucket": "paid", "ref": key_id}),
        )
        assert told.ok, told.text()


@contextmanager
def visiting(running: Up, browser: Browser, **how: Any) -> Iterator[Visitor]:
    """A profile of its own, at whose end nothing may have been complained about."""
    context = browser.new_context(**{"locale": "en", **how})
    context.set_default_timeout(PATIENCE_MS)
    visitor = Visitor(running, context)
    yield visitor
    kept = "[...Object.keys(localStorage), document.cookie].join('')"
    for page in context.pages:
        if page.url.startswith(running.door):
            assert page.evaluate(kept) == "", "a script has kept something"
            assert "sluice_" not in page.url
    context.close()
    assert visitor.complaints == []


def figure(page: Page, name: str = "total") -> int:
    """A number of the key's page."""
    return int(page.inner_text(f"[data-live={name}]").replace(",", ""))


def until(page: Page, selector: str, wanted: str) -> None:
    """Wait for an element to say exactly this."""
    page.wait_for_function(
        "([selector, wanted]) => document.querySelector(selector)?.textContent.trim() === wanted",
        arg=[selector, wanted],
    )
