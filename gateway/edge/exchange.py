"""One request of a client and the bytes of its answer, on the transport of aiohttp's server.

Refuses to buffer: bodies are read as they come, answers are written with back-pressure.
"""

import asyncio
from typing import Final

from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDictProxy

from gateway.edge.refusals import body_incomplete, body_timeout, body_too_large
from gateway.edge.same_head import Payload, SameHead, WholeBody
from gateway.edge.status_lines import status_line
from gateway.edge.writable import Writable
from gateway.errors import Problem
from gateway.metering.meter import Passage
from gateway.units import MS_PER_S

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_BODY: Final = frozenset((204, 304))


class Tap:
    """Sees an answer before its client does, and may hold back its last byte."""

    __slots__ = ()

    def admitted(self, passage: Passage) -> None:
        """The request was let in; what becomes of it stands in its passage."""
        raise AssertionError(f"implemented by who listens, to {passage}")

    async def whole(self, status: int, headers: bytes, body: bytes) -> None:
        """All of it at once."""
        raise AssertionError(f"implemented by who listens, to {status} {headers!r} {body!r}")

    def begun(self, status: int, headers: bytes) -> None:
        """The head of a streamed one."""
        raise AssertionError(f"implemented by who listens, to {status} {headers!r}")

    def piece(self, data: bytes) -> None:
        """Some of its body."""
        raise AssertionError(f"implemented by who listens, to {data!r}")

    async def end(self, last: bytes, trailers: bytes) -> None:
        """Its last bytes."""
        raise AssertionError(f"implemented by who listens, to {last!r} {trailers!r}")

    def over(self) -> None:
        """Nothing more will come."""
        raise AssertionError("implemented by who listens")


class Exchange:
    """What came (`method`, `target`, `headers`, body) and how the answer goes out.

    `target` is the request target as sent. `keep_alive` may only be turned off. `until_s` is the
    loop time by which a streamed answer must have been taken. `room_bytes` is what the body has of
    the room for bodies. `tap` sees the answer on its way. `same`: its
    head is one that came before. `status` is 0 until an answer has begun,
    `passage` None unless it was admitted: both are for whoever tells afterwards.
    """

    __slots__ = (
        "_body_read",
        "_chunked",
        "_connection",
        "_message",
        "_payload",
        "content_length",
        "headers",
        "keep_alive",
        "method",
        "passage",
        "peer",
        "request_id",
        "room_bytes",
        "same",
        "sent_bytes",
        "started",
        "status",
        "tap",
        "target",
        "until_s",
    )

    def __init__(
        self, connection: Writable, message: RawRequestMessage, payload: Payload, peer: str
    ) -> None:
        self._connection = connection
        self._message = message
        self._payload = payload
        self._chunked = False
        self._body_read = False
        self.method = message.method
        self.target = message.path
        self.headers: CIMultiDictProxy[str] = message.headers
        self.peer = peer
        self.keep_alive = not message.should_close
        self.same: SameHead | None = None
        if isinstance(payload, WholeBody):
            # Its head may be of an earlier request, which had another length.
            self.content_length: int | None = payload.size
            self.same = payload.head
        else:
            length = self.headers.get("Content-Length")
            self.content_length = int(length) if length is not None else None
        self.started = False
        self.sent_bytes = 0
        self.room_bytes = 0
        self.until_s: float | None = None
        self.tap: Tap | None = None
        self.request_id = ""
        self.status = 0
        self.passage: Passage | None = None

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Header names and values as sent, in order."""
        return self._message.raw_headers

    @property
    def has_body(self) -> bool:
        """Whether the client sends a body."""
        return bool(self.content_length) or self._message.chunked

    @property
    def gone(self) -> bool:
        """Whether the client has closed its connection."""
        transport = self._connection.transport
        return transport is None or transport.is_closing()

    @property
    def left(self) -> bool:
        """Whether the client has closed it, and not we at the end of our drain."""
        return self.gone and not self._connection.is_cut()

    def look_after(self) -> None:
        """While nothing is read: end the connection of a client that has left it."""
        if self._connection.has_left():
            self.break_off()

    async def body(self, most_bytes: int, deadline_ms: int) -> bytes | Problem:
        """The whole body, or why it cannot be had; never more than `most_bytes` in memory."""
        if not self.has_body:
            return b""
        if self.content_length is not None and self.content_length > most_bytes:
            return self._unread(body_too_large(most_bytes))
        whole = self.at_hand()
        if whole is None:
            return await self._gathered(most_bytes, deadline_ms)
        return whole if len(whole) <= most_bytes else self._unread(body_too_large(most_bytes))

    def at_hand(self) -> bytes | None:
        """The whole body if it came along with the head: the usual case, without any waiting."""
        if self._body_read or not self._payload.is_eof() or self._payload.exception() is not None:
            return None
        self._body_read = True
        return self._payload.read_nowait()

    async def _gathered(self, most_bytes: int, deadline_ms: int) -> bytes | Problem:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(deadline_ms / MS_PER_S):
                while chunk := await self.next_chunk():
                    size += len(chunk)
                    if size > most_bytes:
                        return self._unread(body_too_large(most_bytes))
                    parts.append(chunk)
        except TimeoutError:
            return self._unread(body_timeout(deadline_ms // MS_PER_S))
        except BodyBrokenError as broken:
            return self._unread(broken.problem)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def next_chunk(self) -> bytes:
        """The next bytes of the body, b"" at its end; raises BodyBrokenError if malformed."""
        if not self._body_read:
            self._body_read = True
            if self._expects and not self._payload.is_eof():
                self._write(_CONTINUE)
        try:
            return await self._payload.readany()
        except (ValueError, RuntimeError, OSError) as error:
            raise BodyBrokenError(body_incomplete()) from error

    @property
    def _expects(self) -> bool:
        """Whether the client waits for a word before it sends its body."""
        if self._message.version < (1, 1):
            return False
        return self.headers.get("Expect", "").lower() == "100-continue"

    def _unread(self, problem: Problem) -> Problem:
        # The rest of the body would be taken for the next request.
        self.keep_alive = False
        return problem

    async def send(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer at once; `headers` are complete lines without the framing ones."""
        framing = b"\r\n" if status in _NO_BODY else b"content-length: %d\r\n\r\n" % len(body)
        if self.tap is not None:
            await self.tap.whole(status, headers, body)
        if self.method == "HEAD":
            body = b""
        self._write(b"".join((status_line(status), headers, self._closing(), framing, body)))
        self.started = True
        self.status = status
        self.sent_bytes += len(body)
        if not self._connection.is_drained():
            await self._connection.drained(self.until_s)

    async def start(
        self, status: int, headers: bytes, length: int | None, trailer: bytes = b""
    ) -> None:
        """Begin a streamed answer: of a known length, else in chunks (HTTP/1.0: until close).

        `trailer` is the line that announces trailers, for where there can be some.
        """
        if self.tap is not None:
            self.tap.begun(status, headers)
        if length is not None:
            framing = b"content-length: %d\r\n\r\n" % length
        elif self._message.version < (1, 1):
            self.keep_alive = False
            framing = b"\r\n"
        else:
            self._chunked = True
            framing = trailer + b"transfer-encoding: chunked\r\n\r\n"
        self._write(b"".join((status_line(status), headers, self._closing(), framing)))
        self.started = True
        self.status = status
        if not self._connection.is_drained():
            await self._connection.drained(self.until_s)

    async def write(self, data: bytes) -> None:
        """Stream some body bytes."""
        if not data:
            return
        if self.tap is not None:
            self.tap.piece(data)
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self.sent_bytes += len(data)
        if not self._connection.is_drained():
            await self._connection.drained(self.until_s)

    async def finish(self, last: bytes = b"", trailers: bytes = b"") -> None:
        """The last bytes of a streamed answer and its end; `trailers` only where chunks are."""
        if self.tap is not None:
            await self.tap.end(last, trailers)
        size, end = len(last), last
        if self._chunked:
            if size:
                end = b"%x\r\n%b\r\n" % (size, last)
            end = b"%b0\r\n%b\r\n" % (end, trailers)
        if end:
            self._write(end)
            self.sent_bytes += size
            if not self._connection.is_drained():
                await self._connection.drained(self.until_s)

    def break_off(self) -> None:
        """Cut the connection so that the client sees that the answer is not whole."""
        self.keep_alive = False
        if (transport := self._connection.transport) is not None:
            transport.abort()

    def _closing(self) -> bytes:
        if not self._body_read and self.has_body and not self._payload.is_eof() and self._expects:
            # Nobody can tell whether the body still comes.
            self.keep_alive = False
        if self.keep_alive:
            return b"" if self._message.version >= (1, 1) else b"connection: keep-alive\r\n"
        return b"connection: close\r\n"

    def _write(self, data: bytes) -> None:
        if (transport := self._connection.transport) is None or transport.is_closing():
            raise ConnectionResetError("the client has gone away")
        transport.write(data)


class BodyBrokenError(Exception):
    """The request's body cannot be had as it was announced; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem
