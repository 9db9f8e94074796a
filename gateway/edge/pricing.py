"""POST /v1/price: the client sends the request that it would send, and hears what it would cost.

`{"product" or "path", "method", "headers", "body"}`; a path may be a whole address. A body that is
an object is taken as the JSON of it without blanks, one that is a text as exactly these bytes:
only for that the worst is sure, where the bytes of a body are what is held.
Refuses to count long texts for people without a key: that would be work for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from multidict import CIMultiDict

from gateway.edge import refusals
from gateway.edge.capping import max_charge
from gateway.edge.doors import Kind
from gateway.edge.exchange import Exchange
from gateway.edge.hosts import Route, Router
from gateway.edge.identify import Subject
from gateway.edge.measure import MAX_GATHERED_BYTES, Measured, Measurer
from gateway.edge.pipeline import Door, refuse
from gateway.edge.quoting import Document, Quoter, quote_lines
from gateway.errors import Problem
from gateway.products.offer import Offer
from gateway.products.product import Product
from gateway.units import KIB

_WITHOUT_KEY_BYTES: Final = 64 * KIB
_FIELDS: Final = frozenset({"product", "path", "method", "headers", "body"})


@dataclass(frozen=True, slots=True)
class Thought:
    """A request that is only thought of."""

    route: Route | Problem
    headers: CIMultiDict[str]
    body: bytes
    is_to_the_byte: bool


class Pricing:
    """The door PRICE."""

    def __init__(
        self,
        catalogue: Offer,
        router: Router,
        measurer: Measurer,
        quoter: Quoter,
        body_deadline_ms: int,
    ) -> None:
        self._catalogue = catalogue
        self._router = router
        self._measurer = measurer
        self._quoter = quoter
        self._body_deadline_ms = body_deadline_ms

    def doors(self) -> Mapping[Kind, Door]:
        """For the pipeline."""
        return {Kind.PRICE: self.price}

    async def price(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """Answer one question."""
        try:
            found = await self._answer(exchange, route)
        finally:
            self._measurer.room.give_back(exchange)
        if isinstance(found, Problem):
            await refuse(exchange, found, route.family, request_id)
            return
        lines = quote_lines(request_id, exchange.headers.get("Origin"))
        await exchange.send(200, lines, orjson.dumps(found))

    async def _answer(self, exchange: Exchange, route: Route) -> Document | Problem:
        subject = await self._quoter.subject(exchange, route)
        if isinstance(subject, Problem):
            return subject
        thought = await self._thought(exchange, subject)
        if isinstance(thought, Problem):
            return thought
        measured: Measured | Problem
        if isinstance(thought.route, Problem):
            measured = thought.route
        else:
            cap = max_charge(thought.headers)
            if isinstance(cap, Problem):
                return cap
            cap = cap if subject.key_id is not None else None
            measured = await self._measurer.weigh(
                thought.route, thought.headers, thought.body, cap=cap
            )
        return await self._quoter.quote(subject, measured, is_to_the_byte=thought.is_to_the_byte)

    async def _thought(self, exchange: Exchange, subject: Subject) -> Thought | Problem:
        most = MAX_GATHERED_BYTES if subject.key_id is not None else _WITHOUT_KEY_BYTES
        if (exchange.content_length or 0) > most:
            exchange.keep_alive = False
            return refusals.body_too_large(most)
        gathered = await self._measurer.room.gather(exchange, most, self._body_deadline_ms)
        if isinstance(gathered, Problem):
            return gathered
        raw, is_whole = gathered
        if not is_whole:
            exchange.keep_alive = False
            return refusals.body_too_large(most)
        try:
            document = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            return refusals.body_unreadable(str(error))
        if not isinstance(document, dict):
            return refusals.body_unreadable("it must be a JSON object")
        return self._read(document, exchange.headers.get("Host", ""))

    def _read(self, document: dict[str, Any], host: str) -> Thought | Problem:
        unknown = sorted(document.keys() - _FIELDS)
        if unknown:
            return _wrong(unknown[0], f"is not known; there are {', '.join(sorted(_FIELDS))}")
        given = document.get("body")
        body, headers, is_exact = _body(given), _headers(document.get("headers")), _is_exact(given)
        if isinstance(headers, Problem):
            return headers
        method = document.get("method")
        if method is not None and not isinstance(method, str):
            return _wrong("method", "must be a text such as POST")
        name, path = document.get("product"), document.get("path")
        if (name is None) == (path is None):
            return _wrong("product", "or path must be given, and not both")
        if name is not None:
            product = self._catalogue.products.get(name) if isinstance(name, str) else None
            if product is None:
                return _wrong("product", f"must be one of {', '.join(self._catalogue.products)}")
            return Thought(_route_of(product), headers, body, is_exact)
        if not isinstance(path, str):
            return _wrong("path", "must be a text such as /v1/embeddings")
        route = self._router.route(host, (method or ("POST" if body else "GET")).upper(), path)
        if isinstance(route, Route) and route.kind is not Kind.PRODUCT:
            return _wrong("path", f"{path[:120]} is not a call to a product, and costs nothing")
        return Thought(route, headers, body, is_exact)


def _route_of(product: Product) -> Route:
    """The usual way to a product, whatever tells it apart from others at its path."""
    return Route(
        Kind.PRODUCT,
        product.name,
        product.family,
        product.paths[0],
        product,
        (product,),
        product.service,
        product.needs_key,
    )


def _body(given: Any) -> bytes:
    if given is None:
        return b""
    return given.encode("utf-8", "replace") if isinstance(given, str) else orjson.dumps(given)


def _is_exact(given: Any) -> bool:
    return given is None or isinstance(given, str)


def _headers(given: Any) -> CIMultiDict[str] | Problem:
    found: CIMultiDict[str] = CIMultiDict()
    if given is None:
        return found
    if not isinstance(given, dict):
        return _wrong("headers", "must be an object of names and values")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            return _wrong("headers", f"{name[:80]} must be a text")
        found[name] = str(value)
    return found


def _wrong(field: str, why: str) -> Problem:
    return Problem("INPUT_INVALID", 400, f"{field} {why}", fields={"field": field})
