"""The listener: aiohttp's HTTP parser, our own connection handling and loop over requests.

Refuses malformed HTTP in JSON, never with a stack trace. aiohttp's own request loop builds a task,
a writer and a request object per request; this one runs the handler in the connection's task and
writes prepared bytes, which is what the hot path needs. It is the last-resort boundary: whatever
escapes the pipeline becomes one 500 with a request id, and is logged.
"""

import asyncio
import logging
import math
import select
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from aiohttp import web_protocol, web_server
from aiohttp.http import HttpVersion10, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from gateway.edge.exchange import BodyBrokenError, Exchange
from gateway.edge.hearing import HeadRoom, Hearing
from gateway.edge.malformed import Malformed, is_odd, no_version, odd_coding
from gateway.edge.places import Places
from gateway.edge.same_head import Payload
from gateway.edge.writable import Writable
from gateway.telemetry import Telemetry

_LOG = logging.getLogger("sluice.server")
# The rest of a body that nobody wants is read this long, so that the client sees our answer.
_LINGER_S: Final = 5.0
_KEEP_ALIVE_S: Final = 75.0
# A client that takes nothing of its answer for so long is gone, whatever its kernel says.
_STALL_S: Final = 30.0
_TAKE_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a head may take to come, and how many clients may be connected.

    When all places are taken, who has asked nothing for `quiet_s` makes room for who comes.
    """

    header_deadline_ms: int = 30_000
    max_connections: int = 10_000
    quiet_s: float = 5.0


class Handlers(Protocol):
    """What answers: requests, bytes that are none, failures of ours, and clients too many."""

    async def handle(self, exchange: Exchange) -> None: ...
    async def malformed(self, exchange: Exchange, what: Malformed) -> None: ...
    async def failed(self, exchange: Exchange) -> None: ...
    async def overloaded(self, exchange: Exchange) -> None: ...


class Connection(Hearing, Writable):
    """One client connection; requests are handled one after another in its own task."""

    __slots__ = ("_server_of_ours",)

    def __init__(self, server: "Server", **arguments: Any) -> None:
        super().__init__(server, server.bounds.header_deadline_ms, server.head_room, **arguments)
        self._server_of_ours = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Drained then means that the kernel has it all, which no kill of ours can take back: a
        # last byte that waits in our own buffer is not delivered, and so not charged.
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=0)

    async def drained(self, until_s: float | None) -> None:
        """See Writable."""
        if self._paused:
            await self._taken(until_s or self._loop.time() + _TAKE_S)
        if self.transport is None:
            raise ConnectionResetError("the client has gone away")

    async def _taken(self, until_s: float) -> None:
        """Wait while the client takes something; who stops is taken for gone."""
        transport = self.transport
        while transport is not None and self._paused:
            left_bytes = transport.get_write_buffer_size()
            try:
                async with asyncio.timeout_at(min(self._loop.time() + _STALL_S, until_s)):
                    await self._drain_helper()
            except TimeoutError:
                self._drain_waiter = None
                late = self._loop.time() >= until_s
                if late or transport.get_write_buffer_size() >= left_bytes:
                    transport.abort()
                    raise ConnectionResetError("the client does not read its answer") from None

    def is_cut(self) -> bool:
        """See Writable."""
        return self._loop.time() >= self._server_of_ours.cut_from_s

    def has_left(self) -> bool:
        """See Writable."""
        if self.transport is None or self.transport.is_closing():
            return True
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def is_quiet(self, for_s: float) -> bool:
        """Whether nothing has been asked here for so long, and nothing is under way."""
        waits = self._waiter is not None and not self._waiter.done()
        if not waits or self._messages or self._head_timer is not None or self.transport is None:
            return False
        if self._loop.time() < self._next_keepalive_close_time - _KEEP_ALIVE_S + for_s:
            return False
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    async def start(self) -> None:
        """Handle requests until the connection ends; replaces aiohttp's loop."""
        server = self._server_of_ours
        self._next_keepalive_close_time = self._loop.time() + _KEEP_ALIVE_S
        peer = _peer_address(self.peername)
        server.telemetry.open_connections.inc()
        try:
            if not server.has_place():
                await self._turn_away(server, peer)
                await self._hear_out()
                return
            while not self._force_close:
                if not self._messages:
                    await self._next_message()
                message, payload = self._messages.popleft()
                self._refill()
                if not await self._serve(server, message, payload, peer):
                    break
                self._arm_keep_alive()
            if self._deaf:
                await self._hear_out()
        finally:
            server.telemetry.open_connections.dec()
            if not self._force_close:
                self._task_handler = None
                if self.transport is not None:
                    self.transport.close()

    async def _turn_away(self, server: "Server", peer: str) -> None:
        self._deaf = True
        exchange = Exchange(self, web_protocol.ERROR, EMPTY_PAYLOAD, peer)
        exchange.keep_alive = False
        with suppress(ConnectionError):
            await server.handlers.overloaded(exchange)

    async def _hear_out(self) -> None:
        """Say that nothing follows; what still comes is dropped, so that our answer is read."""
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await self._next_message()

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

    async def _serve(self, server: "Server", message: Any, payload: Payload, peer: str) -> bool:
        server.requests_count += 1
        understood = isinstance(message, RawRequestMessage)
        exchange = Exchange(self, message if understood else web_protocol.ERROR, payload, peer)
        if server.retiring and not self._messages:
            # The client asks another process next; what it has sent already is answered here.
            exchange.keep_alive = False
        self._request_in_progress = True
        try:
            if not understood:
                await server.handlers.malformed(exchange, message)
            elif message.version < HttpVersion10:
                exchange.keep_alive = False
                await server.handlers.malformed(exchange, no_version(message))
            elif "Transfer-Encoding" in message.headers and is_odd(message):
                exchange.keep_alive = False
                await server.handlers.malformed(exchange, odd_coding(message))
            else:
                if message.upgrade:
                    exchange.keep_alive = False
                await server.handlers.handle(exchange)
        except ConnectionError:
            return False
        except Exception:
            told = {"request_id": exchange.request_id}
            _LOG.exception("unhandled failure for %s", exchange.method, extra=told)
            await _apologise(server, exchange)
            return False
        finally:
            self._request_in_progress = False
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)
        if not payload.is_eof() and not (exchange.has_body and await self._linger(payload)):
            return False
        return exchange.keep_alive and not self._close

    async def _linger(self, payload: Payload) -> bool:
        """Read the rest of a body that nobody wanted, so that the client can read our answer."""
        try:
            async with asyncio.timeout(_LINGER_S):
                while not payload.is_eof():
                    await payload.readany()
        except (TimeoutError, ValueError, RuntimeError, OSError, BodyBrokenError):
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
        self, handlers: Handlers, telemetry: Telemetry, bounds: Bounds, **arguments: Any
    ) -> None:
        super().__init__(_unused, handler_cancellation=True, **arguments)
        self.handlers = handlers
        self.telemetry = telemetry
        self.bounds = bounds
        self.retiring = False
        self.head_room = HeadRoom()
        self.cut_from_s = math.inf
        self._places = Places(bounds.max_connections, bounds.quiet_s)

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)

    def has_place(self) -> bool:
        """Whether one more client, who has just connected, may stay."""
        clients = cast("dict[Connection, Any]", self._connections)
        return self._places.has(clients, len(clients), self._loop.time())

    def close_quiet(self, for_s: float) -> int:
        """End the connections on which nothing was asked for so long; how many are left."""
        quiet = [each for each in self.connections if cast(Connection, each).is_quiet(for_s)]
        for each in quiet:
            each.close()
        return len(self._connections) - len(quiet)

    async def shutdown(self, timeout: float | None = None) -> None:
        """Idle connections end now, the others when their request has, within the timeout."""
        self.pre_shutdown()
        self.cut_from_s = self._loop.time() + (math.inf if timeout is None else timeout)
        await super().shutdown(timeout)


async def _apologise(server: Server, exchange: Exchange) -> None:
    """A 500 where nothing was sent yet, else a cut that the client can see."""
    if exchange.started or exchange.gone:
        exchange.break_off()
        return
    exchange.keep_alive = False
    with suppress(ConnectionError):
        await server.handlers.failed(exchange)


async def _unused(_request: Any) -> Any:
    raise AssertionError("aiohttp's request loop is replaced")


def make_server(handlers: Handlers, telemetry: Telemetry, bounds: Bounds) -> Server:
    """The listener's protocol factory with this product's bounds."""
    return Server(
        handlers,
        telemetry,
        bounds,
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
