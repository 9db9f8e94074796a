"""Fetches one page: the hops by hand, every one judged; time, size and decompression bounded.

It refuses what the guard refuses, a target that fails or is silent, and a body beyond the cap. It
keeps nothing between requests: no cookies, no connections, no proxies from the environment.
"""

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

import aiohttp
from yarl import URL

from services.reader import cookies
from services.reader.cookies import Cookie
from services.reader.guard import AddressRefusedError, Guard, Pinned, connector
from services.reader.inflate import ENCODINGS, Inflate
from services.reader.refusals import Refusal, no_content, too_large, unreachable
from services.reader.target import Target, join
from services.turnstile import Turnstile

HOPS: Final = 10
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
CONNECT_S: Final = 10.0
# A target silent for this long is given up, whatever its deadline.
SILENCE_S: Final = 15.0
HEAD_BYTES: Final = 32 * 1024
ACCEPT: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,text/plain;q=0.8,*/*;q=0.5"
# Sent along redirects to other hosts; what else a client sends is for the host that he named.
ANYWHERE: Final = frozenset({"User-Agent", "Referer", "Accept-Language", "DNT"})


@dataclass(frozen=True, slots=True)
class Ask:
    """What one fetch may send and take. `headers` are the client's wishes, already checked.

    With a `proxy` every hop goes through it, and is judged all the same. `first_host` is the host
    that the client named, which alone gets what he meant for it.
    """

    headers: Mapping[str, str]
    deadline_ms: int
    page_bytes: int
    cookies: tuple[Cookie, ...] = ()
    proxy: Target | None = None
    first_host: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer of a target, decoded from its transfer and content encodings, not from its text."""

    target: Target
    status: int
    reason: str
    content_type: str
    charset: str | None
    body: bytes
    # Whether the answer may be kept for others: it says nothing against it, and sets no cookie.
    public: bool = False


class Fetcher:
    """Fetches pages through a guard. Holds nothing between pages but the trust in certificates."""

    def __init__(self, guard: Guard, tls: ssl.SSLContext, user_agent: str) -> None:
        self._guard = guard
        self._tls = tls
        self._user_agent = user_agent
        self._turnstile = Turnstile()

    async def judge(self, target: Target) -> Refusal | None:
        """Why `target` must not be fetched, or None."""
        verdict = await self._guard.judge(target)
        return verdict if isinstance(verdict, Refusal) else None

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
        ask = replace(ask, first_host=ask.first_host or target.host)
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
        way = pinned
        if ask.proxy is not None:
            judged = await self._guard.judge(ask.proxy)
            if isinstance(judged, Refusal):
                return judged
            way = judged
        await self._turnstile.through()  # names are resolved in bunches
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector(way, self._tls),
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
                    proxy=None if ask.proxy is None else URL(ask.proxy.url, encoded=True),
                    proxy_headers=proxy_authorization(ask.proxy),
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
        own = target.host == ask.first_host
        wishes = {name: said for name, said in ask.headers.items() if own or name in ANYWHERE}
        cookie = cookies.header(ask.cookies, target, ask.first_host)
        return {
            "User-Agent": self._user_agent,
            "Accept": ACCEPT,
            "Accept-Encoding": "gzip, deflate",
            "Accept-Language": "en-US,en;q=0.9",
            **wishes,
            **({"Cookie": cookie} if cookie else {}),
            **_authorization(target),
            # Through a proxy a plain request is one to the proxy; an encrypted one is not.
            **(proxy_authorization(ask.proxy) if target.scheme == "http" else {}),
        }


async def _take(
    response: aiohttp.ClientResponse, target: Target, page_bytes: int
) -> Fetched | Refusal:
    """The answer with its body, read and decompressed piece by piece up to the cap."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ENCODINGS and encoding not in ("", "identity"):
        return unreachable(f"{target.url} answered in the encoding {encoding!r}, not asked for")
    inflate = Inflate(ENCODINGS.get(encoding))
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
        public=is_public(response.status, response.headers),
    )


def is_public(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer says nothing against being kept; `headers` know no upper case."""
    said = headers.get("cache-control", "").lower()
    kept_from_others = "no-store" in said or "private" in said
    return status == 200 and not kept_from_others and "set-cookie" not in headers


def _authorization(target: Target) -> dict[str, str]:
    """What a user name in the URL asks for; it is sent to that URL alone, not along redirects."""
    if not target.userinfo:
        return {}
    user, _, password = target.userinfo.partition(":")
    # A colon would end the user name in this scheme, so it stays encoded.
    name = unquote(user).replace(":", "%3A")
    return {"Authorization": aiohttp.encode_basic_auth(name, unquote(password))}


def proxy_authorization(proxy: Target | None) -> dict[str, str]:
    """The header with which a client's own proxy lets him in; none where it needs none."""
    found = _authorization(proxy) if proxy is not None else {}
    return {f"Proxy-{name}": said for name, said in found.items()}


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
    if isinstance(failure, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return "the proxy did not let it through"
    if isinstance(failure, aiohttp.ClientConnectorError):
        return f"the connection failed ({failure.os_error.strerror or 'no route'})"
    if isinstance(failure, aiohttp.ClientPayloadError):
        return "its answer broke off"
    if isinstance(failure, aiohttp.ServerDisconnectedError | ConnectionError):
        return "it closed the connection"
    return "its answer is not valid HTTP"
