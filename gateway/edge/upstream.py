"""Connections to internal services: a pool per service, one request per connection at a time.

Refuses to wait for ever: connect, first byte and total deadlines are enforced by one sweep over
the open connections instead of a timer for each. A pooled connection that the service had closed
is replaced once, and only if no byte of an answer had come.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Final, cast
from urllib.parse import urlsplit

from gateway.edge.answer import MAX_HEAD_BYTES, Answer, parse_head
from gateway.errors import (
    AnswerBroken,
    Fault,
    ServiceTimeout,
    ServiceUnreachable,
    StaleConnection,
)

_CONNECT_S: Final = 2.0
_SWEEP_S: Final = 0.1
# Below the services' own keep-alive, so that the gateway is the one that closes.
_IDLE_S: Final = 50.0
_MAX_IDLE: Final = 512


class Connection(asyncio.Protocol):
    """One connection to a service; `send` a request, await its answer's head."""

    __slots__ = (
        "_answer",
        "_buffer",
        "_drain",
        "_head",
        "_loop",
        "_pool",
        "_transport",
        "deadline_s",
        "first_byte_s",
        "idle_since_s",
        "used",
    )

    def __init__(self, pool: "Upstream") -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._head: asyncio.Future[Answer] | None = None
        self._answer: Answer | None = None
        self._buffer = b""
        self._drain: asyncio.Future[None] | None = None
        self.used = 0
        self.idle_since_s = 0.0
        self.deadline_s = 0.0
        self.first_byte_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def begin(self, request: bytes, first_byte_ms: int, deadline_ms: int) -> asyncio.Future[Answer]:
        """Write the head (and a small body); the future is the answer once its head is here."""
        assert self._transport is not None
        assert self._head is None
        now = self._loop.time()
        self.used += 1
        self.deadline_s = now + deadline_ms / 1_000
        self.first_byte_s = now + first_byte_ms / 1_000
        head = self._head = self._loop.create_future()
        self._transport.write(request)
        return head

    async def write(self, data: bytes) -> bool:
        """Stream more of the body with back-pressure; False once an answer has begun to come."""
        if self._answer is not None or self._transport is None or self._head is None:
            return False
        self._transport.write(data)
        if self._drain is not None:
            await self._drain
        return not self._head.done()

    def pause_writing(self) -> None:
        if self._drain is None:
            self._drain = self._loop.create_future()

    def resume_writing(self) -> None:
        drain, self._drain = self._drain, None
        if drain is not None and not drain.done():
            drain.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._receive(data)
        except AnswerBroken as broken:
            self.fail(broken)

    def _receive(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            if self._head is None:
                raise AnswerBroken("bytes without a request")
            if self._buffer:
                data = self._buffer + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD_BYTES:
                    raise AnswerBroken("an endless head")
                self._buffer = data
                return
            self._buffer = b""
            assert self._transport is not None
            answer = parse_head(data[:end], self._transport)
            data = data[end + 4 :]
            if answer.status < 200:
                if data:
                    self._receive(data)
                return
            self._answer = answer
        if data and not answer.ended and answer.feed(data):
            raise AnswerBroken("bytes behind the answer")
        head = self._head
        if head is not None and not head.done():
            head.set_result(answer)
        if answer.ended:
            self._finish(answer)

    def _finish(self, answer: Answer) -> None:
        self._answer = self._head = None
        answer.resume()
        if answer.keep_alive and self._transport is not None:
            self._pool.release(self)
        else:
            self.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self.resume_writing()
        self._pool.forget(self)
        if self._answer is not None:
            self._answer.connection_ended()
        elif self._head is not None and not self._head.done():
            if self.used > 1 and not self._buffer:
                self._head.set_exception(StaleConnection("the pooled connection was closed"))
            else:
                self._head.set_exception(AnswerBroken("closed before an answer"))

    def fail(self, failure: Fault) -> None:
        """Give the request up: the waiter gets the failure and the connection is closed."""
        if self._answer is not None:
            self._answer.fail(failure)
        elif self._head is not None and not self._head.done():
            self._head.set_exception(failure)
        self.close()

    def close(self) -> None:
        """Drop the connection at once; the service sees that nobody waits any more."""
        self._pool.forget(self)
        if self._transport is not None:
            self._transport.abort()

    def sweep(self, now_s: float) -> None:
        """Fail when a deadline has passed."""
        if self._head is None:
            return
        if now_s > self.deadline_s or (self._answer is None and now_s > self.first_byte_s):
            self.fail(ServiceTimeout(f"{self._pool.name} is past its deadline"))


class Upstream:
    """The pool of one service; `url` is http:, https: or unix:."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        parts = urlsplit(url)
        self._path = parts.path if parts.scheme == "unix" else None
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self.base_path = "" if self._path is not None else parts.path.rstrip("/")
        self.host_header = (parts.netloc.rpartition("@")[2] or name).encode("ascii")
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()

    async def connection(self, *, fresh: bool = False) -> Connection:
        """A connection that is free; raises ServiceUnreachable if none can be made."""
        if not fresh:
            idle = self._idle
            while idle:
                connection = idle.pop()
                if connection in self._all:
                    return connection
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await self._connect()
        except (OSError, TimeoutError) as error:
            raise ServiceUnreachable(f"{self.name}: {error}") from error

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        if self._path is not None:
            _, protocol = await loop.create_unix_connection(lambda: Connection(self), self._path)
        else:
            _, protocol = await loop.create_connection(
                lambda: Connection(self), self._host, self._port, ssl=self._tls
            )
        self._all.add(protocol)
        return protocol

    def release(self, connection: Connection) -> None:
        """The answer is whole: keep the connection for the next request."""
        if len(self._idle) < _MAX_IDLE:
            connection.idle_since_s = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.close()

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        self._all.discard(connection)

    def sweep(self, now_s: float) -> None:
        """Fail what is past a deadline, close what was idle for long."""
        for connection in tuple(self._all):
            connection.sweep(now_s)
        idle = self._idle
        while idle and (idle[0] not in self._all or now_s - idle[0].idle_since_s > _IDLE_S):
            oldest = idle.pop(0)
            if oldest in self._all:
                oldest.close()

    def close(self) -> None:
        """Drop every connection."""
        for connection in tuple(self._all):
            connection.close()


class Upstreams:
    """All services that are deployed, and the sweep over their connections."""

    def __init__(self, urls: dict[str, str]) -> None:
        self._pools = {name: Upstream(name, url) for name, url in urls.items()}
        self._sweeper: asyncio.Task[None] | None = None

    def get(self, service: str) -> Upstream | None:
        """The pool of a service; None when it is not deployed."""
        return self._pools.get(service)

    async def run(self) -> AsyncIterator[None]:
        """Sweep while the application lives; for the composition root."""
        self._sweeper = asyncio.create_task(self._sweep())
        yield
        self._sweeper.cancel()
        for pool in self._pools.values():
            pool.close()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            for pool in self._pools.values():
                pool.sweep(loop.time())
