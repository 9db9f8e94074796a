"""`make pictures`: every web page as a person sees it, photographed into `pictures/`.

A private `sluice up` with the stand-in for Stripe, in a temporary folder, on free ports; Debian's
chromium looks at each page, wide and narrow, light and dark. What takes months (usage, the canary's
history) is written into the private database beforehand.

Refuses to touch an installation that exists: everything it starts is gone when it ends.
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
from playwright.async_api import Browser, Page, async_playwright

from gateway.embedded.postgres_server import PostgresServer
from ops.pictures_seed import CANARY, USAGE
from services.reader.engines import NAMES
from tests.commands.sluice import Up, up

TARGET: Final = Path("pictures")
SIZES: Final = {"wide": (1280, 900), "narrow": (390, 844)}
PATIENCE_MS: Final = 10_000
STAND_IN: Final = ("tests.stripe_standin.up",)
LINK: Final = re.compile(r"http://[0-9a-z.:]+/sign-in#[0-9a-f]+")
SAMPLE: Final = re.compile(r"/r/(http://[0-9.:]+/)'")
Look = Callable[[Page], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: a page, who looks, in which light, and what is done before."""

    name: str
    path: str
    look: Look
    signed_in: bool = True
    dark: bool = False
    language: str = "en"
    whole: bool = True


async def _nothing(_page: Page) -> None:
    """As the page opens."""


async def _send(page: Page) -> None:
    await page.click("section:not([hidden]) [data-send]")
    await page.wait_for_selector("section:not([hidden]) .answer[data-done]", timeout=60_000)


async def _wrong_key(page: Page) -> None:
    await page.fill("[name=api_key]", "sluice_typed_wrong")
    await page.click("#enter-card button.main")
    await page.wait_for_selector("#said:not(:empty)")


async def _mint(page: Page) -> None:
    await page.click("form[data-call='POST /web/mint'] button")
    await page.wait_for_selector("#fresh:not([hidden])")


async def _ask(page: Page) -> None:
    await page.fill("#question", "How does a sluice keep the book?")
    await page.click("#ask")
    await page.wait_for_selector(".turn[data-done]", timeout=90_000)


SHOTS: Final = (
    Shot("welcome", "/", _nothing, signed_in=False),
    Shot("welcome-dark", "/", _nothing, signed_in=False, dark=True),
    Shot("welcome-fr", "/", _nothing, signed_in=False, language="fr"),
    Shot("welcome-zh", "/", _nothing, signed_in=False, language="zh"),
    Shot("wrong-key", "/", _wrong_key, signed_in=False),
    Shot("fresh-key", "/", _mint, signed_in=False),
    Shot("key", "/", _nothing),
    Shot("key-dark", "/", _nothing, dark=True),
    Shot("playground", "/playground#reader", _send),
    Shot("playground-dark", "/playground#rerank", _send, dark=True),
    Shot("playground-embeddings", "/playground#embeddings", _send),
    Shot("playground-train", "/playground#train", _send),
    Shot("playground-closed", "/playground", _nothing, signed_in=False),
    Shot("chat", "/chat", _ask, whole=False),
    Shot("chat-empty", "/chat", _nothing),
    Shot("limits", "/limits", _nothing),
    Shot("limits-ja", "/limits", _nothing, language="ja"),
    Shot("status", "/status", _nothing),
    Shot("status-dark", "/status", _nothing, dark=True),
    Shot("faq", "/faq", _nothing),
    Shot("sign-in", "/sign-in", _nothing, signed_in=False),
    Shot("account", "/account", _nothing),
    Shot("docs", "/docs", _nothing, signed_in=False),
)


class Album:
    """Takes the pictures of one installation."""

    def __init__(self, running: Up, browser: Browser, folder: Path) -> None:
        self._running = running
        self._browser = browser
        self._folder = folder

    async def person(self) -> list[dict[str, object]]:
        """The cookies of somebody with an account and two keys, one of which has a past."""
        context = await self._browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        await page.goto(f"{self._running.door}/sign-in")
        await page.fill("[name=email]", "ada@example.org")
        await page.click("form[data-call='POST /web/sign-in'] button")
        await page.goto(await self._link())
        await page.click("#with-link button")
        await page.wait_for_url("**/account")
        for name in ("Production", "Prototype"):
            await page.goto(f"{self._running.door}/account")
            await page.fill("#new-name", name)
            await page.click("#new-form button")
            await page.wait_for_selector("#fresh:not([hidden])")
        await self._seed()
        await self._buy(page)
        await page.goto(f"{self._running.door}/playground#reader")
        sample = SAMPLE.findall("\n".join(self._running.lines))[0]
        for address in (sample, sample, f"{sample}nothing", sample):
            await page.fill("#reader-path", address)
            await _send(page)
        cookies = [dict(each) for each in await context.cookies()]
        await context.close()
        return cookies

    async def _link(self) -> str:
        """The sign-in link out of the log, as a developer finds it."""
        for _ in range(100):
            while not self._running.spoken.empty():
                found = LINK.search(self._running.spoken.get())
                if found is not None:
                    return found[0]
            await asyncio.sleep(0.05)
        raise AssertionError("no sign-in link was printed")

    async def _seed(self) -> None:
        line = await asyncpg.connect(PostgresServer(self._folder).dsn, ssl=False)
        await line.execute(USAGE)
        await line.execute(CANARY)
        await line.close()

    async def _buy(self, page: Page) -> None:
        await page.goto(self._running.door)
        await page.check("[name=pack][value=medium]")
        await page.click(".buy button.main")
        await page.wait_for_url("**/c/pay/**")
        await page.click("button[value=pay]")
        await page.wait_for_selector("#said.good", timeout=30_000)

    async def take(self, shot: Shot, cookies: list[dict[str, object]]) -> None:
        """One picture in each size."""
        for size, (width, height) in SIZES.items():
            context = await self._browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if shot.dark else "light",
                locale=shot.language,
                device_scale_factor=1,
            )
            if shot.signed_in:
                await context.add_cookies(cookies)  # type: ignore[arg-type]
            context.set_default_timeout(PATIENCE_MS)
            page = await context.new_page()
            await page.goto(self._running.door + shot.path, wait_until="networkidle")
            await shot.look(page)
            await page.evaluate("scrollTo(0, 0)")
            await page.wait_for_timeout(350)
            file = TARGET / f"{shot.name}-{size}.png"
            await page.screenshot(path=file, full_page=shot.whole)
            await context.close()


async def _run(running: Up, folder: Path, wanted: Sequence[str]) -> None:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program is not None, "apt-get install chromium"
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        album = Album(running, browser, folder)
        cookies = await album.person()
        for shot in SHOTS:
            if not wanted or shot.name.startswith(tuple(wanted)):
                await album.take(shot, cookies)
                sys.stdout.write(f"{shot.name}\n")
        await browser.close()


def main() -> int:
    """Take them all, or those that are named."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("names", nargs="*", help="what the names of the wished ones begin with")
    wanted = asked.parse_args().names
    TARGET.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="sluice-pictures-"))
    try:
        with up(made / "data", words=STAND_IN, env={"WORKERS": "1"}) as running:
            asyncio.run(_run(running, made / "data", wanted))
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
