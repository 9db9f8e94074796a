"""Step 3: the body as far as it must be seen, the product that it decides, and the hold.

Refuses to parse: a body is only scanned, and only where its fields decide something. Bodies up to
1 MiB are kept, so that they can be signed whole and sent again; larger ones are streamed, unless
their fields decide. Where the body's length is the hold and the client does not tell it, more is
kept before the most that such a body may have is held for it.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final, Self

from gateway.edge import refusals
from gateway.edge.body_scan import NOTHING_SCANNED, BodyScan, Scanned
from gateway.edge.exchange import Exchange
from gateway.edge.forward import MAX_SIGNED_BYTES
from gateway.edge.hosts import Route
from gateway.edge.room import FREE_BYTES, BodyRoom
from gateway.errors import Problem
from gateway.products.counting import own_count
from gateway.products.estimator import HoldEstimator
from gateway.products.holds import hold_tokens, wanted_fields
from gateway.products.product import Holding, Product
from gateway.tokenizer import Tokenizer
from gateway.units import MIB

_IDENTITY: Final = ("", "identity")
# Of a body of unknown length. Text of a million tokens has some 4 MB: whatever is longer needs a
# balance for the longest body that is taken, until it has ended.
MAX_GATHERED_BYTES: Final = 4 * MIB


@dataclass(frozen=True, slots=True)
class Measured:
    """A request whose product and hold are known.

    `body` None: it is streamed, beginning with `prefix`, and cut at `most_bytes`. `hold_tokens` is
    an upper bound; `is_open`: it is one only because the body ends somewhere.
    """

    product: Product
    upstream_path: str
    body: bytes | None
    prefix: bytes
    hold_tokens: int
    body_bytes: int
    tokenizer: Tokenizer
    learned: HoldEstimator
    most_bytes: int
    is_open: bool = False

    def within(self, tokens: int) -> Self:
        """The same request with no more held than there is: its body may be no longer."""
        return replace(self, hold_tokens=tokens, most_bytes=min(tokens, self.most_bytes))

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

    def __init__(
        self, learned: HoldEstimator, tokenizer: Tokenizer, room: BodyRoom, body_deadline_ms: int
    ) -> None:
        self._learned = learned
        self._tokenizer = tokenizer
        self._body_deadline_ms = body_deadline_ms
        self.room = room

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
            read = await self._read(exchange, most, wanted, candidates[0])
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
        if body and len(body) > product.max_request_bytes:
            return refusals.body_too_large(product.max_request_bytes)
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
        is_open = False
        if body is not None:
            size = len(body)
        elif exchange.content_length is not None:
            size = exchange.content_length
        else:
            is_open = product.holding is Holding.BODY
            size = product.max_request_bytes if is_open else len(prefix)
        path, most_bytes = route.upstream_path, product.max_request_bytes
        held = hold_tokens(product, size, scanned.fields, exchange.headers, path, self._learned)
        if isinstance(held, Problem):
            return held
        return Measured(
            product,
            path,
            body,
            prefix,
            held,
            size,
            self._tokenizer,
            self._learned,
            most_bytes,
            is_open,
        )

    async def _read(
        self, exchange: Exchange, most: int, wanted: frozenset[str], product: Product
    ) -> tuple[bytes | None, bytes] | Problem:
        """The body, or None and what was read of one that is to be streamed."""
        length = exchange.content_length
        if length is None:
            keep = MAX_GATHERED_BYTES if product.holding is Holding.BODY else MAX_SIGNED_BYTES
            keep = most if wanted else min(keep, most)
            return await self._gather(exchange, keep, most)
        if length > most:
            exchange.keep_alive = False
            return refusals.body_too_large(most)
        if length > MAX_SIGNED_BYTES and not wanted:
            return None, b""
        if length > FREE_BYTES:
            return await self._gather(exchange, length, most)
        body = await exchange.body(length, self._body_deadline_ms)
        return body if isinstance(body, Problem) else (body, b"")

    async def _gather(
        self, exchange: Exchange, keep: int, most: int
    ) -> tuple[bytes | None, bytes] | Problem:
        found = await self.room.gather(exchange, keep, self._body_deadline_ms)
        if isinstance(found, Problem):
            return found
        body, is_whole = found
        if len(body) > most:
            exchange.keep_alive = False
            return refusals.body_too_large(most)
        return (body, b"") if is_whole else (None, body)


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
