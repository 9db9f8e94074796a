"""The answer of an internal service, parsed from bytes: head, framing, body with back-pressure.

Refuses leniency: both lengths, a bad chunk size, a header without a colon, a bare line feed in the
head, or an end before the stated length is a broken answer (`AnswerBroken`), never a shorter one.

This is the client half of the hot path and therefore written by hand: a small answer that arrives
in one piece costs one parse and no task switch beyond the wake-up of the waiter.
"""

import asyncio
import re
from collections import deque
from typing import Final

from gateway.edge.answer_fields import Headers, chunk_size, parse_fields
from gateway.errors import AnswerBroken, Fault
from gateway.units import KIB

MAX_HEAD_BYTES: Final = 64 * KIB
MAX_TRAILER_BYTES: Final = 8 * KIB
_HIGH_WATER_BYTES: Final = 256 * KIB
_NO_BODY: Final = frozenset((204, 304))
_UNTIL_CLOSE: Final = -1
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9](?: |$)")


class Answer:
    """One answer: `status`, `headers` (names in lower case), then the body.

    `ended` says that the whole body has arrived; `buffered()` takes what is there, `read()` waits
    for more and gives b"" at the end. `trailers` is complete once `ended`.
    """

    __slots__ = (
        "_chunked",
        "_failure",
        "_first",
        "_flow",
        "_parts",
        "_paused",
        "_remaining",
        "_size",
        "_tail",
        "_trailing",
        "_waiter",
        "body_bytes",
        "ended",
        "headers",
        "keep_alive",
        "status",
        "trailers",
    )

    def __init__(self, status: int, headers: Headers, flow: asyncio.ReadTransport) -> None:
        self.status = status
        self.headers = headers
        # Of each name the first one: the last that is set.
        self._first = dict(reversed(headers))
        self.trailers: Headers = []
        self.ended = False
        self.keep_alive = True
        self.body_bytes: int | None = None
        self._flow = flow
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._remaining = 0
        self._chunked = False
        self._trailing = False
        self._tail = b""
        self._failure: Fault | None = None
        self._waiter: asyncio.Future[None] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first header of that lower-case name."""
        return self._first.get(name)

    def buffered(self) -> bytes:
        """Everything that has arrived and was not taken yet, without waiting."""
        parts = self._parts
        if not parts:
            return b""
        data = parts.popleft() if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        self.resume()
        return data

    def resume(self) -> None:
        """Let the service send again; also before its connection serves another request."""
        if self._paused:
            self._paused = False
            self._flow.resume_reading()

    @property
    def pending(self) -> int:
        """Body bytes that have arrived and were not taken yet."""
        return self._size

    @property
    def has_failed(self) -> bool:
        """Whether it will never be whole."""
        return self._failure is not None

    @property
    def is_held_up(self) -> bool:
        """Whether the service waits for us to take what it has sent."""
        return self._paused

    async def read(self) -> bytes:
        """The next bytes; b"" at the end; raises ServiceFault if it breaks off."""
        while not self._parts and not self.ended:
            await self.more()
        return self.buffered()

    async def more(self) -> None:
        """Wait for bytes or the end; raises ServiceFault when neither will come."""
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _is_odd(self) -> bool:
        """Whether a header says more of the framing than one length, or says it twice."""
        first = self._first
        more = b"transfer-encoding" in first or b"connection" in first
        return more or len(first) != len(self.headers)

    def begin_body(self) -> None:
        """Decide the framing from the head; raises AnswerBroken when it is ambiguous."""
        length: bytes | None = None
        for name, value in self.headers if self._is_odd() else ():
            if name == b"content-length":
                if length is not None and length != value:
                    raise AnswerBroken("two different lengths")
                length = value
            elif name == b"transfer-encoding":
                if value.lower() != b"chunked":
                    raise AnswerBroken("an unknown transfer encoding")
                self._chunked = True
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive = False
        length = self._first.get(b"content-length")
        if self.status in _NO_BODY:
            self._chunked, self.body_bytes = False, 0
            self._end()
        elif self._chunked:
            if length is not None:
                raise AnswerBroken("both a length and chunks")
        elif length is None:
            self._remaining, self.keep_alive = _UNTIL_CLOSE, False
        elif not length.isdigit() or len(length) > 15:
            raise AnswerBroken("an unreadable length")
        else:
            self._remaining = self.body_bytes = int(length)
            if self._remaining == 0:
                self._end()

    def feed(self, data: bytes) -> bytes:
        """Take body bytes; returns what lies behind the end of the answer (normally nothing)."""
        if self._chunked:
            return self._feed_chunks(data)
        if self._remaining == _UNTIL_CLOSE:
            self._add(data)
            return b""
        size = len(data)
        if size < self._remaining:
            self._remaining -= size
            self._add(data)
            return b""
        rest = data[self._remaining :] if size > self._remaining else b""
        data = data[: self._remaining] if rest else data
        self._remaining = 0
        self._end(data)
        return rest

    def connection_ended(self, *, in_order: bool) -> None:
        """The service closed: the end of a body without a length, else a broken answer.

        `in_order` False: the connection was reset, which ends no body.
        """
        if self.ended:
            return
        if in_order and self._remaining == _UNTIL_CLOSE and not self._chunked:
            self._end()
        else:
            self.fail(AnswerBroken("the answer broke off before its end"))

    def fail(self, failure: Fault) -> None:
        """Make the reader raise after it has taken what arrived before."""
        if not self.ended and self._failure is None:
            self._failure = failure
            self._wake()

    def give_up(self, failure: Fault) -> None:
        """Want no more of it: the service sees its connection closed, the reader the failure."""
        if self.ended:
            return
        self.fail(failure)
        # The end of the connection is not the end of a body that lasts until then.
        self._remaining = max(0, self._remaining)
        self._flow.close()

    def spoil(self, failure: Fault) -> None:
        """It seemed to be whole and is not: fail although it has ended."""
        self.ended = False
        self.fail(failure)

    def _add(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
            if self._size > _HIGH_WATER_BYTES and not self._paused:
                self._paused = True
                self._flow.pause_reading()
            self._wake()

    def _end(self, data: bytes = b"") -> None:
        self.ended = True
        if data:
            self._parts.append(data)
            self._size += len(data)
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _feed_chunks(self, data: bytes) -> bytes:
        if self._tail:
            data, self._tail = self._tail + data, b""
        at, size = 0, len(data)
        while at < size:
            if self._trailing:
                return self._feed_trailers(data[at:])
            if self._remaining > 2:
                # Data of the chunk, without its closing CRLF that `_remaining` includes.
                take = min(self._remaining - 2, size - at)
                self._add(data[at : at + take] if take != size else data)
                self._remaining -= take
                at += take
                continue
            if self._remaining:
                if size - at < self._remaining:
                    break
                if data[at : at + 2] != b"\r\n":
                    raise AnswerBroken("a chunk is longer than it says")
                at += 2
                self._remaining = 0
                continue
            line_end = data.find(b"\r\n", at, at + 300)
            if line_end < 0:
                if size - at >= 300:
                    raise AnswerBroken("an endless chunk head")
                break
            length = chunk_size(data[at:line_end])
            at = line_end + 2
            if length:
                self._remaining = length + 2
            else:
                self._trailing = True
        self._tail = data[at:]
        return b""

    def _feed_trailers(self, data: bytes) -> bytes:
        if data.startswith(b"\r\n"):
            self._end()
            return data[2:]
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > MAX_TRAILER_BYTES:
                raise AnswerBroken("endless trailers")
            self._tail = data
            return b""
        self.trailers = parse_fields(data[:end].split(b"\r\n"))
        self._end()
        return data[end + 4 :]


def parse_head(head: bytes, flow: asyncio.ReadTransport) -> Answer:
    """The answer whose head (without its final blank line) this is; framing decided."""
    lines = head.split(b"\r\n")
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1 or 0 in head:
        # What one reader takes for the end of a line and another does not is how lines are forged.
        raise AnswerBroken("a bare line end or a zero byte in the head")
    status_line = lines[0]
    if _STATUS_LINE.match(status_line) is None:
        raise AnswerBroken("no HTTP/1.1 status line")
    del lines[0]
    answer = Answer(int(status_line[9:12]), parse_fields(lines), flow)
    if status_line.startswith(b"HTTP/1.0"):
        answer.keep_alive = False
    answer.begin_body()
    return answer
