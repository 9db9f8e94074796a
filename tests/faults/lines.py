"""One connection through a fault proxy: two lanes of bytes, and its two sockets."""

import asyncio
import random
import socket
import struct
from collections import deque
from dataclasses import dataclass, field

from tests.faults.rules import Cut, Rules, Trip, Way, next_sighting

_RST = struct.pack("ii", 1, 0)
# No more than this waits for a side that does not read.
_MOST_WAITING_BYTES = 4 * 1024 * 1024


@dataclass
class State:
    """What all connections of a proxy share."""

    rules: dict[Way, Rules] = field(default_factory=lambda: {way: Rules() for way in Way})
    trips: list[Trip] = field(default_factory=list)
    lines: "list[Line]" = field(default_factory=list)
    cuts: int = 0
    swallowed_bytes: int = 0
    passed_bytes: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))


class Lane:
    """One way of one connection: what waits to be written to `out`."""

    def __init__(self, line: "Line", way: Way) -> None:
        self.line = line
        self.way = way
        self.own: Rules | None = None
        self.held = False
        self.out: asyncio.Transport | None = None
        self.source: asyncio.Transport | None = None
        self.closed = False
        self.passed_bytes = 0
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._tail = b""
        self._cut: Cut | None = None
        self._left = 0

    @property
    def rules(self) -> Rules:
        return self.own if self.own is not None else self.line.state.rules[self.way]

    def take(self, data: bytes) -> None:
        """Bytes came in."""
        self._due_s = self._next_due_s()
        self._waiting.append((self._due_s, data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _MOST_WAITING_BYTES:
            self.pause()
        self.go()

    def _next_due_s(self) -> float:
        rules = self.rules
        wait_s = rules.delay_s + (random.uniform(0, rules.jitter_s) if rules.jitter_s else 0.0)
        if not wait_s:
            return self._due_s
        return max(self._due_s, asyncio.get_running_loop().time() + wait_s)

    def pause(self) -> None:
        """Read no more for this way for now."""
        if self.source is not None and not self.source.is_closing():
            self.source.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self.source is not None and not self.source.is_closing():
            self.source.resume_reading()

    def end(self) -> None:
        """This side will say no more; the other learns it behind what waits."""
        self._ended = True
        self.go()

    def go(self) -> None:
        """Let pass whatever may."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and not self.line.over:
            if self.rules.swallowed:
                self._swallow()
                break
            if self.held or self.rules.stopped or self.out is None:
                return
            due_s, data = self._waiting[0]
            if due_s > loop.time() and not self.rules.is_plain:
                self._timer = loop.call_at(due_s, self.go)
                return
            self._waiting.popleft()
            full = self._waiting_bytes > _MOST_WAITING_BYTES
            self._waiting_bytes -= len(data)
            if full and self._waiting_bytes <= _MOST_WAITING_BYTES:
                self.resume()
            self._inspect(data)
        if self._ended and not self.closed and not self._waiting and not self.line.over:
            self.closed = True
            if self.rules.swallowed:
                self.line.lost_bytes += 1
            else:
                self.line.half_close(self.way)

    def _swallow(self) -> None:
        self.line.lost_bytes += self._waiting_bytes
        self.line.state.swallowed_bytes += self._waiting_bytes
        self._waiting.clear()
        self._waiting_bytes = 0
        self.resume()

    def _inspect(self, data: bytes) -> None:
        """Count what trips wait for, in the order of the bytes.

        One that springs splits them: what stands before passes, the rest is looked at again under
        the rules that the trip has left behind.
        """
        trips = self.line.state.trips
        seen, at = self._tail + data, 0
        while found := next_sighting(trips, self.way, seen, at, len(self._tail)):
            at, trip = found
            if trip.counts_down():
                split = max(0, at - len(self._tail))
                rest, data = data[split:], data[:split]
                # By the rules of before, as far as it stands before.
                self._remember(data)
                self._write(data)
                self._waiting.appendleft((0.0, rest))
                self._waiting_bytes += len(rest)
                trip.spring(self)
                if self._waiting and self._waiting[0][1] is rest:
                    self._waiting[0] = (self._next_due_s(), rest)
                return
            at += 1
        self._remember(data)
        self._write(data)

    def _remember(self, data: bytes) -> None:
        """The last bytes that passed: the beginning of what a trip waits for may be in them."""
        trips = self.line.state.trips
        longest = max((len(trip.text) for trip in trips), default=1)
        self._tail = (self._tail + data)[-(longest - 1) :] if longest > 1 else b""

    def _write(self, data: bytes) -> None:
        if not data or self.line.over:
            return
        rules = self.rules
        if rules.change is not None:
            data = rules.change(data)
        cut = rules.cut
        if cut is not self._cut:
            self._cut, self._left = cut, cut.after_bytes if cut is not None else 0
        if cut is not None:
            data = data[: self._left]
            self._left -= len(data)
        self.passed_bytes += len(data)
        self.line.state.passed_bytes[self.way] += len(data)
        if data and self.out is not None:
            self.out.write(data)
        if cut is not None and not self._left:
            self.line.state.cuts += 1
            self.line.close(reset=cut.reset)


class Side(asyncio.Protocol):
    """One socket of a connection: what it reads goes into `lane`, `back` is what writes to it."""

    def __init__(self, line: "Line", lane: Lane, back: Lane) -> None:
        self.line = line
        self.transport: asyncio.Transport | None = None
        self._lane = lane
        self._back = back

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.line.over:
            reset_now(transport)
            return
        self._back.out = transport
        self._lane.source = transport
        self._back.go()

    def data_received(self, data: bytes) -> None:
        self._lane.take(data)

    def eof_received(self) -> bool:
        self._lane.end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.line.close(reset=True)
        elif not self.line.half_open:
            self.line.close(reset=False)

    def pause_writing(self) -> None:
        self._back.pause()

    def resume_writing(self) -> None:
        self._back.resume()


class Line:
    """One connection through the proxy; `number` from 1 in the order of their coming."""

    def __init__(self, state: State, number: int) -> None:
        self.state = state
        self.number = number
        self.over = False
        self.half_open = False
        self.lost_bytes = 0
        self.lanes = {way: Lane(self, way) for way in Way}
        self.client = Side(self, self.lanes[Way.UP], self.lanes[Way.DOWN])
        self.server = Side(self, self.lanes[Way.DOWN], self.lanes[Way.UP])

    def close(self, *, reset: bool) -> None:
        """End both sides, with RST or in order; what waits is lost."""
        if self.over:
            return
        self.over = True
        if self in self.state.lines:
            self.state.lines.remove(self)
        for lane in self.lanes.values():
            lane.go()
        for side in (self.client, self.server):
            if side.transport is None:
                continue
            if reset:
                reset_now(side.transport)
            else:
                side.transport.close()

    def half_close(self, way: Way) -> None:
        """Say FIN on one way; the other way goes on."""
        lane = self.lanes[way]
        self.half_open = True
        try:
            if lane.out is not None and lane.out.can_write_eof() and not lane.out.is_closing():
                lane.out.write_eof()
        except OSError:
            # That side is gone already, and its loop has not come to say so.
            self.close(reset=True)
            return
        if lane.closed and self.lanes[_other(way)].closed:
            self.close(reset=False)

    def lose_server(self) -> None:
        """The server's side ends, the client is never told: he talks into the void."""
        self.half_open = True
        for lane in self.lanes.values():
            lane.own = Rules(swallowed=True)
        self.lost_bytes += 1
        if self.server.transport is not None:
            self.server.transport.abort()


def _other(way: Way) -> Way:
    return Way.DOWN if way is Way.UP else Way.UP


def reset_now(transport: asyncio.Transport) -> None:
    """RST instead of FIN; what waits to be written is thrown away."""
    sock = transport.get_extra_info("socket")
    if sock.family == socket.AF_INET and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    transport.abort()
