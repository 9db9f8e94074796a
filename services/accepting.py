"""The listening side of a service: sockets that exist only once they listen, and a calm door.

Connections are taken one per turn of the loop, however many wait: taking a crowd at once would hold
everybody who is already in. It refuses nobody; a machine out of descriptors is waited for.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BACKLOG: Final = 1024
# Of descriptors or memory there may be more in a moment; trying at once would only spin.
SHORT_OF: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
PAUSE_S: Final = 0.5
LOGGER: Final = "sluice.service"
ProtocolFactory = Callable[[], asyncio.Protocol]


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: a unix socket, or host and port. Port 0 lets the kernel choose."""

    path: str | None
    host: str = ""
    port: int = 0


def parse_listen(text: str) -> Listen:
    """`unix:/path` or `host:port`. Raises ValueError with a sentence."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError("unix: needs a path")
        return Listen(path)
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{text!r} is neither unix:/path nor host:port")
    return Listen(None, host.strip("[]"), int(port))


class Pace:
    """Gives what connections have sent to their protocols, one piece per turn of the loop.

    A piece that comes alone is given at once. Pieces of one connection stay in their order.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Protocol, bytes]] = deque()
        self._given = False

    def give(self, protocol: asyncio.Protocol, data: bytes) -> None:
        """Now, or as soon as it is its turn."""
        if self._given:
            self._waiting.append((protocol, data))
            return
        self._given = True
        asyncio.get_running_loop().call_soon(self._turn)
        protocol.data_received(data)

    def _turn(self) -> None:
        if not self._waiting:
            self._given = False
            return
        asyncio.get_running_loop().call_soon(self._turn)
        protocol, data = self._waiting.popleft()
        protocol.data_received(data)


class _Paced(asyncio.Protocol):
    """A protocol that gets its data at a pace."""

    def __init__(self, inner: asyncio.Protocol, pace: Pace) -> None:
        self._inner = inner
        self._pace = pace

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._pace.give(self._inner, data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class Door:
    """Takes connections for `factory` until it is closed."""

    def __init__(self, factory: ProtocolFactory) -> None:
        self._factory = factory
        self._pace = Pace()
        self._path: str | None = None
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []

    @property
    def addresses(self) -> Sequence[str]:
        """What it listens on, for the log."""
        return [self._path] if self._path else [_shown(each) for each in self._sockets]

    async def open(self, listen: Listen) -> None:
        """Listens when it returns. Raises OSError."""
        self._path = listen.path
        if listen.path is not None:
            self._sockets = [_unix(Path(listen.path))]
        else:
            self._sockets = await _tcp(listen)
        self._accepting = [asyncio.create_task(self._accept(each)) for each in self._sockets]

    async def close(self) -> None:
        """Takes no more; what was taken goes on."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listening in self._sockets:
            listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                taken, _ = await loop.sock_accept(listening)
            except OSError as fault:
                if fault.errno in SHORT_OF:
                    logging.getLogger(LOGGER).error("cannot take a connection: %s", fault)
                await asyncio.sleep(PAUSE_S if fault.errno in SHORT_OF else 0)
                continue
            taken.setblocking(False)
            # One that is already gone is no reason to take no other.
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(self._paced, taken)

    def _paced(self) -> asyncio.Protocol:
        return _Paced(self._factory(), self._pace)


def _unix(path: Path) -> socket.socket:
    """Listening before it has its name: whoever finds the file can connect."""
    aside = path.with_name(path.name[:-1] + "~")
    aside.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.setblocking(False)
        listening.bind(str(aside))
        listening.listen(BACKLOG)
        aside.rename(path)
    except OSError:
        listening.close()
        raise
    return listening


async def _tcp(listen: Listen) -> list[socket.socket]:
    rows = await asyncio.get_running_loop().getaddrinfo(
        listen.host or None, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    found: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(rows):
            listening = socket.socket(family, kind, protocol)
            found.append(listening)
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
    except OSError:
        for listening in found:
            listening.close()
        raise
    return found


def _shown(listening: socket.socket) -> str:
    host, port, *_ = listening.getsockname()
    return f"{host}:{port}"
