"""One HTTP request to a provider: under a deadline, bounded, and never following a redirect.

Whatever is not a complete answer with status 200 is a ProviderError. It refuses answers beyond the
cap, which no list of twenty hits needs.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson

from services.search.providers.port import BusyError, ProviderError

# Parsed on the event loop: about 4 ms.
ANSWER_BYTES: Final = 1024 * 1024
CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """One request; a `document` makes it a POST with JSON."""

    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Mapping[str, Any] | None = None


class Transport:
    """The connections to all providers. Made and closed on the event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, call: Call, deadline_ms: int) -> bytes:
        """The body of the answer."""
        if self._session is None:
            # Answers of different searches never meet: no cookies.
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                return await _fetch(self._session, call)
        except TimeoutError:
            raise ProviderError(f"no answer within {deadline_ms} ms") from None
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            raise ProviderError(f"{type(fault).__name__}: {fault}") from fault

    async def json(self, call: Call, deadline_ms: int) -> dict[str, Any]:
        """The body as a JSON object."""
        body = await self.fetch(call, deadline_ms)
        try:
            found = orjson.loads(body)
        except ValueError:
            raise ProviderError("the answer is no JSON") from None
        if not isinstance(found, dict):
            raise ProviderError("the answer is no JSON object")
        return found


async def _fetch(session: aiohttp.ClientSession, call: Call) -> bytes:
    async with session.request(
        "GET" if call.document is None else "POST",
        call.url,
        params=call.query,
        headers={"Accept": "application/json", **call.headers},
        json=call.document,
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=None),
    ) as answer:
        if answer.status == 429:
            raise BusyError("asked too often (429)")
        if answer.status != 200:
            raise ProviderError(f"answered {answer.status}")
        parts = []
        size = 0
        async for part in answer.content.iter_chunked(CHUNK_BYTES):
            size += len(part)
            if size > ANSWER_BYTES:
                raise ProviderError(f"the answer is larger than {ANSWER_BYTES} bytes")
            parts.append(part)
        return b"".join(parts)
