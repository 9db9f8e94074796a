"""The listener: aiohttp's HTTP parser and connection handling, our own loop over requests.

Refuses malformed HTTP in JSON, never with a stack trace. aiohttp's own request loop builds a task,
a writer and a request object per request; this one runs the handler in the connection's task and
writes prepared bytes, which is what the hot path needs. It is the last-resort boundary: whatever
escapes the pipeline becomes one 500 with a request id, and is logged.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web_protocol, web_server
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

from gateway.edge.exchange import Exchange, Writable
from gateway.telemetry import Telemetry

_LOG = logging.getLogger("sluice.server")
_LINGER_S: Final = 5.0
_KEEP_ALIVE_S: Final = 75.0

Handler = Callable[[Exchange], Awaitable[None]]
Malformed = Callable[[Exchange, str], Awaitable[None]]


class Connection(web_protocol.RequestHandler, Writable):
    """One client connection; requests are handled one after another in its own task."""

    __slots__ = ("_handler", "_server_of_ours")

    def __init__(self, server: "Server", **arguments: Any) -> None:
        super().__init__(server, **arguments)
        self._server_of_ours = server

    async def drained(self) -> None:
        """See Writable."""
        if self._paused:
            await self._drain_helper()
        elif self.transport is None:
            raise ConnectionResetError("the client has gone away")

    async def start(self) -> None:
        """Handle requests until the connection ends; replaces aiohttp's loop."""
        server = self._server_of_ours
        peer = _peer_address(self.peername)
        if self.transport is not None:
            # Drained then means that the kernel has it all, which no kill of ours can take back:
            # a last byte that waits in our own buffer is not delivered, and so not charged.
            self.transport.set_write_buffer_limits(high=0)
        server.telemetry.open_connections.inc()
        try:
            while not self._force_close:
                if not self._messages:
                    await self._next_message()
                message, payload = self._messages.popleft()
                self._refill()
                if not await self._serve(server, message, payload, peer):
                    break
                self._arm_keep_alive()
        finally:
            server.telemetry.open_connections.dec()
            if not self._force_close:
                self._task_handler = None
                if self.transport is not None:
                    self.transport.close()

    async def _next_message(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _refill(self) -> None:
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    async def _serve(
        self, server: "Server", message: Any, payload: StreamReader, peer: str
    ) -> bool:
        server.requests_count += 1
        if not isinstance(message, RawRequestMessage):
            exchange = Exchange(self, web_protocol.ERROR, payload, peer)
            exchange.keep_alive = False
            await server.malformed(exchange, str(message.message))
            return False
        exchange = Exchange(self, message, payload, peer)
        self._request_in_progress = True
        try:
            await server.handler(exchange)
        except ConnectionError:
            return False
        except Exception:
            _LOG.exception("unhandled failure for %s", message.method)
            await _apologise(server, exchange)
            return False
        finally:
            self._request_in_progress = False
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)
        if not payload.is_eof() and not await self._linger(payload):
            return False
        return exchange.keep_alive and not self._close

    async def _linger(self, payload: StreamReader) -> bool:
        """Read the rest of a body that nobody wanted, so that the client can read our answer."""
        try:
            async with asyncio.timeout(_LINGER_S):
                while not payload.is_eof():
                    await payload.readany()
        except (TimeoutError, ValueError, RuntimeError, OSError):
            return False
        return True

    def _arm_keep_alive(self) -> None:
        close_s = self._loop.time() + _KEEP_ALIVE_S
        self._next_keepalive_close_time = close_s
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_s, self._process_keepalive)


class Server(web_server.Server):
    """Makes a Connection for each client; see `asyncio.loop.create_server`."""

    def __init__(
        self,
        handler: Handler,
        malformed: Malformed,
        failed: Handler,
        telemetry: Telemetry,
        **arguments: Any,
    ) -> None:
        super().__init__(_unused, handler_cancellation=True, **arguments)
        self.handler = handler
        self.malformed = malformed
        self.failed = failed
        self.telemetry = telemetry

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)


async def _apologise(server: Server, exchange: Exchange) -> None:
    """A 500 where nothing was sent yet, else a cut that the client can see."""
    if exchange.started or exchange.gone:
        exchange.break_off()
        return
    exchange.keep_alive = False
    await server.failed(exchange)


async def _unused(_request: Any) -> Any:
    raise AssertionError("aiohttp's request loop is replaced")


def make_server(
    handler: Handler, malformed: Malformed, failed: Handler, telemetry: Telemetry
) -> Server:
    """The listener's protocol factory with this product's bounds."""
    return Server(
        handler,
        malformed,
        failed,
        telemetry,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=_KEEP_ALIVE_S,
        # A reader's target rides in the path, so the line may be long.
        max_line_size=16_380,
        max_field_size=16_380,
        max_headers=100,
    )


def _peer_address(peername: Any) -> str:
    return str(peername[0]) if isinstance(peername, tuple) and peername else ""
