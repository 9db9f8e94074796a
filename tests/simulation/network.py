"""The network: what travels takes time, and may be late, lost, torn off or told twice.

Connections are those of TCP: in order within one, in any order across them. What a client has
written may still arrive after it has given up, or died.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.clockwork import CURRENT, OUTSIDE, Process, VirtualLoop, outside
from tests.simulation.redis_store import Store, split

NEVER_S = 10_000.0
# Timers of one moment have no order: what must come in order comes at different ones.
TICK_S = 1e-7


@dataclass(slots=True)
class Odds:
    """How likely what is, of each message; set by the scenario, all 0 when faults have ended."""

    slow: float = 0.0
    lost_request: float = 0.0
    lost_reply: float = 0.0
    cut: float = 0.0
    twice: float = 0.0
    slowest_s: float = 0.4


class Wire:
    """The transport that a protocol of ours is given; `server` gets what it writes."""

    def __init__(self, protocol: Any, context: Any, loop: VirtualLoop) -> None:
        self.protocol = protocol
        self.context = context
        self.loop = loop
        self.closed = False
        self.peer = "192.0.2.9"
        self.server: Any = None

    def write(self, data: bytes) -> None:
        process = CURRENT.get()
        if not self.closed and (process is None or process.alive):
            self.server.heard(data)

    def abort(self) -> None:
        self._end(None)

    def close(self) -> None:
        self._end(None)

    def cut(self) -> None:
        """Somebody else ended it."""
        if not self.closed:
            self.loop.call_soon(self._end, ConnectionResetError("cut"), context=self.context)

    def _end(self, why: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            self.server.ended()
            self.loop.call_soon(self.protocol.connection_lost, why, context=self.context)

    def tell(self, data: bytes) -> None:
        """Bytes have arrived at the protocol, whose process runs."""
        if not self.closed:
            self.protocol.data_received(data)

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.peer, 1) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The kernel takes all of it."""

    def get_write_buffer_size(self) -> int:
        return 0

    def write_eof(self) -> None:
        """Nobody looks."""

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        """What comes is small."""

    def resume_reading(self) -> None:
        """See above."""

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol


class RedisServer:
    """Redis as the network shows it: up, down, frozen, or behind a partition."""

    def __init__(self, loop: VirtualLoop, store: Store, watcher: Any, now_us: Any) -> None:
        self.loop = loop
        self.store = store
        self.watcher = watcher
        self.now_us = now_us
        self.odds = Odds()
        self.down = False
        self.frozen = False
        self.partitioned: set[str] = set()
        self.lines: list[RedisLine] = []
        self.held_up: list[tuple[RedisLine, bytes]] = []

    def kill(self) -> None:
        self.down = True
        self.held_up.clear()
        for line in list(self.lines):
            line.dead = True
            line.wire.cut()
        self.lines.clear()

    def thaw(self) -> None:
        """It works off what has come meanwhile, whoever still waits for it."""
        self.frozen = False
        waiting, self.held_up = self.held_up, []
        for line, data in waiting:
            line.arrive(data)

    def heal(self) -> None:
        """The partition ends: what was on its way goes on."""
        self.partitioned.clear()
        for line in list(self.lines):
            if line.stalled:
                line.stalled = False
                waiting, line.waiting = line.waiting, []
                for data in waiting:
                    line.heard(data)


class RedisLine:
    """The server's end of one connection."""

    def __init__(self, server: RedisServer, wire: Wire, process: Process) -> None:
        self.server = server
        self.wire = wire
        self.process = process
        self.dead = False
        self.stalled = False
        self.waiting: list[bytes] = []
        self._request_s = 0.0
        self._reply_s = 0.0
        server.lines.append(self)

    def heard(self, data: bytes) -> None:
        """The client has written; it arrives later, or waits behind what does not."""
        server, chance = self.server, self.server.loop.chance
        if self.dead:
            return
        if self.stalled or self.process.node in server.partitioned:
            self.stalled = True
            self.waiting.append(data)
            return
        odds, now_s = server.odds, server.loop.now_s
        delay_s = chance.uniform(0.0002, 0.002)
        fate = chance.random()
        if fate < odds.slow:
            delay_s = chance.uniform(0.01, server.odds.slowest_s)
        elif fate < odds.slow + odds.lost_request:
            # Lost and sent again by the kernel until it comes, or never.
            delay_s = NEVER_S if chance.random() < 0.5 else chance.uniform(0.3, 8.0)
            server.loop.note("a request to Redis is late")
        self._request_s = max(self._request_s + TICK_S, now_s + delay_s)
        if self._request_s < NEVER_S:
            outside(server.loop, self._request_s, self.arrive, data)

    def arrive(self, data: bytes) -> None:
        """At the server."""
        server, chance = self.server, self.server.loop.chance
        if server.down or self.dead:
            return
        if server.frozen:
            server.held_up.append((self, data))
            return
        odds = server.odds
        if chance.random() < odds.cut / 2:
            server.loop.note("a connection to Redis is cut before it was heard")
            self.dead = True
            self.wire.cut()
            return
        raw = self._execute(data)
        if chance.random() < odds.twice:
            server.loop.note("Redis is told twice")
            raw = self._execute(data)
        if chance.random() < odds.cut / 2:
            server.loop.note("a connection to Redis is cut before its reply")
            self.dead = True
            self.wire.cut()
            return
        self._reply(raw)

    def _execute(self, data: bytes) -> bytes:
        server = self.server
        commands, now_us = split(data), server.now_us()
        raw, replies = server.store.execute(commands, now_us)
        server.watcher.executed(commands, replies, now_us)
        return raw

    def _reply(self, raw: bytes) -> None:
        server, chance = self.server, self.server.loop.chance
        now_s = server.loop.now_s
        delay_s = chance.uniform(0.0002, 0.002)
        fate = chance.random()
        if fate < server.odds.slow:
            delay_s = chance.uniform(0.01, server.odds.slowest_s)
        elif fate < server.odds.slow + server.odds.lost_reply:
            server.loop.note("a reply of Redis is lost")
            delay_s = NEVER_S
        if self.process.node in server.partitioned:
            delay_s = NEVER_S
        self._reply_s = max(self._reply_s + TICK_S, now_s + delay_s)
        if self._reply_s < NEVER_S:
            server.loop.call_at(self._reply_s, self.wire.tell, raw, context=self.wire.context)

    def ended(self) -> None:
        """The client has closed it; what it wrote before still comes."""
        if self in self.server.lines and not self.stalled:
            self.server.lines.remove(self)


class Network:
    """Where a connection leads: to Redis, or to a service."""

    def __init__(self, loop: VirtualLoop, redis: RedisServer) -> None:
        self.loop = loop
        self.redis = redis
        self.services: dict[str, Callable[[Wire], Any]] = {}
        self.services_down: set[str] = set()

    async def dial(self, factory: Callable[[], Any], path: str) -> tuple[Wire, Any]:
        process = CURRENT.get()
        assert process is not None
        name = path.rpartition("/")[2]
        await asyncio.sleep(self.loop.chance.uniform(0.0002, 0.001))
        if name == "redis":
            while process.node in self.redis.partitioned:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            if self.redis.down:
                raise ConnectionRefusedError("redis is down")
        elif name in self.services_down:
            raise ConnectionRefusedError(f"{name} is down")
        protocol = factory()
        wire = Wire(protocol, process.context, self.loop)
        if name == "redis":
            wire.server = RedisLine(self.redis, wire, process)
        else:
            wire.server = self.services[name](wire)
        protocol.connection_made(wire)
        return wire, protocol


__all__ = ["OUTSIDE", "Network", "Odds", "RedisLine", "RedisServer", "Wire"]
