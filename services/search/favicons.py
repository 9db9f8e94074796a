"""The icons of the sites that were found, as data URIs; through the reader's own SSRF guard.

An icon that is missing, late, too large or no picture is left out. It refuses nothing.
"""

import asyncio
import base64
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from services.reader import target, trust
from services.reader.fetch import Ask, Fetched, Fetcher
from services.reader.guard import Guard, SystemLookup
from services.search.hits import Hit
from services.settings import Settings

ICON_BYTES: Final = 64 * 1024
# An icon is not worth more of a search's time than this.
ICON_MS: Final = 2_000
KINDS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"GIF8", "image/gif"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "image/webp"),
)


class Favicons:
    """Fetches `/favicon.ico` of each site once per search."""

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
        """One data URI per hit, empty where there is no icon."""
        origins = [_origin(hit) for hit in hits]
        left_ms = min(ICON_MS, int((deadline_s - time.monotonic()) * 1000))
        distinct = list(dict.fromkeys(origin for origin in origins if origin))
        if left_ms <= 0 or not distinct:
            return [""] * len(hits)
        found = await asyncio.gather(*(self._icon(origin, left_ms) for origin in distinct))
        icons = dict(zip(distinct, found, strict=True))
        return [icons.get(origin, "") for origin in origins]

    async def _icon(self, origin: str, deadline_ms: int) -> str:
        named = target.parse(f"{origin}/favicon.ico")
        if not isinstance(named, target.Target):
            return ""
        answer = await self._fetcher.fetch(named, Ask({}, deadline_ms, ICON_BYTES))
        if not isinstance(answer, Fetched) or answer.status != 200:
            return ""
        kind = next((kind for mark, kind in KINDS if answer.body.startswith(mark)), None)
        return f"data:{kind};base64,{base64.b64encode(answer.body).decode()}" if kind else ""


def _origin(hit: Hit) -> str:
    if not hit.fetch:
        return ""
    parts = urlsplit(hit.url)
    return f"{parts.scheme}://{parts.netloc}"
