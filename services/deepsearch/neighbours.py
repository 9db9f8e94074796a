"""The services that a research works with, asked as the gateway asks them: signed, on behalf of
the client's own subject, under a deadline.

It refuses answers beyond a cap. What cannot be reached, or answers 502 to 504, is asked once more;
nothing here is charged by the gateway, which never sees these calls.
"""

import asyncio
import hashlib
import io
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import aiohttp
import orjson

from services import trace_context, wire
from services.signing import sign

CHUNK_BYTES: Final = 256 * 1024
# Vectors of 1,024 texts in base64 are 6 MB at 1,024 dimensions.
ANSWER_BYTES: Final = 16 * 1024 * 1024
ATTEMPTS: Final = 2
PAUSE_S: Final = 0.1
PASSING: Final = frozenset({502, 503, 504})
# Parsed in a thread beyond this: orjson reads about 500 KB in a millisecond.
SMALL_BYTES: Final = 1024 * 1024


class NeighbourError(Exception):
    """A service gave no answer that is of use; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: its document, and what it says it used."""

    status: int
    document: Any
    usage_tokens: int


@dataclass(slots=True)
class Caller:
    """On whose behalf, and for which request; every inner call gets an id of its own."""

    subject: str
    request_id: str
    calls: int = 0

    def next_id(self) -> str:
        """A further id, the same for the same request and number."""
        self.calls += 1
        return str(uuid5(NAMESPACE_URL, f"{self.request_id}/{self.calls}"))

    @property
    def uuid(self) -> UUID | None:
        """The outer id where it is one."""
        try:
            return UUID(self.request_id)
        except ValueError:
            return None


class Neighbour:
    """The service at `url`, `unix:/path` or http; empty means that there is none."""

    def __init__(self, name: str, url: str, secret: bytes) -> None:
        self.name = name
        self._socket = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._base = f"http://{name}" if self._socket else url
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    @property
    def is_there(self) -> bool:
        return bool(self._base)

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(
        self,
        path: str,
        fields: Mapping[str, Any],
        caller: Caller,
        deadline_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer, whatever its status below 500. Raises NeighbourError."""
        if not self._base:
            raise NeighbourError(f"no {self.name} is deployed")
        body = orjson.dumps(fields)
        why = "no time is left"
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(PAUSE_S)
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                break
            try:
                async with asyncio.timeout(left_s):
                    reply = await self._once(path, body, caller, left_s, headers or {})
            except TimeoutError:
                raise NeighbourError(f"{self.name} gave no answer in time") from None
            except (aiohttp.ClientError, OSError) as fault:
                why = f"{self.name} cannot be reached ({type(fault).__name__})"
                continue
            if reply.status < 500:
                return reply
            why = f"{self.name} answered {reply.status}"
            if reply.status not in PASSING:
                break
        raise NeighbourError(why)

    async def _once(
        self, path: str, body: bytes, caller: Caller, left_s: float, headers: Mapping[str, str]
    ) -> Reply:
        head = {
            **headers,
            "Accept": wire.JSON_TYPE,
            "Content-Type": wire.JSON_TYPE,
            "X-Timeout": str(min(180, max(1, math.ceil(left_s)))),
            **self._signed(path, body, caller),
        }
        async with self._connected().post(
            self._base + path,
            data=io.BytesIO(body),
            headers=head,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            raw = await self._read(answer)
            return Reply(answer.status, await _parsed(raw), _usage(answer.headers))

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        parts = []
        size = 0
        async for part in answer.content.iter_chunked(CHUNK_BYTES):
            size += len(part)
            if size > ANSWER_BYTES:
                raise NeighbourError(f"{self.name} answered with more than can be taken")
            parts.append(part)
        return b"".join(parts)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector: aiohttp.BaseConnector = (
                aiohttp.UnixConnector(self._socket, limit=0)
                if self._socket
                else aiohttp.TCPConnector(limit=0)
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _signed(self, path: str, body: bytes, caller: Caller) -> dict[str, str]:
        stamp = str(time.time_ns() // 1_000_000)
        digest = hashlib.sha256(body).hexdigest()
        request_id = caller.next_id()
        signature = sign(
            self._secret,
            method="POST",
            path_with_query=path,
            body_digest=digest,
            request_id=request_id,
            time_ms=stamp,
            subject=caller.subject,
        )
        return {
            wire.REQUEST_ID: request_id,
            wire.SIGNED_TIME: stamp,
            wire.SUBJECT: caller.subject,
            wire.BODY_DIGEST: digest,
            wire.SIGNATURE: signature,
            **trace_context.passed_on(),
        }


async def _parsed(raw: bytes) -> Any:
    """The document, or None where it is none."""
    try:
        if len(raw) > SMALL_BYTES:
            return await asyncio.to_thread(orjson.loads, raw)
        return orjson.loads(raw)
    except ValueError:
        return None


def _usage(headers: Mapping[str, str]) -> int:
    text = headers.get(wire.USAGE_TOKENS, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
