"""A TCP proxy that breaks things on purpose, in the process of the test.

    client --Way.UP--> proxy --> server (a port or a unix socket)
    client <--Way.DOWN-- proxy <-- server

Per way, for all connections or for one (`Rules`): a delay with jitter, a stop, bytes swallowed,
bytes changed, a cut (FIN or RST) after n more bytes. Per proxy (`door`): connections are taken,
reset at once, or swallowed: taken and led nowhere. A `Trip` acts when certain bytes come by, before
they pass; that is how a fault meets a certain point of a request and not luck.

Everything may be changed while it runs; `heal` puts everything back to normal at once. What a rule
held back passes when the rule ends; what was swallowed is lost.
"""

import asyncio
from enum import Enum
from pathlib import Path
from types import TracebackType

from tests.faults.lines import Line, State, reset_now
from tests.faults.rules import Cut, Rules, Trip, Way

__all__ = ["Cut", "Door", "Line", "Proxy", "Rules", "Trip", "Way"]
Server = tuple[str, int] | Path


class Door(Enum):
    """What becomes of a new connection."""

    OPEN = "taken and led to the server"
    RESET = "taken and reset at once"
    SWALLOWED = "taken, led nowhere, never answered"


class Proxy:
    """`async with Proxy(server)`: listens on a port of loopback, and ends everything at its end."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = 0
        self.state = State()
        self.door = Door.OPEN
        self.connections = 0
        self.turned_away = 0
        self._listener: asyncio.Server | None = None
        self._dialling: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._welcome, "127.0.0.1", 0, backlog=1_024)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        self.reset()
        for task in self._dialling:
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        await self._listener.wait_closed()

    @property
    def up(self) -> Rules:
        """The rules of what goes to the server, to be changed at any time; then call `go`."""
        return self.state.rules[Way.UP]

    @property
    def down(self) -> Rules:
        """The rules of what comes from the server."""
        return self.state.rules[Way.DOWN]

    @property
    def lines(self) -> list[Line]:
        """The connections that live."""
        return list(self.state.lines)

    def trip(self, trip: Trip) -> Trip:
        """Watch for it from now on."""
        self.state.trips.append(trip)
        return trip

    def go(self) -> None:
        """Look again at what waits, after rules were changed."""
        for line in self.lines:
            for lane in line.lanes.values():
                lane.go()

    def stop(self) -> None:
        """Nothing passes either way, nothing is lost: as when a cable is out."""
        self.up.stopped = self.down.stopped = True

    def swallow(self) -> None:
        """A black hole: takes everything, new connections too, and answers nothing."""
        self.up.swallowed = self.down.swallowed = True
        self.door = Door.SWALLOWED

    def delay(self, delay_s: float, jitter_s: float = 0.0) -> None:
        """Each way takes so long more."""
        for rules in (self.up, self.down):
            rules.delay_s, rules.jitter_s = delay_s, jitter_s

    def reset(self) -> None:
        """RST on both sides of every connection."""
        for line in self.lines:
            line.close(reset=True)

    def lose_servers(self) -> None:
        """Every connection is half open from now on: the server's side is gone, silently."""
        for line in self.lines:
            line.lose_server()

    def heal(self) -> None:
        """Back to normal at once. A connection that lost bytes is reset, as its server would."""
        self.door = Door.OPEN
        self.state.rules = {way: Rules() for way in Way}
        trips, self.state.trips = self.state.trips, []
        for line in self.lines:
            if line.lost_bytes:
                line.close(reset=True)
            for lane in line.lanes.values():
                lane.own = None
        for trip in trips:
            trip.release()
        self.go()

    def _welcome(self) -> asyncio.Protocol:
        self.connections += 1
        if self.door is Door.RESET:
            self.turned_away += 1
            return _Refusing()
        line = Line(self.state, self.connections)
        self.state.lines.append(line)
        if self.door is Door.OPEN:
            task = asyncio.get_running_loop().create_task(self._dial(line))
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)
            return line.client
        self.turned_away += 1
        line.lost_bytes = 1
        for lane in line.lanes.values():
            lane.own = Rules(swallowed=True)
        return line.client

    async def _dial(self, line: Line) -> None:
        loop = asyncio.get_running_loop()
        try:
            if isinstance(self.server, Path):
                await loop.create_unix_connection(lambda: line.server, str(self.server))
            else:
                await loop.create_connection(lambda: line.server, *self.server)
        except OSError:
            line.close(reset=True)


class _Refusing(asyncio.Protocol):
    """Resets what has just been taken."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        reset_now(transport)
