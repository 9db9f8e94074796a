"""One call of the control API: what was asked, and the reply as a value.

Refuses bodies above 64 KiB and anything that is no JSON object.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from gateway.edge import refusals
from gateway.edge.exchange import Exchange
from gateway.edge.hosts import Route
from gateway.errors import Problem
from gateway.units import KIB

_MOST_BYTES: Final = 64 * KIB
_BODY_DEADLINE_MS: Final = 30_000


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was identified; `key_id` is None where no key is needed.

    `raw` is the body as it came, where that is what a handler wants. `receiver` is another key
    that the caller was found to own, for who cannot type it. `without_ledger`: it is away, and
    nobody has looked whether the key is still active.
    """

    exchange: Exchange
    route: Route
    request_id: str
    key_id: int | None
    query: Mapping[str, str]
    body: Mapping[str, Any]
    raw: bytes = b""
    receiver: int | None = None
    without_ledger: bool = False

    def number(self, name: str, default: int, most: int) -> int | Problem:
        """A whole number of the query from 1 to `most`."""
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 12 or not 1 <= int(text) <= most:
            return refusals.invalid_query(name, f"must be a whole number from 1 to {most}")
        return int(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON reply (or text, where `document` is a string)."""

    status: int
    document: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, request_id: str) -> tuple[bytes, bytes]:
        """Header lines and body."""
        is_text = isinstance(self.document, str)
        kind = "text/plain" if is_text else "application/json"
        lines = [f"content-type: {kind}; charset=utf-8", f"x-request-id: {request_id}"]
        lines.append("cache-control: no-store")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        body = self.document.encode() if is_text else orjson.dumps(self.document)
        return "".join(f"{line}\r\n" for line in lines).encode("latin-1"), body


@dataclass(frozen=True, slots=True)
class Stream:
    """A 200 whose body is made piece by piece, as fast as its reader takes it."""

    content_type: str
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]

    def lines(self, request_id: str) -> bytes:
        """Header lines."""
        lines = [f"content-type: {self.content_type}; charset=utf-8", f"x-request-id: {request_id}"]
        lines.append("cache-control: no-store")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def query_of(target: str) -> dict[str, str]:
    """The query of a request target; of a repeated name the last."""
    return dict(parse_qsl(target.partition("?")[2], keep_blank_values=True, max_num_fields=None))


async def raw_body_of(exchange: Exchange, most_bytes: int) -> bytes | Problem:
    """The body byte by byte as it came."""
    return await exchange.body(most_bytes, _BODY_DEADLINE_MS)


async def body_of(exchange: Exchange) -> Mapping[str, Any] | Problem:
    """The JSON object that was sent; an absent body is an empty one."""
    if exchange.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        return refusals.compressed_body()
    raw = await exchange.body(_MOST_BYTES, _BODY_DEADLINE_MS)
    if isinstance(raw, Problem):
        return raw
    if not raw.strip():
        return {}
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return refusals.body_unreadable(str(error))
    if not isinstance(document, dict):
        return refusals.body_unreadable("it must be a JSON object")
    return document
