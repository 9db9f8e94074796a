"""The icons of the sites that were found, as data URIs; through the reader's own SSRF guard.

An icon that is missing, late, too large or no picture is left out. It refuses nothing.
"""

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from services.reader import target, trust
from services.reader.fetch import Ask, Fetched, Fetcher
from services.reader.guard import Guard, SystemLookup
from services.search.hits import Hit, Page
from services.settings import Settings

ICON_BYTES: Final = 64 * 1024
# An icon is not worth more of a search's time than this.
ICON_MS: Final = 2_000
DATA: Final = ("data:image/png;base64,", "data:image/x-icon;base64,", "data:image/gif;base64,")
KINDS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"GIF8", "image/gif"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "image/webp"),
)


class Favicons:
    """Fetches the icon of each site once per search: `/favicon.ico`, or what its page names."""

    def __init__(self, settings: Settings) -> None:
        self._lookup = SystemLookup()
        guard = Guard(
            self._lookup,
            domain=settings.domain,
            allowed=settings.reader_allow,
            own_origins=settings.gateway_origins,
        )
        self._fetcher = Fetcher(guard, trust.context(), settings.reader_user_agent)

    def close(self) -> None:
        """Ends the threads that look names up."""
        self._lookup.close()

    async def of(self, hits: Sequence[Hit], deadline_s: float) -> list[str]:
        """One data URI per hit, empty where there is no icon at the usual place."""
        usual = {origin: f"{origin}/favicon.ico" for origin in map(_origin, hits) if origin}
        icons = await self._icons(usual, deadline_s)
        return [icons.get(_origin(hit), "") for hit in hits]

    async def named(
        self, hits: Sequence[Hit], pages: Sequence[Page], usual: Sequence[str], deadline_s: float
    ) -> list[str]:
        """The same where a page that was read names no other, or one that is none."""
        named: dict[str, str] = {}
        for hit, page in zip(hits, pages, strict=True):
            address = _named_by(page)
            if address and _origin(hit):
                named.setdefault(_origin(hit), address)
        icons = await self._icons(named, deadline_s)
        rows = zip(hits, usual, strict=True)
        return [icons.get(_origin(hit), "") or before for hit, before in rows]

    async def _icons(self, addresses: Mapping[str, str], deadline_s: float) -> dict[str, str]:
        """Data URIs of icons, by whatever the addresses are by."""
        left_ms = min(ICON_MS, int((deadline_s - time.monotonic()) * 1000))
        if left_ms <= 0 or not addresses:
            return {}
        found = await asyncio.gather(*(self._icon(each, left_ms) for each in addresses.values()))
        return dict(zip(addresses, found, strict=True))

    async def _icon(self, address: str, deadline_ms: int) -> str:
        if address.startswith(DATA) and len(address) <= 2 * ICON_BYTES:
            return address
        named = target.parse(address)
        if not isinstance(named, target.Target):
            return ""
        answer = await self._fetcher.fetch(named, Ask({}, deadline_ms, ICON_BYTES))
        if not isinstance(answer, Fetched) or answer.status != 200:
            return ""
        kind = next((kind for mark, kind in KINDS if answer.body.startswith(mark)), None)
        return f"data:{kind};base64,{base64.b64encode(answer.body).decode()}" if kind else ""


def _named_by(page: Page) -> str:
    """The address of the icon that the page names in its head, if it is of a kind that we take."""
    external = page.fields.get("external")
    icons = external.get("icon") if isinstance(external, Mapping) else None
    for address, said in icons.items() if isinstance(icons, Mapping) else ():
        kind = said.get("type", "") if isinstance(said, Mapping) else ""
        if "svg" not in f"{kind}{address[-4:]}":
            return str(address)
    return ""


def _origin(hit: Hit) -> str:
    if not hit.fetch:
        return ""
    parts = urlsplit(hit.url)
    return f"{parts.scheme}://{parts.netloc}"
