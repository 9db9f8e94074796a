"""Step 3: the body as far as it must be seen, the product that it decides, and the hold.

Refuses to parse: a body is only scanned, and only where its fields decide something. Bodies up to
1 MiB are kept, so that they can be signed whole and sent again; larger ones are streamed, unless
their fields decide.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from gateway.edge import refusals
from gateway.edge.body_scan import NOTHING_SCANNED, BodyScan, Scanned
from gateway.edge.exchange import BodyBrokenError, Exchange
from gateway.edge.forward import MAX_SIGNED_BYTES
from gateway.edge.hosts import Route
from gateway.errors import Problem
from gateway.products.counting import own_count
from gateway.products.estimator import HoldEstimator
from gateway.products.holds import hold_tokens, wanted_fields
from gateway.products.product import Holding, Product
from gateway.tokenizer import Tokenizer
from gateway.units import MS_PER_S

_IDENTITY: Final = ("", "identity")


@dataclass(frozen=True, slots=True)
class Measured:
    """A request whose product and hold are known.

    `body` None: it is streamed, beginning with `prefix`. `hold_tokens` is an upper bound.
    """

    product: Product
    upstream_path: str
    body: bytes | None
    prefix: bytes
    hold_tokens: int
    body_bytes: int
    tokenizer: Tokenizer
    learned: HoldEstimator

    def observe(self, tokens: int) -> None:
        """Learn what such a request cost, where holds are learned."""
        if self.product.holding is Holding.LEARNED:
            self.learned.observe(self.product.name, self.body_bytes, tokens)

    def own_count(self) -> int | None:
        """The gateway's own count, for a service that reported none; None where it cannot."""
        if not self.body:
            return None
        return own_count(self.product, self.body, self.tokenizer.count)


class Measurer:
    """Measures requests; `learned` estimates what cannot be bounded."""

    def __init__(self, learned: HoldEstimator, tokenizer: Tokenizer, body_deadline_ms: int) -> None:
        self._learned = learned
        self._tokenizer = tokenizer
        self._body_deadline_ms = body_deadline_ms

    async def measure(self, exchange: Exchange, route: Route) -> Measured | Problem:
        """The measured request, or why it cannot be one; reads at most what it must."""
        candidates = route.candidates
        if exchange.headers.get("Content-Encoding", "").lower() not in _IDENTITY:
            return refusals.compressed_body()
        most = max(product.max_request_bytes for product in candidates)
        wanted = _wanted(candidates)
        body: bytes | None = b""
        prefix = b""
        if exchange.has_body:
            read = await self._read(exchange, most, whole=bool(wanted))
            if isinstance(read, Problem):
                return read
            body, prefix = read
        scanned = NOTHING_SCANNED
        if wanted and body:
            found = await _scanned(body, wanted)
            if isinstance(found, Problem):
                return found
            scanned = found
        product = candidates[0] if len(candidates) == 1 else _decided(candidates, scanned)
        if product is None:
            return refusals.classify_undecided()
        return self._held(exchange, route, product, body, prefix, scanned)

    def _held(
        self,
        exchange: Exchange,
        route: Route,
        product: Product,
        body: bytes | None,
        prefix: bytes,
        scanned: Scanned,
    ) -> Measured | Problem:
        size = exchange.content_length or product.max_request_bytes if body is None else len(body)
        held = hold_tokens(
            product, size, scanned.fields, exchange.headers, route.upstream_path, self._learned
        )
        if isinstance(held, Problem):
            return held
        path, tokenizer = route.upstream_path, self._tokenizer
        return Measured(product, path, body, prefix, held, size, tokenizer, self._learned)

    async def _read(
        self, exchange: Exchange, most: int, *, whole: bool
    ) -> tuple[bytes | None, bytes] | Problem:
        """The body, or None and what was read of one that is to be streamed."""
        length = exchange.content_length
        if length is not None and length > most:
            exchange.keep_alive = False
            return refusals.body_too_large(most)
        if whole:
            body = await exchange.body(most, self._body_deadline_ms)
            return body if isinstance(body, Problem) else (body, b"")
        if length is not None:
            if length > MAX_SIGNED_BYTES:
                return None, b""
            body = await exchange.body(length, self._body_deadline_ms)
            return body if isinstance(body, Problem) else (body, b"")
        return await self._read_chunks(exchange)

    async def _read_chunks(self, exchange: Exchange) -> tuple[bytes | None, bytes] | Problem:
        """A body of unknown length: whole if it is small, else as far as it came."""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_deadline_ms / MS_PER_S):
                while size <= MAX_SIGNED_BYTES:
                    piece = await exchange.next_chunk()
                    if not piece:
                        return b"".join(parts), b""
                    parts.append(piece)
                    size += len(piece)
        except (TimeoutError, BodyBrokenError):
            exchange.keep_alive = False
            return refusals.body_incomplete()
        return None, b"".join(parts)


def _wanted(candidates: tuple[Product, ...]) -> frozenset[str]:
    """The fields that tell the candidates apart or set the hold."""
    if len(candidates) == 1:
        return wanted_fields(candidates[0])
    fields = {product.body_field for product in candidates if product.body_field is not None}
    return frozenset(fields).union(*(wanted_fields(product) for product in candidates))


def _decided(candidates: tuple[Product, ...], scanned: Scanned) -> Product | None:
    """The first product whose field is there."""
    for product in candidates:
        if product.body_field is not None and scanned.has(product.body_field):
            return product
    return None


async def _scanned(body: bytes, wanted: frozenset[str]) -> Scanned | Problem:
    scan = BodyScan(body, wanted)
    while True:
        found = scan.step()
        if found is not None:
            return found
        await asyncio.sleep(0)
