"""When a page in the browser is ready: what it still loads, and how long it has been still.

A part of the browser engine, loaded by nothing else. It refuses nothing: the page's time ends it.
"""

import asyncio
from typing import Final

from playwright.async_api import Page, Request

from services.reader.visits import Visit

QUIET_MS: Final = 500
MUTATION_QUIET_MS: Final = 200
CONTENT_KINDS: Final = frozenset({"document", "script", "stylesheet", "xhr", "fetch"})
MUTATION_SCRIPT: Final = """(quietMs) => new Promise(done => {
  let timer = setTimeout(done, quietMs);
  new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(done, quietMs); })
    .observe(document, {subtree: true, childList: true, characterData: true});
})"""
VISIBLE_SCRIPT: Final = "() => document.body && document.body.innerText.trim().length > 200"


class Traffic:
    """How many requests of a page are on their way, and whether any began or ended."""

    def __init__(self, page: Page, timing: str) -> None:
        self._kinds = CONTENT_KINDS if timing == "resource-idle" else frozenset[str]()
        self._open: set[Request] = set()
        self._changed = asyncio.Event()
        page.on("request", self._begin)
        page.on("requestfinished", self._end)
        page.on("requestfailed", self._end)

    async def quiet(self) -> None:
        """Returns when nothing has been on its way for QUIET_MS."""
        still = False
        while not still:
            self._changed.clear()
            try:
                async with asyncio.timeout(None if self._open else QUIET_MS / 1000):
                    await self._changed.wait()
            except TimeoutError:
                still = True

    def _begin(self, request: Request) -> None:
        if not self._kinds or request.resource_type in self._kinds:
            self._open.add(request)
            self._changed.set()

    def _end(self, request: Request) -> None:
        if request in self._open:
            self._open.discard(request)
            self._changed.set()


async def settle(page: Page, visit: Visit, traffic: Traffic) -> None:
    """Returns when a page whose source is there is ready, by the client's timing and selectors."""
    for selector in visit.wait_selectors:
        await page.locator(selector).first.wait_for(state="attached")
    if visit.timing == "html" or (visit.wait_selectors and not visit.shots):
        return
    if visit.timing == "visible-content":
        await page.wait_for_function(VISIBLE_SCRIPT)
    elif visit.timing == "mutation-idle":
        await page.evaluate(MUTATION_SCRIPT, MUTATION_QUIET_MS)
    elif visit.timing == "network-idle":
        await page.wait_for_load_state("load")
        await traffic.quiet()
    else:
        await traffic.quiet()
        await page.evaluate(MUTATION_SCRIPT, MUTATION_QUIET_MS)
