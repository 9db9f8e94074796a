"""One request of a client and the bytes of its answer, on the transport of aiohttp's server.

Refuses to buffer: bodies are read as they come, answers are written with back-pressure.
"""

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import StreamReader
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDictProxy

from gateway.edge.refusals import body_incomplete, body_timeout, body_too_large
from gateway.errors import Problem
from gateway.units import MS_PER_S

STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    for status in HTTPStatus
}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_BODY: Final = frozenset((204, 304))


class Writable:
    """What an exchange needs of its connection: a transport and its back-pressure."""

    transport: asyncio.Transport | None

    async def drained(self) -> None:
        """Return when the transport takes more; raises ConnectionResetError when it is gone."""
        raise AssertionError("implemented by the connection")


def status_line(status: int) -> bytes:
    """`HTTP/1.1 <status> <phrase>` with its line end; an unknown status has an empty phrase."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class Exchange:
    """What came (`method`, `target`, `headers`, body) and how the answer goes out.

    `target` is the request target as sent. `keep_alive` may only be turned off.
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
        "peer",
        "sent_bytes",
        "started",
        "target",
    )

    def __init__(
        self, connection: Writable, message: RawRequestMessage, payload: StreamReader, peer: str
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
        length = self.headers.get("Content-Length")
        self.content_length = int(length) if length is not None else None
        self.started = False
        self.sent_bytes = 0

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

    async def body(self, most_bytes: int, deadline_ms: int) -> bytes | Problem:
        """The whole body, or why it cannot be had; never more than `most_bytes` in memory."""
        if not self.has_body:
            return b""
        if self.content_length is not None and self.content_length > most_bytes:
            return self._unread(body_too_large(most_bytes))
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(deadline_ms / 1_000):
                while chunk := await self.next_chunk():
                    size += len(chunk)
                    if size > most_bytes:
                        return self._unread(body_too_large(most_bytes))
                    parts.append(chunk)
        except TimeoutError:
            return self._unread(body_timeout(deadline_ms // MS_PER_S))
        except BodyBrokenError:
            return self._unread(body_incomplete())
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def next_chunk(self) -> bytes:
        """The next bytes of the body, b"" at its end; raises BodyBrokenError if malformed."""
        if not self._body_read:
            self._body_read = True
            if self.headers.get("Expect", "").lower() == "100-continue":
                self._write(_CONTINUE)
        try:
            return await self._payload.readany()
        except (ValueError, RuntimeError, OSError) as error:
            raise BodyBrokenError from error

    def _unread(self, problem: Problem) -> Problem:
        # The rest of the body would be taken for the next request.
        self.keep_alive = False
        return problem

    def finish_unread(self) -> bool:
        """Whether the body has been read to its end, so that another request can follow."""
        return self._payload.is_eof()

    async def send(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer at once; `headers` are complete lines without the framing ones."""
        self.started = True
        self.sent_bytes += len(body)
        framing = b"\r\n" if status in _NO_BODY else b"content-length: %d\r\n\r\n" % len(body)
        if self.method == "HEAD":
            body = b""
        self._write(b"".join((status_line(status), headers, self._closing(), framing, body)))
        await self._connection.drained()

    async def start(self, status: int, headers: bytes, length: int | None) -> None:
        """Begin a streamed answer: of a known length, else in chunks (HTTP/1.0: until close)."""
        self.started = True
        if length is not None:
            framing = b"content-length: %d\r\n\r\n" % length
        elif self._message.version < (1, 1):
            self.keep_alive = False
            framing = b"\r\n"
        else:
            self._chunked = True
            framing = b"transfer-encoding: chunked\r\n\r\n"
        self._write(b"".join((status_line(status), headers, self._closing(), framing)))
        await self._connection.drained()

    async def write(self, data: bytes) -> None:
        """Stream some body bytes."""
        self.sent_bytes += len(data)
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._write(data)
        await self._connection.drained()

    async def finish(self, last: bytes = b"", trailers: bytes = b"") -> None:
        """The last bytes of a streamed answer and its end; `trailers` only where chunks are."""
        self.sent_bytes += len(last)
        if self._chunked:
            if last:
                last = b"%x\r\n%b\r\n" % (len(last), last)
            last = b"%b0\r\n%b\r\n" % (last, trailers)
        if last:
            self._write(last)
            await self._connection.drained()

    def break_off(self) -> None:
        """Cut the connection so that the client sees that the answer is not whole."""
        self.keep_alive = False
        transport = self._connection.transport
        if transport is not None:
            transport.abort()

    def _closing(self) -> bytes:
        if self.keep_alive:
            return b"" if self._message.version >= (1, 1) else b"connection: keep-alive\r\n"
        return b"connection: close\r\n"

    def _write(self, data: bytes) -> None:
        transport = self._connection.transport
        if transport is None:
            raise ConnectionResetError("the client has gone away")
        transport.write(data)


class BodyBrokenError(Exception):
    """The request's body is malformed or ended early."""
