"""The eight targets of the matrix: what a fault does to each, and how it ends.

    REDIS_LINK       the way to Redis, of both gateways and the worker: a node cut off from it
    REDIS            the server: killed, frozen, wiped
    POSTGRES_LINK    the way to PostgreSQL
    POSTGRES         the server with its backends: killed, frozen, shut down
    SERVICE_LINK     the way to the services: away, mute, slow, cut in mid-answer, garbage
    GATEWAY          the process that is at the point: kill -9; the other one goes on
    GATEWAY_WORKER   the same, and the worker that would heal it: kill -9 of both
    STRIPE_LINK      the way to Stripe, while keys are topped up and requests run

Of the stores both, since a link that is mute and a server that is dead are told apart by nobody but
by what is lost with each. The disk is not among them: what is no connection and no process is in
tests/crash/test_disk_full.py. Each cell has one manner, in rotation over points and kinds.
"""

import asyncio
import os
import signal
import socket
from contextlib import suppress
from enum import Enum
from pathlib import Path

from tests.embedded.processes import Seen, family, left_after
from tests.faults.house import WORKER, FaultHouse
from tests.faults.proxy import Cut, Door, Proxy

# Beyond every deadline of a command.
_LATE_S = 0.6
_VERY_LATE_S = 2.5
# Within a reply of Redis or PostgreSQL; within the body of a service's answer.
_CUT_REPLY = 20
_CUT_ANSWER = 150
_PULSE_S = 0.3


class Target(Enum):
    """See the module."""

    REDIS_LINK = "link to Redis"
    REDIS = "Redis"
    POSTGRES_LINK = "link to PostgreSQL"
    POSTGRES = "PostgreSQL"
    SERVICE_LINK = "link to services"
    GATEWAY = "gateway"
    GATEWAY_WORKER = "gateway and worker"
    STRIPE_LINK = "link to Stripe"


class Manner(Enum):
    """How it is broken."""

    RESET = "reset"
    BLACK_HOLE = "black hole"
    SLOW = "slow"
    HALF_OPEN = "half open"
    CUT = "cut"
    STOP_AND_GO = "stop and go"
    GARBAGE = "garbage"
    KILLED = "killed"
    FROZEN = "frozen"
    WIPED = "wiped"
    SHUT_DOWN = "shut down"


_LINK = (
    Manner.RESET,
    Manner.BLACK_HOLE,
    Manner.SLOW,
    Manner.HALF_OPEN,
    Manner.CUT,
    Manner.STOP_AND_GO,
)
MANNERS = {
    Target.REDIS_LINK: _LINK,
    Target.REDIS: (Manner.KILLED, Manner.FROZEN, Manner.WIPED),
    Target.POSTGRES_LINK: _LINK,
    Target.POSTGRES: (Manner.KILLED, Manner.FROZEN, Manner.SHUT_DOWN),
    Target.SERVICE_LINK: (
        Manner.RESET,
        Manner.BLACK_HOLE,
        Manner.SLOW,
        Manner.GARBAGE,
        Manner.CUT,
        Manner.STOP_AND_GO,
    ),
    Target.GATEWAY: (Manner.KILLED,),
    Target.GATEWAY_WORKER: (Manner.KILLED,),
    Target.STRIPE_LINK: _LINK,
}
# A store that stays away this way is told by /ready for as long as it does.
TOLD = {Target.REDIS_LINK, Target.REDIS, Target.POSTGRES_LINK, Target.POSTGRES}
_TOLD_MANNERS = {
    Manner.RESET,
    Manner.BLACK_HOLE,
    Manner.KILLED,
    Manner.FROZEN,
    Manner.SHUT_DOWN,
}


class Fault:
    """One fault at one target of a house; `begin` is one call that waits for nothing."""

    def __init__(self, house: FaultHouse, target: Target, manner: Manner) -> None:
        self._house = house
        self.target = target
        self.manner = manner
        self._pulse: asyncio.Task[None] | None = None
        self._family: list[Seen] = []

    @property
    def shows(self) -> bool:
        """Whether /ready has to say degraded while it lasts."""
        return self.target in TOLD and self.manner in _TOLD_MANNERS

    @property
    def shows_as(self) -> str:
        """What /ready calls it."""
        return "redis" if self.away_from_redis else "postgres"

    @property
    def kills_gateway(self) -> bool:
        return self.target in (Target.GATEWAY, Target.GATEWAY_WORKER)

    @property
    def forgets_windows(self) -> bool:
        """Whether Redis loses its memory."""
        return self.manner is Manner.WIPED or (
            self.target is Target.REDIS and self.manner is Manner.KILLED
        )

    @property
    def away_from_redis(self) -> bool:
        """Whether gateways may have to admit by themselves."""
        return self.target in (Target.REDIS_LINK, Target.REDIS)

    @property
    def may_spare_limits(self) -> bool:
        """Whether so much fails before admission that nobody need reach a limit."""
        return self.away_from_redis or self.target is Target.SERVICE_LINK

    async def prepare(self) -> None:
        """What would take too long at the point: who belongs to PostgreSQL."""
        if self.target is Target.POSTGRES:
            pid = self._house.postgres_server.pid
            self._family = await asyncio.to_thread(family, pid)

    def begin(self, place: int) -> None:
        """The request at the point is at this gateway."""
        house = self._house
        if self.kills_gateway:
            dead = (place, WORKER) if self.target is Target.GATEWAY_WORKER else (place,)
            for each in dead:
                house.kill(each)
            for each in dead:
                # At once, as whoever keeps them alive does.
                house.begin(each)
        elif self.target is Target.REDIS:
            self._break_redis(house.redis_server.pid)
        elif self.target is Target.POSTGRES:
            self._break_postgres(house.postgres_server.pid)
        else:
            for proxy in self._proxies():
                self._break(proxy)

    async def end(self) -> None:
        """The fault is over: servers are there again, links are whole, who was killed is back."""
        house = self._house
        if self._pulse is not None:
            self._pulse.cancel()
            await asyncio.wait((self._pulse,))
        server = house.redis_server if self.target is Target.REDIS else house.postgres_server
        if self.target in (Target.REDIS, Target.POSTGRES):
            if self.manner is Manner.FROZEN:
                _tell_all(server.pid, signal.SIGCONT)
            elif self.manner in (Manner.KILLED, Manner.SHUT_DOWN):
                await server.wait_dead()
                left = await asyncio.to_thread(left_after, self._family, 20.0)
                assert not left, left
                await server.start()
        await house.mend()

    def _proxies(self) -> list[Proxy]:
        links = self._house.links
        if self.target is Target.REDIS_LINK:
            return [each.redis for each in links]
        if self.target is Target.POSTGRES_LINK:
            return [each.postgres for each in links]
        if self.target is Target.STRIPE_LINK:
            return [each.stripe for each in links]
        return [each.service for each in links if each.service is not None]

    def _break_redis(self, pid: int) -> None:
        if self.manner is Manner.WIPED:
            _wipe(self._house.redis_server.socket)
            return
        _tell_all(pid, signal.SIGKILL if self.manner is Manner.KILLED else signal.SIGSTOP)

    def _break_postgres(self, pid: int) -> None:
        if self.manner is Manner.SHUT_DOWN:
            # Fast: the postmaster ends its backends by itself.
            os.kill(pid, signal.SIGINT)
        else:
            _tell_all(pid, signal.SIGKILL if self.manner is Manner.KILLED else signal.SIGSTOP)

    def _break(self, proxy: Proxy) -> None:
        manner, of_service = self.manner, self.target is Target.SERVICE_LINK
        if manner is Manner.RESET:
            proxy.door = Door.RESET
            proxy.reset()
        elif manner is Manner.BLACK_HOLE:
            proxy.swallow()
        elif manner is Manner.SLOW:
            late_s = _LATE_S if self.target is Target.REDIS_LINK else _VERY_LATE_S
            proxy.delay(late_s, late_s / 3)
        elif manner is Manner.HALF_OPEN:
            proxy.lose_servers()
        elif manner is Manner.CUT:
            proxy.down.cut = Cut(_CUT_ANSWER if of_service else _CUT_REPLY, reset=not of_service)
        elif manner is Manner.GARBAGE:
            proxy.down.change = lambda data: bytes(255 - byte for byte in data)
        elif self._pulse is None:
            self._pulse = asyncio.get_running_loop().create_task(self._stop_and_go())

    async def _stop_and_go(self) -> None:
        while True:
            for rules in (r for proxy in self._proxies() for r in (proxy.up, proxy.down)):
                rules.stopped = not rules.stopped
            for proxy in self._proxies():
                proxy.go()
            await asyncio.sleep(_PULSE_S)


def _tell_all(pid: int, number: int) -> None:
    """To a server and its children; who has gone meanwhile is none of them."""
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        with suppress(ProcessLookupError, FileNotFoundError):
            # First nobody may be born any more.
            os.kill(each, signal.SIGSTOP)
            waiting.extend(map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split()))
            os.kill(each, number)


def _wipe(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(10)
        line.connect(str(path))
        for command in (b"FLUSHALL\r\n", b"SCRIPT FLUSH\r\n"):
            line.sendall(command)
            assert line.recv(64) == b"+OK\r\n"
