"""What a JSON answer says of its usage, and whether it is an error after all.

Refuses to guess: a report that is no whole number from 0 to 10**15 is no report (None is not 0),
and a `usage` that stands deeper than the catalogue says is somebody's text, not a report.
"""

from collections.abc import Sequence
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final

import orjson

from gateway.edge.answer_fields import Headers
from gateway.record import record
from gateway.units import KIB

# More than any request can cost, and sums of several stay below 2**63.
MOST_TOKENS: Final = 10**15
# Of a JSON answer too large to keep, both ends: `usage` stands before or behind the bulk.
_EDGE_BYTES: Final = 64 * KIB
_CANDIDATES: Final = 8
_PREFIX: Final = JSONDecoder()

Paths = Sequence[Sequence[str]]


@record
class Reading:
    """What a body says: `tokens` None when it does not tell; `is_error` when it must be free.

    `is_broken`: it is not what its content type says.
    """

    tokens: int | None
    is_error: bool
    is_broken: bool = False


NOTHING_READ: Final = Reading(None, False)
BROKEN: Final = Reading(None, True, True)


def tokens_of(value: bytes | None) -> int | None:
    """The whole number of a header or trailer; None when absent or unreadable."""
    if value is None or not value.isdigit() or len(value) > 16:
        return None
    tokens = int(value)
    return tokens if tokens <= MOST_TOKENS else None


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
        return BROKEN
    if not isinstance(document, dict):
        return Reading(None, document in (None, [], ""))
    return Reading(first_number(document, paths), not document or says_error(document))


def says_error(document: dict[str, Any]) -> bool:
    """Whether an answer or event is an error although its status says otherwise."""
    if document.get("error"):
        return True
    choices = document.get("choices")
    if not isinstance(choices, list):
        return False
    return any(isinstance(each, dict) and each.get("finish_reason") == "error" for each in choices)


def first_number(document: dict[str, Any], paths: Paths) -> int | None:
    """The first of the paths that leads to a number of tokens."""
    for path in paths:
        value: Any = document
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if type(value) is int and 0 <= value <= MOST_TOKENS:
            return value
    return None


class JsonEdges:
    """Both ends of a JSON answer that streams by; enough to find a top-level `usage` in it."""

    __slots__ = ("_head", "_paths", "_size", "_tail")

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._head = b""
        self._tail = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> None:
        """See some more bytes."""
        self._size += len(data)
        room = _EDGE_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-_EDGE_BYTES:]
        if len(self._tail) > 2 * _EDGE_BYTES:
            del self._tail[:-_EDGE_BYTES]

    def reading(self) -> Reading:
        """The usage in front of the bulk, else that behind it; a cut answer is an error."""
        tail = bytes(self._tail)
        for path in self._paths:
            value = self._member(path[0], tail)
            tokens = first_number({path[0]: value}, (path,))
            if tokens is not None:
                return Reading(tokens, False)
        closed = (tail or self._head).rstrip()[-1:] in (b"}", b"]")
        broken = self._size == 0 or not closed
        return Reading(None, broken, broken)

    def _member(self, name: str, tail: bytes) -> Any:
        """The value of a top-level member, as far as it can be seen at one of the ends."""
        quoted = orjson.dumps(name)
        found = _behind(tail if tail else self._head, quoted, name)
        return _in_front(self._head, quoted) if found is None else found


def _in_front(head: bytes, quoted: bytes) -> Any:
    """A member in front: what stands before it must be whole members, so it is no deeper one."""
    at = -1
    for _ in range(_CANDIDATES):
        at = head.find(quoted, at + 1)
        if at < 0:
            return None
        try:
            orjson.loads(head[:at].rstrip().removesuffix(b",") + b"}")
        except orjson.JSONDecodeError:
            continue
        text = head[at + len(quoted) :].decode("utf-8", "replace").lstrip()
        try:
            return _PREFIX.raw_decode(text.removeprefix(":").lstrip())[0]
        except JSONDecodeError:
            return None
    return None


def _behind(tail: bytes, quoted: bytes, name: str) -> Any:
    """A member behind the bulk: with one brace before it, it and the rest must be a document."""
    at = len(tail)
    for _ in range(_CANDIDATES):
        at = tail.rfind(quoted, 0, at)
        if at < 0:
            return None
        try:
            document = orjson.loads(b"{" + tail[at:])
        except orjson.JSONDecodeError:
            continue
        return document.get(name)
    return None
