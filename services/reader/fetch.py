"""Fetches one page: the hops by hand, every one judged; time, size and decompression bounded.

It refuses what the guard refuses, a target that fails or is silent, and a body beyond the cap. It
keeps nothing between requests: no cookies, no connections, no proxies from the environment.
"""

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import aiohttp
from yarl import URL

from services.reader.guard import AddressRefusedError, Guard, Pinned, connector
from services.reader.refusals import Refusal, no_content, too_large, unreachable
from services.reader.target import Target, join

HOPS: Final = 10
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
CONNECT_S: Final = 10.0
# A target silent for this long is given up, whatever its deadline.
SILENCE_S: Final = 15.0
# Decompressed at once; about 1 ms of the loop.
INFLATE_BYTES: Final = 256 * 1024
HEAD_BYTES: Final = 32 * 1024
ACCEPT: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,text/plain;q=0.8,*/*;q=0.5"
# 16 is zlib's flag for a gzip wrapper; negative is a deflate stream without one.
GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
ENCODINGS: Final = {"gzip": GZIP_WINDOW, "x-gzip": GZIP_WINDOW, "deflate": zlib.MAX_WBITS}


@dataclass(frozen=True, slots=True)
class Ask:
    """What one fetch may send and take. `headers` are the client's wishes, already checked."""

    headers: Mapping[str, str]
    deadline_ms: int
    page_bytes: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer of a target, decoded from its transfer and content encodings, not from its text."""

    target: Target
    status: int
    reason: str
    content_type: str
    charset: str | None
    body: bytes


class Fetcher:
    """Fetches pages through a guard. Holds nothing between pages but the trust in certificates."""

    def __init__(self, guard: Guard, tls: ssl.SSLContext, user_agent: str) -> None:
        self._guard = guard
        self._tls = tls
        self._user_agent = user_agent

    async def fetch(self, target: Target, ask: Ask) -> Fetched | Refusal:
        """The page at the end of the redirects, or why there is none."""
        try:
            async with asyncio.timeout(ask.deadline_ms / 1000):
                return await self._follow(target, ask)
        except TimeoutError:
            return unreachable(
                f"Failed to read {target.url}: no complete answer within {ask.deadline_ms} ms"
            )

    async def _follow(self, target: Target, ask: Ask) -> Fetched | Refusal:
        for _ in range(HOPS + 1):
            pinned = await self._guard.judge(target)
            if isinstance(pinned, Refusal):
                return pinned
            outcome = await self._hop(pinned, ask)
            if not isinstance(outcome, Target):
                return outcome
            target = outcome
        return no_content(f"Too many redirects (more than {HOPS}), the last to {target.url}")

    async def _hop(self, pinned: Pinned, ask: Ask) -> Fetched | Target | Refusal:
        """One request: a page, the next target, or a refusal."""
        target = pinned.target
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector(pinned, self._tls),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    trust_env=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S
                    ),
                    max_line_size=HEAD_BYTES,
                    max_field_size=HEAD_BYTES,
                ) as session,
                session.get(
                    URL(target.url, encoded=True),
                    headers=self._headers(target, ask),
                    allow_redirects=False,
                ) as response,
            ):
                location = response.headers.get("Location")
                if response.status in REDIRECTS and location:
                    return join(target, location)
                return await _take(response, target, ask.page_bytes)
        except AddressRefusedError as refused:
            return unreachable(f"Failed to connect to {target.host}: {refused}")
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as failure:
            return unreachable(f"Failed to read {target.url}: {_reason(failure)}")

    def _headers(self, target: Target, ask: Ask) -> dict[str, str]:
        return {
            "User-Agent": self._user_agent,
            "Accept": ACCEPT,
            "Accept-Encoding": "gzip, deflate",
            "Accept-Language": "en-US,en;q=0.9",
            **ask.headers,
            **_authorization(target),
        }


async def _take(
    response: aiohttp.ClientResponse, target: Target, page_bytes: int
) -> Fetched | Refusal:
    """The answer with its body, read and decompressed piece by piece up to the cap."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ENCODINGS and encoding not in ("", "identity"):
        return unreachable(f"{target.url} answered in the encoding {encoding!r}, not asked for")
    inflate = _Inflate(ENCODINGS.get(encoding))
    pieces: list[bytes] = []
    size = 0
    try:
        async for chunk in response.content.iter_any():
            inflate.feed(chunk)
            while piece := inflate.take():
                pieces.append(piece)
                size += len(piece)
                if size > page_bytes:
                    return too_large(f"{target.url} is larger than {page_bytes} bytes")
                if inflate.waiting:
                    await asyncio.sleep(0)  # a bomb shares the loop with everyone else
        while piece := inflate.rest():
            pieces.append(piece)
    except zlib.error:
        return unreachable(f"{target.url} sent a broken {encoding} stream")
    if not inflate.complete:
        return unreachable(f"{target.url} sent a {encoding} stream that breaks off")
    return Fetched(
        target=target,
        status=response.status,
        reason=response.reason or "",
        content_type=response.content_type if "Content-Type" in response.headers else "",
        charset=_charset(response),
        body=b"".join(pieces),
    )


class _Inflate:
    """Undoes a content encoding in bounded steps; passes bytes through when there is none."""

    def __init__(self, window: int | None) -> None:
        self._window = window
        self._stream = None if window is None else zlib.decompressobj(window)
        self._waiting = b""
        self._begun = False

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def feed(self, chunk: bytes) -> None:
        self._waiting += chunk

    def take(self) -> bytes:
        """At most INFLATE_BYTES of output; empty when more input is needed."""
        if self._stream is None:
            piece, self._waiting = self._waiting, b""
            return piece
        if not self._waiting or self._stream.eof:
            self._waiting = b""  # what follows the end of the stream is not part of the page
            return b""
        piece = self._step(self._stream)
        self._begun = True
        return piece

    def rest(self) -> bytes:
        """What the decoder still held when the input ended: less than one of its windows."""
        if self._stream is None or self._stream.eof:
            return b""
        return self._stream.decompress(b"", INFLATE_BYTES)

    @property
    def complete(self) -> bool:
        """Whether the stream came to its own end; an answer without a body has none."""
        return self._stream is None or self._stream.eof or not self._begun

    def _step(self, stream: "zlib._Decompress") -> bytes:
        try:
            piece = stream.decompress(self._waiting, INFLATE_BYTES)
        except zlib.error:
            if self._begun or self._window != zlib.MAX_WBITS:
                raise
            # Some servers send "deflate" without the wrapper that the standard asks for.
            stream = self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
            piece = stream.decompress(self._waiting, INFLATE_BYTES)
        self._waiting = stream.unconsumed_tail
        return piece


def _authorization(target: Target) -> dict[str, str]:
    """What a user name in the URL asks for; it is sent to that URL alone, not along redirects."""
    if not target.userinfo:
        return {}
    user, _, password = target.userinfo.partition(":")
    # A colon would end the user name in this scheme, so it stays encoded.
    name = unquote(user).replace(":", "%3A")
    return {"Authorization": aiohttp.encode_basic_auth(name, unquote(password))}


def _charset(response: aiohttp.ClientResponse) -> str | None:
    try:
        return response.charset
    except (RuntimeError, ValueError):
        return None


def _reason(failure: BaseException) -> str:
    """One public sentence; it names no address that the client did not name himself."""
    if isinstance(failure, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid"
    if isinstance(failure, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return "the TLS handshake failed"
    if isinstance(failure, TimeoutError):
        return "it did not answer in time"
    if isinstance(failure, aiohttp.ClientConnectorError):
        return f"the connection failed ({failure.os_error.strerror or 'no route'})"
    if isinstance(failure, aiohttp.ClientPayloadError):
        return "its answer broke off"
    if isinstance(failure, aiohttp.ServerDisconnectedError | ConnectionError):
        return "it closed the connection"
    return "its answer is not valid HTTP"
