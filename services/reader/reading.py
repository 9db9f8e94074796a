"""One page from the wish to the parts: found, fetched or opened, and taken apart.

1. a document that came along is taken as it is; else the target's robots.txt is asked, if wanted
2. a page kept on disk answers if it is fresh enough; else it is fetched, or opened in the browser
3. iframes are fetched like pages; images without a text are described, if wanted
4. a page that is empty before its scripts have run is opened in the browser, if there is one

It refuses what the guard refuses, and options that need an engine or a model that is not here.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Final

from services.reader import cache, robots, target
from services.reader.cache import Cache
from services.reader.early import Early, Progress
from services.reader.fetch import Ask, Fetched, Fetcher
from services.reader.forms import Reading
from services.reader.jobs import Extracted, Failure, Frame, Job
from services.reader.pool import Pool
from services.reader.refusals import (
    Refusal,
    bad_option,
    denied,
    no_content,
    not_available,
)
from services.reader.target import Target
from services.reader.verdicts import accepted, failed, status_warning, tokens
from services.reader.vision import Describer
from services.reader.visits import MISSING, Browser, Rendered, Visit
from services.reader.wanted import Wanted, timing
from services.reader.wanted import proxy as proxy_of

FRAMES: Final = 10
# Address, content type, charset and bytes of an iframe's document.
Document = tuple[str, str, str | None, bytes]
# A frame is a part of a page; the page is not made to wait for it for all of its time.
FRAMES_SHARE: Final = 0.5
ROBOTS_STATUS: Final = range(500, 600)
FEW_TOKENS: Final = 200
CACHED: Final = (
    "This is a cached snapshot of the original page, consider retry with caching opt-out."
)
UNSETTLED: Final = "This page maybe not yet fully loaded, consider explicitly specify a timeout."


class Readings:
    """Reads pages. `browser` and `describer` are None where this deployment has none."""

    def __init__(
        self,
        fetcher: Fetcher,
        pool: Pool,
        kept: Cache,
        page_bytes: int,
        browser: Browser | None,
        describer: Describer | None,
    ) -> None:
        self._fetcher = fetcher
        self._pool = pool
        self._kept = kept
        self._page_bytes = page_bytes
        self._browser = browser
        self._describer = describer

    async def read(self, wanted: Wanted, progress: Progress | None = None) -> Reading | Refusal:
        """The page, or why there is none; `progress` hears of less complete ones before."""
        refused = self._not_here(wanted)
        if refused is not None:
            return refused
        if wanted.needs_browser or (wanted.upload and self._wants_browser(wanted)):
            return await self._by_browser(wanted, progress)
        page = await self._page(wanted)
        if isinstance(page, Refusal):
            return page
        fetched, cached = page
        reading = await self._parts(wanted, fetched, CACHED if cached else "", None)
        if isinstance(reading, Refusal) or not self._is_unwritten(wanted, reading):
            return accepted(wanted, reading)
        if progress is not None and not isinstance(accepted(wanted, reading), Refusal):
            progress(reading)
        rendered = await self._by_browser(wanted, None)
        # What was served is better than nothing where the browser could not do more with it.
        return accepted(wanted, reading) if isinstance(rendered, Refusal) else rendered

    def _not_here(self, wanted: Wanted) -> Refusal | None:
        options = wanted.options
        if options.unfetchable is not None and wanted.upload is None:
            return options.unfetchable
        if wanted.needs_browser and self._browser is None:
            return bad_option("engine", MISSING)
        if options.generated_alt and self._describer is None:
            return not_available(
                "withGeneratedAlt", "Generated alt text needs a vision model, which"
            )
        return None

    def _wants_browser(self, wanted: Wanted) -> bool:
        options = wanted.options
        asked = options.engine == "browser" or options.viewport is not None
        is_page = wanted.upload is not None and wanted.upload.content_type == "text/html"
        return asked and is_page and self._browser is not None

    def _is_unwritten(self, wanted: Wanted, reading: Reading) -> bool:
        """Whether the browser may find more than the page as it was served has."""
        if self._browser is None or wanted.upload or wanted.options.engine != "auto":
            return False
        return reading.parts.shell

    async def _page(self, wanted: Wanted) -> tuple[Fetched, bool] | Refusal:
        """The document that came along, the one that is kept, or the one at the address."""
        named, options = wanted.named, wanted.options
        if wanted.upload is not None:
            sent = wanted.upload
            here = named or Target("http", "localhost", 80, "/")
            return Fetched(here, 0, "", sent.content_type, sent.charset, sent.body), False
        assert named is not None
        proxy = proxy_of(options.proxy)
        if isinstance(proxy, Refusal):
            return proxy
        ask = Ask(options.request_headers, wanted.left_ms, self._page_bytes, options.cookies, proxy)
        barred = await self._barred(wanted, named, ask)
        if barred is not None:
            return barred
        name = cache.name_of(named.url, options.request_headers, "direct")
        private = options.private or options.cookies or proxy or named.userinfo
        kept = None if private else await self._kept.load(name, options.tolerance_s)
        if kept is not None:
            refused = await self._fetcher.judge(named)
            return refused or (kept, True)
        page = await self._fetcher.fetch(named, replace(ask, deadline_ms=wanted.left_ms))
        if isinstance(page, Fetched) and not private:
            await self._kept.keep(name, page)
        return page if isinstance(page, Refusal) else (page, False)

    async def _barred(self, wanted: Wanted, named: Target, ask: Ask) -> Refusal | None:
        agent = wanted.options.robots_agent
        if not agent:
            return None
        rules = replace(named, rest="/robots.txt", fragment="")
        found = await self._fetcher.fetch(rules, replace(ask, page_bytes=robots.ROBOTS_BYTES))
        if isinstance(found, Refusal):
            # No rules could be had; whether the target can be is for the fetch to say.
            return found if found.status == 451 else None
        text = found.body.decode("utf-8", "replace") if found.status == 200 else ""
        closed = found.status in ROBOTS_STATUS
        if closed or not robots.allows(text, agent, named.rest):
            return denied(f"Access to {named.url} is denied to {agent} by robots.txt")
        return None

    async def _by_browser(self, wanted: Wanted, progress: Progress | None) -> Reading | Refusal:
        assert self._browser is not None
        options, wishes = wanted.options, wanted.options.wishes
        proxy = proxy_of(options.proxy) if wanted.upload is None else None
        if isinstance(proxy, Refusal):
            return proxy
        here = wanted.named or Target("http", "localhost", 80, "/")
        if wanted.upload is None:
            ask = Ask(options.request_headers, wanted.left_ms, self._page_bytes, proxy=proxy)
            barred = await self._barred(wanted, here, ask)
            if barred is not None:
                return barred
        visit = Visit(
            here,
            wanted.left_ms,
            options.request_headers,
            options.cookies,
            wanted.upload.body if wanted.upload else None,
            timing(options),
            wishes.wait_selectors or wishes.target_selectors,
            options.shots,
            options.viewport,
            options.scripts,
            wishes.shadow_dom,
            bool(wishes.iframes),
            proxy,
        )
        if progress is None:
            return await self._rendered(wanted, visit)
        async with Early(partial(self._early, wanted, here), progress) as early:
            return await self._rendered(wanted, replace(visit, early=early.hear))

    async def _early(self, wanted: Wanted, here: Target, html: str) -> Reading | Refusal:
        page = Fetched(here, 200, "OK", "text/html", "utf-8", html.encode("utf-8", "replace"))
        return accepted(wanted, await self._parts(wanted, page, UNSETTLED, None))

    async def _rendered(self, wanted: Wanted, visit: Visit) -> Reading | Refusal:
        assert self._browser is not None
        common = visit.is_common and not wanted.options.private
        name = cache.name_of(visit.target.url, visit.headers, visit.manner)
        kept = await self._kept.load(name, wanted.options.tolerance_s) if common else None
        if kept is not None:
            refused = await self._fetcher.judge(visit.target)
            return refused or accepted(wanted, await self._parts(wanted, kept, CACHED, None))
        done = await self._browser.render(visit)
        if isinstance(done, Refusal):
            return done
        body = done.html.encode("utf-8", "replace")
        page = Fetched(
            done.target, done.status, done.reason, "text/html", "utf-8", body, done.public
        )
        if common and done.settled:
            await self._kept.keep(name, page)
        reading = await self._parts(wanted, page, "" if done.settled else UNSETTLED, done)
        return accepted(wanted, reading)

    async def _parts(
        self, wanted: Wanted, page: Fetched, hint: str, rendered: Rendered | None
    ) -> Reading | Refusal:
        if not page.body.strip():
            return no_content(f"No content available for URL {wanted.shown}")
        job, body = await self._job(wanted, page, rendered)
        parts = await self._pool.extract(job, body, wanted.left_ms)
        if isinstance(parts, Extracted) and wanted.options.generated_alt and self._describer:
            alts = await self._describer.describe(parts.nameless, wanted.left_ms)
            if alts:
                parts = await self._pool.extract(replace(job, alts=alts), body, wanted.left_ms)
        if isinstance(parts, Failure):
            return failed(parts, wanted.shown)
        hints = (hint,) if hint and parts.tokens < FEW_TOKENS else ()
        warnings = (*status_warning(page), *parts.warnings, *hints)
        shot = rendered.screenshot if rendered else None
        pageshot = rendered.pageshot if rendered else None
        return Reading(
            wanted.shown, page.status, page.reason, parts, warnings,
            tokens(wanted, page.status, parts), shot, pageshot,
        )  # fmt: skip

    async def _job(
        self, wanted: Wanted, page: Fetched, rendered: Rendered | None
    ) -> tuple[Job, bytes]:
        options = wanted.options
        first = wanted.named.url if wanted.named else ""
        final = page.target.url if wanted.upload is None else ""
        number = wanted.named.fragment if wanted.named else ""
        job = Job(
            url=final if options.final_base else first,
            content_type=page.content_type,
            charset=page.charset,
            wishes=options.wishes,
            name=wanted.upload.name if wanted.upload else "",
            page=int(number[:6]) if number.isascii() and number.isdigit() else None,
        )
        if not options.wishes.iframes:
            return job, page.body
        documents: list[Document]
        if rendered is not None:
            documents = [(url, "text/html", "utf-8", html.encode("utf-8", "replace"))
                         for url, html in rendered.frames]  # fmt: skip
        else:
            documents = await self._frames(wanted, job, page)
        frames = tuple(Frame(url, kind, charset, len(body))
                       for url, kind, charset, body in documents)  # fmt: skip
        return replace(job, frames=frames), page.body + b"".join(row[3] for row in documents)

    async def _frames(self, wanted: Wanted, job: Job, page: Fetched) -> list[Document]:
        """The documents of the page's iframes, as far as they can be had in half the time."""
        found = await self._pool.extract(replace(job, survey=True), page.body, wanted.left_ms)
        if isinstance(found, Failure):
            return []
        ask = Ask(
            wanted.options.request_headers, int(wanted.left_ms * FRAMES_SHARE), self._page_bytes
        )
        named = [(url, target.parse(url)) for url in found.frames[:FRAMES]]
        fetched = await asyncio.gather(
            *(self._fetcher.fetch(there, ask) for _, there in named if isinstance(there, Target))
        )
        urls = [url for url, there in named if isinstance(there, Target)]
        return [
            (url, frame.content_type, frame.charset, frame.body)
            for url, frame in zip(urls, fetched, strict=True)
            if isinstance(frame, Fetched) and frame.status < 400
        ]
