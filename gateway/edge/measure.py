"""Step 3: the body as far as it must be seen, the product that it decides, and the hold.

Refuses to parse: a body is only scanned, and only where its fields decide something. Bodies up to
1 MiB are kept, so that they can be signed whole and sent again; larger ones are streamed, unless
their fields decide. Where the body's length is the hold and the client does not tell it, more is
kept before the most that such a body may have is held for it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Self

from gateway.edge import refusals
from gateway.edge.body_scan import NOTHING_SCANNED, BodyScan, Scanned
from gateway.edge.capping import (
    MAX_CHARGE,
    max_charge,
    needs_whole_body,
    surely_above,
    takes_budget,
)
from gateway.edge.exchange import Exchange
from gateway.edge.forward import MAX_SIGNED_BYTES
from gateway.edge.hosts import Route
from gateway.edge.room import FREE_BYTES, BodyRoom
from gateway.errors import Problem
from gateway.products.counting import own_count
from gateway.products.estimator import HoldEstimator
from gateway.products.holds import Bound, bound_of, wanted_fields
from gateway.products.product import Counting, Holding, Product
from gateway.products.searches import form_fields, multipart_fields
from gateway.record import record
from gateway.tokenizer import Tokenizer
from gateway.units import MIB

_IDENTITY: Final = ("", "identity")
# Of a body of unknown length. Text of a million tokens has some 4 MB: whatever is longer needs a
# balance for the longest body that is taken, until it has ended.
MAX_GATHERED_BYTES: Final = 4 * MIB


@record
class Measured:
    """A request whose product and hold are known.

    `body` None: it is streamed, beginning with `prefix`, and cut at `most_bytes`. `hold_tokens` is
    what is held, `tpm_tokens` an upper bound; `is_open`: they are only because the body ends
    somewhere. `max_charge`: the client pays no more than this.
    """

    product: Product
    upstream_path: str
    body: bytes | None
    prefix: bytes
    bound: Bound
    hold_tokens: int
    tpm_tokens: int
    tokenizer: Tokenizer
    learned: HoldEstimator
    most_bytes: int
    is_open: bool = False
    max_charge: int | None = None

    @property
    def budget_tokens(self) -> int | None:
        """What the service is told to keep to; None: it would not listen, or need not."""
        if self.max_charge is None:
            return None
        return self.max_charge if takes_budget(self.product) else None

    def within(self, tokens: int) -> Self:
        """The same request with no more held than there is: its body may be no longer."""
        most_bytes = min(tokens, self.most_bytes)
        return replace(self, hold_tokens=tokens, tpm_tokens=tokens, most_bytes=most_bytes)

    def observe(self, tokens: int) -> None:
        """Learn what such a request cost, where holds are learned."""
        if self.bound.class_bytes is not None:
            self.learned.observe(self.product.name, self.bound.class_bytes, tokens)

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

    def at_once(self, exchange: Exchange, route: Route) -> Measured | Problem | None:
        """The same for a small body that is there and that nobody looks into; else None: ask
        `measure`.
        """
        product, headers = route.candidates[0], exchange.headers
        if len(route.candidates) > 1 or wanted_fields(product):
            return None
        if "Content-Encoding" in headers or MAX_CHARGE in headers:
            return None
        body: bytes | None = b""
        if exchange.has_body:
            length = exchange.content_length
            if length is None or length > min(product.max_request_bytes, FREE_BYTES):
                return None
            body = exchange.at_hand()
        return None if body is None else self._weighed(product, route, headers, body)

    async def measure(self, exchange: Exchange, route: Route, *, keyed: bool) -> Measured | Problem:
        """The measured request, or why it cannot be one; reads at most what it must."""
        candidates, headers = route.candidates, exchange.headers
        if "Content-Encoding" in headers and headers["Content-Encoding"].lower() not in _IDENTITY:
            return refusals.compressed_body()
        cap = max_charge(headers) if MAX_CHARGE in headers else None
        if isinstance(cap, Problem):
            return cap
        body: bytes | None = b""
        prefix = b""
        if exchange.has_body:
            most = max([product.max_request_bytes for product in candidates])
            length = exchange.content_length
            usual = length is not None and length <= min(most, FREE_BYTES)
            body = exchange.at_hand() if usual else None
            if body is None:
                whole = bool(_wanted(candidates))
                whole = whole or (cap is not None and needs_whole_body(candidates[0]))
                read = await self._read(exchange, most, whole, candidates[0])
                if isinstance(read, Problem):
                    return read
                body, prefix = read
        # Without a key nothing is charged, so that no cap can be too low.
        return await self.weigh(
            route,
            headers,
            body,
            prefix,
            exchange.content_length,
            cap if keyed else None,
            # Services look into the body of a POST only.
            is_read=exchange.method != "GET",
        )

    async def weigh(
        self,
        route: Route,
        headers: Mapping[str, str],
        body: bytes | None,
        prefix: bytes = b"",
        length: int | None = None,
        cap: int | None = None,
        *,
        is_read: bool = True,
    ) -> Measured | Problem:
        """A request whose body is known as far as it must be; `length` is what was announced."""
        candidates, scanned = route.candidates, NOTHING_SCANNED
        wanted = _wanted(candidates)
        if wanted and body and is_read:
            found = await _scanned(body, wanted, headers.get("Content-Type", ""), candidates[0])
            if isinstance(found, Problem):
                return found
            scanned = found
        product = candidates[0] if len(candidates) == 1 else _decided(candidates, scanned)
        if product is None:
            return refusals.classify_undecided()
        if body and len(body) > product.max_request_bytes:
            return refusals.body_too_large(product.max_request_bytes)
        size, is_open = _size(product, body, prefix, length)
        fields, path = scanned.fields, route.upstream_path
        bound = bound_of(product, size, fields, headers, path, self._learned)
        if isinstance(bound, Problem):
            return bound
        held = bound.hold_tokens
        if cap is not None:
            above = await surely_above(product, bound, body, cap, self._tokenizer)
            if above is not None:
                return above
            held = min(held, cap)
        return Measured(
            product,
            path,
            body,
            prefix,
            bound,
            held,
            bound.hold_tokens,
            self._tokenizer,
            self._learned,
            product.max_request_bytes,
            is_open,
            cap,
        )

    def _weighed(
        self, product: Product, route: Route, headers: Mapping[str, str], body: bytes
    ) -> Measured | Problem:
        path = route.upstream_path
        bound = bound_of(product, len(body), NOTHING_SCANNED.fields, headers, path, self._learned)
        if isinstance(bound, Problem):
            return bound
        return Measured(
            product,
            path,
            body,
            b"",
            bound,
            bound.hold_tokens,
            bound.hold_tokens,
            self._tokenizer,
            self._learned,
            product.max_request_bytes,
        )

    async def _read(
        self, exchange: Exchange, most: int, whole: bool, product: Product
    ) -> tuple[bytes | None, bytes] | Problem:
        """The body, or None and what was read of one that is to be streamed."""
        length = exchange.content_length
        if length is None:
            keep = MAX_GATHERED_BYTES if product.holding is Holding.BODY else MAX_SIGNED_BYTES
            keep = most if whole else min(keep, most)
            return await self._gather(exchange, keep, most)
        if length > most:
            exchange.keep_alive = False
            return refusals.body_too_large(most)
        if length > MAX_SIGNED_BYTES and not whole:
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


def _size(
    product: Product, body: bytes | None, prefix: bytes, length: int | None
) -> tuple[int, bool]:
    """The bytes that are held for, and whether only the body's end will tell them."""
    if body is not None:
        return len(body), False
    if length is not None:
        return length, False
    is_open = product.holding is Holding.BODY
    return (product.max_request_bytes if is_open else len(prefix)), is_open


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


async def _scanned(
    body: bytes, wanted: frozenset[str], content_type: str, product: Product
) -> Scanned | Problem:
    """The wanted fields of a JSON body; those of a form where the product takes forms."""
    if product.counting is Counting.SEARCH:
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            return Scanned(form_fields(body))
        if kind == "multipart/form-data":
            return Scanned(multipart_fields(body))
        if not body.strip():
            return NOTHING_SCANNED
    scan = BodyScan(body, wanted)
    while True:
        found = scan.step()
        if found is not None:
            return found
        await asyncio.sleep(0)
