"""Bytes that are no HTTP request: the refusal they get, and whose envelope it needs.

Refuses to trust them: host and target are only looked for, and no more than a glimpse is shown.
"""

import re
from dataclasses import dataclass
from typing import Final

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from gateway.edge import refusals
from gateway.errors import Problem

_HOST: Final = re.compile(rb"\r?\nhost:[ \t]*([^\r\n]{0,255})", re.IGNORECASE)
_TARGET: Final = re.compile(rb"[A-Z]{1,20} ([^ \r\n]{1,255})")
_LINE: Final = re.compile(rb"([A-Z]{1,20} )([^ \r\n]{1,16000}) HTTP/1\.[01]\r?\n")
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")
_TOO_MANY: Final = "Too many headers"


@dataclass(frozen=True, slots=True)
class Malformed:
    """A refusal, and the host and target that the bytes seem to be for."""

    problem: Problem
    host: str
    target: str


def malformed_head(error: HttpProcessingError, seen: bytes) -> Malformed:
    """The parser stopped at `error`; `seen` is the beginning of what came."""
    message = str(error.message)
    if isinstance(error, LineTooLong) or message.startswith(_TOO_MANY):
        return _malformed(refusals.head_too_large(), seen)
    return _malformed(refusals.malformed_http(_first_line(message)), seen)


def malformed_body(error: HttpProcessingError) -> Problem:
    """A body whose framing is broken, behind a head that was well-formed."""
    return refusals.malformed_http(f"its body: {_first_line(str(error.message))}")


def endless_chunk() -> Problem:
    """Extensions or trailers without end."""
    return refusals.malformed_http("its body: more is said around the chunks than in them")


def is_odd(message: RawRequestMessage) -> bool:
    """Of a message with Transfer-Encoding: whether another reader may frame it otherwise."""
    if message.version < HttpVersion11 or "Content-Length" in message.headers:
        return True
    coding: str = message.headers.get("Transfer-Encoding", "")
    return coding.strip().lower() != "chunked" or not message.chunked


def odd_coding(message: RawRequestMessage) -> Malformed:
    """A transfer coding besides chunked, or one where it cannot be."""
    problem = refusals.malformed_http(
        "the only transfer coding is chunked, in HTTP/1.1 and without a length"
    )
    return Malformed(problem, message.headers.get("Host", ""), message.path)


def percent_encoded(seen: bytes) -> bytes | None:
    """The same bytes with a target in ASCII, where only that was wrong with the first line.

    People paste addresses as they read them, and curl sends them as they are.
    """
    line = _LINE.match(seen)
    if line is None or line[2].isascii():
        return None
    target = _NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], line[2])
    return line[1] + target + seen[line.end(2) :]


def no_version(message: RawRequestMessage) -> Malformed:
    """HTTP as it was before it had versions and headers."""
    problem = refusals.malformed_http("its first line must end with HTTP/1.1")
    return Malformed(problem, "", message.path)


def too_large(seen: bytes) -> Malformed:
    """A head that grows beyond what anybody needs."""
    return _malformed(refusals.head_too_large(), seen)


def too_many(seen: bytes) -> Malformed:
    """One of so many half heads that there is no room for more of it."""
    return _malformed(refusals.overloaded(), seen)


def too_slow(seen: bytes) -> Malformed:
    """A head that did not end."""
    return _malformed(refusals.head_timeout(), seen)


def _malformed(problem: Problem, seen: bytes) -> Malformed:
    host, target = _HOST.search(seen), _TARGET.match(seen.lstrip())
    return Malformed(
        problem,
        host[1].strip().decode("latin-1") if host else "",
        target[1].decode("latin-1") if target else "/",
    )


def _first_line(message: str) -> str:
    """The parser's sentence without its drawing of where it stopped."""
    return message.partition("\n")[0].rstrip(": ")[:120] or "it ends too early"
