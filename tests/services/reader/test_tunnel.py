"""The browser's only way out, asked without a browser: what it lets through, and what not."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from services.reader.guard import Guard, SystemLookup
from services.reader.tunnel import Pass, Tunnel
from services.settings import parse_origin
from tests.services import ssrf
from tests.services.canary import Canary
from tests.services.site import Site


class Way:
    """A tunnel and one pass through it."""

    def __init__(self, tunnel: Tunnel, port: int, shown: Pass) -> None:
        self.tunnel = tunnel
        self.shown = shown
        self._port = port

    async def ask(self, first: str, *, word: str | None = None, host: str = "x") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        said = f"{self.shown.name}:{word or self.shown.word}"
        basic = base64.b64encode(said.encode()).decode()
        head = f"{first} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic {basic}\r\n\r\n"
        writer.write(head.encode("utf-8", "replace"))
        async with asyncio.timeout(30):
            answer = b""
            while b"established" not in answer and (piece := await reader.read(65536)):
                answer += piece
        writer.close()
        return answer


@pytest.fixture
async def way(site: Site) -> AsyncIterator[Way]:
    origin = parse_origin(site.origin)
    assert not isinstance(origin, str)
    lookup = SystemLookup()
    guard = Guard(lookup, domain="localhost", allowed=frozenset({origin}), own_origins=frozenset())
    tunnel = Tunnel(guard)
    port = await tunnel.open()
    yield Way(tunnel, port, tunnel.admit(1_000_000))
    await tunnel.close()
    lookup.close()


async def test_no_spelling_gets_through_plain_or_tunnelled(way: Way, canary: Canary) -> None:
    limit = asyncio.Semaphore(20)

    async def refused(first: str) -> bool:
        async with limit:
            answer = await way.ask(first)
        return answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400", b"HTTP/1.1 502"))

    asks = []
    for url in ssrf.urls(canary.port):
        if url.isprintable() and " " not in url:
            asks.append(f"GET {url}")
            authority = url.partition("//")[2].partition("/")[0]
            asks.append(f"CONNECT {authority}")
    done = await asyncio.gather(*(refused(first) for first in asks))
    assert [first for first, ok in zip(asks, done, strict=True) if not ok] == []
    assert canary.connections == 0


async def test_allowed_site_is_reached_both_ways(way: Way, site: Site) -> None:
    assert b"A lock is a chamber" in await way.ask(f"GET {site.origin}/page/article")
    sent = site.requests[-1][1]
    assert "Proxy-Authorization" not in sent
    tunnelled = await way.ask(f"CONNECT 127.0.0.1:{site.port}")
    assert tunnelled.startswith(b"HTTP/1.1 200 Connection established")


async def test_without_a_pass_nothing_is_let_through(way: Way, site: Site) -> None:
    answer = await way.ask(f"GET {site.origin}/page/article", word="wrong")
    assert answer.startswith(b"HTTP/1.1 407")
    way.tunnel.dismiss(way.shown)
    answer = await way.ask(f"GET {site.origin}/page/article")
    assert answer.startswith(b"HTTP/1.1 407")


async def test_page_moves_no_more_than_its_share(way: Way, site: Site) -> None:
    answer = await way.ask(f"GET {site.origin}/endless")
    assert len(answer) < 1_200_000
    assert way.shown.left_bytes < 0
