"""What a service reports about its answer: tokens, and whether the answer is an error after all.

Refuses to guess: a report that is no whole number from 0 upwards is no report (None is not 0).
Sources, as the catalogue orders them per product: a header, a trailer, JSON, the last SSE event.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.edge.answer import Headers
from gateway.units import KIB

USAGE_HEADER: Final = b"x-usage-tokens"
RULE_HEADER: Final = b"x-charge-rule"
# The last event of a stream carries the whole answer of deepsearch, so it may be large.
_SSE_TAIL_BYTES: Final = 512 * KIB
# Of a JSON answer too large to keep, both ends: `usage` stands before or behind the bulk.
_JSON_EDGE_BYTES: Final = 64 * KIB
_ERROR_EVENTS: Final = (b"event: error", b"event:error")
_ERROR_FINISH: Final = (b'"finish_reason":"error"', b'"finish_reason": "error"')

Paths = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a body says: `tokens` None when it does not tell; `is_error` when it must be free."""

    tokens: int | None
    is_error: bool


NOTHING_READ: Final = Reading(None, False)


def tokens_of(value: bytes | None) -> int | None:
    """The whole number of a header or trailer; None when absent or unreadable."""
    if value is None or not value.isdigit() or len(value) > 18:
        return None
    return int(value)


def field(fields: Headers, name: bytes) -> bytes | None:
    """The first value of that lower-case name."""
    for key, value in fields:
        if key == name:
            return value
    return None


def read_json(body: bytes, paths: Paths) -> Reading:
    """A whole JSON answer: its usage; an unreadable or empty one, or one with `error`, is free."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Reading(None, True)
    if not isinstance(document, dict):
        return Reading(None, document in (None, [], ""))
    return Reading(_first_number(document, paths), bool(document.get("error")) or not document)


def _first_number(document: dict[str, Any], paths: Paths) -> int | None:
    for path in paths:
        value: Any = document
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


class JsonEdges:
    """Both ends of a JSON answer that streams by; enough to find `usage` in it."""

    def __init__(self, paths: Paths) -> None:
        self._keys = {path[-2:] if len(path) > 1 else path for path in map(tuple, paths)}
        self._head = b""
        self._tail = b""
        self._size = 0

    def feed(self, data: bytes) -> None:
        """See some more bytes."""
        self._size += len(data)
        room = _JSON_EDGE_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail = (self._tail + data)[-_JSON_EDGE_BYTES:] if data else self._tail

    def reading(self) -> Reading:
        """The usage object nearest to an end; its digits end before the next token begins."""
        for edge in (self._tail, self._head):
            tokens = _usage_in(edge)
            if tokens is not None:
                return Reading(tokens, False)
        closed = (self._tail or self._head).rstrip()[-1:] in (b"}", b"]")
        return Reading(None, self._size == 0 or not closed)


def _usage_in(edge: bytes) -> int | None:
    # Inside a JSON string a quote is escaped, so these bytes can only be a real key.
    at = edge.rfind(b'"usage":')
    if at < 0:
        return None
    end = edge.find(b"}", at)
    if end < 0:
        return None
    try:
        found = orjson.loads(edge[at + len(b'"usage":') : end + 1])
    except orjson.JSONDecodeError:
        return None
    return _first_number(found, (("total_tokens",), ("tokens",)))


class SseTail:
    """The last events of a stream: usage, and whether any event was an error."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._tail = b""
        self._is_error = False

    def feed(self, data: bytes) -> None:
        """See some more bytes of the stream."""
        seam = self._tail[-64:] + data
        if any(mark in seam for mark in _ERROR_EVENTS) or any(m in seam for m in _ERROR_FINISH):
            self._is_error = True
        self._tail += data
        if len(self._tail) > 2 * _SSE_TAIL_BYTES:
            self._tail = self._tail[-_SSE_TAIL_BYTES:]

    def reading(self) -> Reading:
        """The newest usage that an event told."""
        for line in reversed(self._tail.splitlines()):
            if line.startswith(b"data:") and b"usage" in line:
                tokens = _event_tokens(line[5:], self._paths)
                if tokens is not None:
                    return Reading(tokens, self._is_error)
        return Reading(None, self._is_error)


def _event_tokens(text: bytes, paths: Paths) -> int | None:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return _first_number(document, paths) if isinstance(document, dict) else None


def dropped_by(fields: Headers) -> Iterable[bytes]:
    """The header names that a Connection header of the service declares hop-by-hop."""
    for name, value in fields:
        if name == b"connection":
            yield from (part.strip().lower() for part in value.split(b","))
