"""The browser engine: the system's Chromium, driven by playwright, of which this is the owner.

1. one Chromium for the service, started by the first page, and again when it has died
2. each page in a context of its own, in which nothing of another page is left
3. all traffic through `tunnel`, with the page's own pass; no service workers, no downloads
4. a page is waited for as long as the client's timing says, and at most for its time

It refuses more pages at once than it was given, by letting them wait. Loaded only by `engines`.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import Any, Final

from playwright.async_api import (
    Browser,
    BrowserContext,
    Error,
    Page,
    Playwright,
    Response,
    Route,
    async_playwright,
)

from services.reader import target
from services.reader.cookies import Cookie
from services.reader.fetch import ANYWHERE, is_public
from services.reader.guard import Guard
from services.reader.refusals import Refusal, not_available, unreachable
from services.reader.settling import Traffic, settle
from services.reader.target import Target
from services.reader.tunnel import Pass, Tunnel
from services.reader.visits import Rendered, Visit

# What one page may move over the network, all of its parts together.
PAGE_BYTES: Final = 64 * 1024 * 1024
HTML_CHARACTERS: Final = 16 * 1024 * 1024
# The heap of a page's scripts; a page that needs more than this is ended by the browser itself.
HEAP_MB: Final = 512
VIEWPORT: Final = (1024, 1024)
PAGESHOT_PIXELS: Final = 20_000
START_S: Final = 20.0
# What the tunnel answers for a target that the guard refuses.
REFUSED_STATUS: Final = 403
# Kept of a page's time for the pictures and the text, once it has been waited for.
LAST_MS: Final = 2_000
FLAGS: Final = (
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--dns-prefetch-disable",
    "--no-pings",
    "--no-first-run",
    "--mute-audio",
    "--disable-dev-shm-usage",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    # Loopback too goes through the proxy, and no name is resolved by the browser itself.
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    f"--js-flags=--max-old-space-size={HEAP_MB}",
)
HTML_SCRIPT: Final = """(shadows) => {
  const all = (root, found) => {
    for (const node of root.querySelectorAll('*'))
      if (node.shadowRoot) { found.push(node.shadowRoot); all(node.shadowRoot, found); }
    return found;
  };
  const top = document.documentElement;
  if (!top) return '';
  const type = document.doctype ? '<!DOCTYPE ' + document.doctype.name + '>' : '';
  const roots = shadows && top.getHTML ? all(document, []) : [];
  const inner = roots.length ? top.getHTML({shadowRoots: roots}) : top.innerHTML;
  const names = [...top.attributes].map(a => ` ${a.name}="${a.value.replace(/"/g, '&quot;')}"`);
  return type + '<html' + names.join('') + '>' + inner + '</html>';
}"""


class Chromium:
    """The engine of `visits`: at most `pages` pages at once."""

    def __init__(self, program: str, guard: Guard, *, pages: int, user_agent: str) -> None:
        self._program = program
        self._user_agent = user_agent
        self._tunnel = Tunnel(guard)
        self._room = asyncio.Semaphore(pages)
        self._starting = asyncio.Lock()
        self._port = 0
        self._closing: set[asyncio.Task[None]] = set()
        self._driver: Playwright | None = None
        self._browser: Browser | None = None

    async def start(self) -> None:
        """The tunnel; Chromium itself waits for the first page that needs it."""
        self._port = await self._tunnel.open()

    async def stop(self) -> None:
        """Ends Chromium, its driver and the tunnel."""
        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(START_S):
                await asyncio.gather(*self._closing, return_exceptions=True)
                if self._browser is not None:
                    await self._browser.close()
                if self._driver is not None:
                    await self._driver.stop()
        await self._tunnel.close()

    async def render(self, visit: Visit) -> Rendered | Refusal:
        """The page as it is when its time or its patience is over."""
        if visit.proxy is not None and visit.proxy.scheme != "http":
            return not_available("proxyUrl", "A proxy of type https in the browser engine")
        if visit.html is None and set(visit.headers) - ANYWHERE:
            # The driver would send them to every host that the page names, and along redirects.
            return not_available("customHeader", "Sending own headers in the browser engine")
        admitted = self._tunnel.admit(PAGE_BYTES, visit.proxy)
        try:
            browser = await self._running()
            async with asyncio.timeout(visit.deadline_ms / 1000), self._room:
                return await self._visit(browser, visit, admitted)
        except TimeoutError:
            return unreachable(f"Failed to render {visit.target.url}: it took too long")
        except Error as fault:
            for refused in admitted.refused.values():
                return refused  # what the page could not be had without
            return unreachable(f"Failed to render {visit.target.url}: {_reason(fault)}")
        finally:
            self._tunnel.dismiss(admitted)

    async def _running(self) -> Browser:
        async with self._starting:
            if self._browser is None or not self._browser.is_connected():
                if self._driver is None:
                    self._driver = await async_playwright().start()
                sandbox = [] if os.geteuid() else ["--no-sandbox"]
                self._browser = await self._driver.chromium.launch(
                    executable_path=self._program,
                    headless=True,
                    args=[*FLAGS, *sandbox],
                    proxy={"server": f"http://127.0.0.1:{self._port}"},
                    timeout=START_S * 1000,
                    handle_sigint=False,
                    handle_sigterm=False,
                    handle_sighup=False,
                )
            return self._browser

    async def _visit(self, browser: Browser, visit: Visit, admitted: Pass) -> Rendered | Refusal:
        context = await self._context(browser, visit, admitted)
        try:
            page = await context.new_page()
            if visit.html is not None:
                await _serve(page, visit.target.url, visit.html)
            return await _read(page, visit, admitted)
        finally:
            # A page that hangs is not waited for: its context dies behind the client's back.
            task = asyncio.create_task(_close(context))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _context(self, browser: Browser, visit: Visit, admitted: Pass) -> BrowserContext:
        width, height = visit.viewport or VIEWPORT
        headers = dict(visit.headers)
        locale = headers.pop("Accept-Language", "en-US").split(",")[0].split(";")[0].strip()
        context = await browser.new_context(
            user_agent=headers.pop("User-Agent", self._user_agent),
            locale=locale or "en-US",
            viewport={"width": width, "height": height},
            proxy={
                "server": f"http://127.0.0.1:{self._port}",
                "bypass": "<-loopback>",
                "username": admitted.name,
                "password": admitted.word,
            },
            accept_downloads=False,
            service_workers="block",
            permissions=[],
        )
        cookies: Any = [_cookie(cookie, visit.target) for cookie in visit.cookies]
        if cookies:
            await context.add_cookies(cookies)
        for script in visit.scripts:
            await context.add_init_script(script)
        return context


async def _close(context: BrowserContext) -> None:
    with contextlib.suppress(Error):
        await context.close()


async def _serve(page: Page, url: str, html: bytes) -> None:
    """Answers the page's own address with the source that came along."""

    async def answer(route: Route) -> None:
        await route.fulfill(body=html, content_type="text/html; charset=utf-8")

    await page.route(url, answer, times=1)


async def _read(page: Page, visit: Visit, admitted: Pass) -> Rendered | Refusal:
    page.set_default_timeout(visit.deadline_ms)
    patience_ms = max(visit.deadline_ms - LAST_MS, visit.deadline_ms // 2)
    answer, settled = None, True
    traffic = Traffic(page, visit.timing)
    try:
        async with asyncio.timeout(patience_ms / 1000):
            answer = await page.goto(
                visit.target.url, wait_until="commit", referer=visit.headers.get("Referer")
            )
            await page.wait_for_load_state("domcontentloaded")
            if visit.early is not None:
                visit.early((await page.evaluate(HTML_SCRIPT, visit.shadow_dom))[:HTML_CHARACTERS])
            await settle(page, visit, traffic)
    except TimeoutError:
        settled = False
    final = target.parse(page.url)
    barred = visit.html is None and (answer is None or answer.status == REFUSED_STATUS)
    if barred and isinstance(final, Target):
        refused = admitted.refused.get(f"{final.host}:{final.port}")
        if refused is not None:
            return refused
    if page.url.startswith(("about:", "chrome-error:")):
        raise Error(f"net::{page.url}")
    html: str = await page.evaluate(HTML_SCRIPT, visit.shadow_dom)
    frames = await _frames(page, visit) if visit.frames else ()
    screenshot = await page.screenshot() if "screenshot" in visit.shots else None
    pageshot = await _pageshot(page) if "pageshot" in visit.shots else None
    return Rendered(
        final if isinstance(final, Target) else visit.target,
        _status(answer, visit),
        answer.status_text if answer else "",
        html[:HTML_CHARACTERS],
        settled,
        frames,
        screenshot,
        pageshot,
        answer is not None and is_public(answer.status, await answer.all_headers()),
    )


async def _frames(page: Page, visit: Visit) -> tuple[tuple[str, str], ...]:
    """The documents of the page's iframes, by the address that the page names."""
    found = []
    for frame in page.frames[1:]:
        with contextlib.suppress(Error):
            element = await frame.frame_element()
            named = await element.get_property("src")
            html = await frame.evaluate(HTML_SCRIPT, visit.shadow_dom)
            found.append((str(await named.json_value()), str(html)[:HTML_CHARACTERS]))
    return tuple(found)


async def _pageshot(page: Page) -> bytes:
    """The whole page, but no longer than a picture can be."""
    height = await page.evaluate("document.documentElement.scrollHeight")
    if height <= PAGESHOT_PIXELS:
        return await page.screenshot(full_page=True)
    width = page.viewport_size["width"] if page.viewport_size else VIEWPORT[0]
    clip: Any = {"x": 0, "y": 0, "width": width, "height": PAGESHOT_PIXELS}
    return await page.screenshot(full_page=True, clip=clip)


def _status(answer: Response | None, visit: Visit) -> int:
    return 0 if visit.html is not None or answer is None else answer.status


def _cookie(cookie: Cookie, first: Target) -> Mapping[str, object]:
    return {
        "name": cookie.name,
        "value": cookie.value,
        "domain": "." + cookie.domain if cookie.domain else first.host,
        "path": cookie.path,
        "secure": cookie.secure,
    }


def _reason(fault: Error) -> str:
    """One public sentence of the driver's report, which may name paths of this machine."""
    text = str(fault)
    if "net::" in text:
        return "the page could not be loaded"
    if "closed" in text or "crash" in text.lower():
        return "the page broke its browser"
    return "the browser could not open it"
