"""Connections to internal services: a pool per service, one request per connection at a time.

Refuses to wait for ever: deadlines of the first byte, of silence and of the whole are enforced by
one sweep over the open connections instead of a timer for each. A pooled connection that the
service had closed is replaced once, and only if no byte of an answer had come. Refuses a service
more requests at once than its share, so that a slow one does not use up what the others need, and
leaves one alone that fails (`breaker`).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from gateway.edge import refusals
from gateway.edge.breaker import Breaker, State
from gateway.edge.connection import Connection
from gateway.errors import Problem, ServiceUnreachable
from gateway.telemetry import Level, Telemetry

_CONNECT_S: Final = 2.0
_SWEEP_S: Final = 0.1
# Below the services' own keep-alive, so that the gateway is the one that closes.
_IDLE_S: Final = 50.0
_MAX_IDLE: Final = 512


class Upstream:
    """The pool of one service; `url` is http:, https: or unix:; `most` requests at once."""

    def __init__(self, name: str, url: str, most: int, shown: Level) -> None:
        self.name = name
        self.most = most
        self.breaker = Breaker()
        self._shown = shown
        parts = urlsplit(url)
        self._path = parts.path if parts.scheme == "unix" else None
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self.base_path = "" if self._path is not None else parts.path.rstrip("/")
        self.host_header = (parts.netloc.rpartition("@")[2] or name).encode("ascii")
        self._idle: list[Connection] = []
        self._idle_alive = 0
        self._all: set[Connection] = set()

    @property
    def running(self) -> int:
        """Connections that are being made, or have a request."""
        return len(self._all) - self._idle_alive

    def refusal(self, name: str) -> Problem | None:
        """Why nothing of this name is asked of the service now; None: go on.

        While the breaker is open, None is an order to try: it is said once per pause.
        """
        if len(self._all) - self._idle_alive >= self.most:
            return refusals.service_full(name)
        if not self.breaker.is_open:
            return None
        wait_ms = self.breaker.wait_ms(asyncio.get_running_loop().time())
        return refusals.service_resting(name, wait_ms) if wait_ms else None

    def answered(self) -> None:
        """See Pool."""
        self.breaker.succeeded()

    def failed(self, subject: str) -> None:
        """See Pool."""
        self.breaker.failed(asyncio.get_running_loop().time(), subject)

    def pooled(self) -> Connection | None:
        """A connection that is there and free; None: one has to be made."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection in self._all:
                connection.is_idle = False
                self._idle_alive -= 1
                return connection
        return None

    async def connection(self, *, fresh: bool = False) -> Connection:
        """A connection that is free; raises ServiceUnreachable if none can be made."""
        pooled = None if fresh else self.pooled()
        if pooled is not None:
            return pooled
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await self._connect()
        except (OSError, TimeoutError) as error:
            self.breaker.unreached(asyncio.get_running_loop().time())
            raise ServiceUnreachable(f"{self.name}: {error}") from error

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(self)
        # Before it is made: it may be lost before this task runs again.
        self._all.add(connection)
        try:
            if self._path is not None:
                await loop.create_unix_connection(lambda: connection, self._path)
            else:
                await loop.create_connection(
                    lambda: connection, self._host, self._port, ssl=self._tls
                )
        except BaseException:
            self._all.discard(connection)
            raise
        return connection

    def release(self, connection: Connection) -> None:
        """The answer is whole: keep the connection for the next request."""
        if len(self._idle) < _MAX_IDLE:
            connection.is_idle = True
            self._idle_alive += 1
            self._idle.append(connection)
        else:
            connection.close()

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        self._all.discard(connection)
        if connection.is_idle:
            connection.is_idle = False
            self._idle_alive -= 1

    def sweep(self, now_s: float) -> None:
        """Fail what is past a deadline, close what was idle for long, tell how it stands."""
        self.breaker.turn(now_s)
        self._shown.set(int(self.breaker.state(now_s)))
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

    def __init__(self, urls: Mapping[str, str], most: int, telemetry: Telemetry) -> None:
        shown = telemetry.service_breakers.labels
        self._pools = {name: Upstream(name, url, most, shown(name)) for name, url in urls.items()}
        self._sweeper: asyncio.Task[None] | None = None

    def get(self, service: str) -> Upstream | None:
        """The pool of a service; None when it is not deployed."""
        return self._pools.get(service)

    def troubles(self) -> str:
        """The services that are left alone now, in words; empty when all are asked."""
        now_s = asyncio.get_running_loop().time()
        names = [
            name
            for name, pool in self._pools.items()
            if pool.breaker.state(now_s) is State.OPEN or pool.running >= pool.most
        ]
        return f"not asked for a while: {', '.join(names)}" if names else ""

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
