"""Keeps children alive: starts them in groups, restarts what dies, stops in reverse order.

Refuses to give up on a child and refuses to spin: a child that keeps dying is tried again after a
pause that doubles up to five seconds, and is forgiven after it has lived for half a minute.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.embedded.child import Child, ChildSpec, spawn
from gateway.embedded.faults import EmbeddedFault

# The first try comes at once: a killed PostgreSQL is back in 0.15 s, and clients are waiting.
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_FORGIVEN_AFTER_S = 30.0


class Service(Protocol):
    """What can be supervised: an embedded server or a plain process."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    async def start(self) -> None:
        """Start, or start again; raises EmbeddedFault."""

    async def wait_dead(self) -> int:
        """Wait for the end; the exit code."""

    async def stop(self) -> None:
        """End it within a bound. Harmless when not started, and when dead."""

    def kill(self) -> None:
        """End it now."""


class Process:
    """A plain process as a service: ready as soon as it is started."""

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = spec
        self._child: Child | None = None

    @property
    def name(self) -> str:
        """What the log calls it."""
        return self._spec.name

    @property
    def pid(self) -> int:
        """Process number."""
        assert self._child is not None, "start() comes first"
        return self._child.pid

    async def start(self) -> None:
        """Start it; raises EmbeddedFault when the program is not there."""
        self._child = spawn(self._spec)

    async def wait_dead(self) -> int:
        """Wait for the end; the exit code."""
        assert self._child is not None, "start() comes first"
        return await self._child.wait_dead()

    async def stop(self) -> None:
        """Stop signal, grace, kill. What it left in its process group is killed as well."""
        if self._child is not None:
            await self._child.stop()

    def kill(self) -> None:
        """End it now."""
        if self._child is not None:
            self._child.kill()


class Supervisor:
    """Runs groups of services; make it, `add` groups in order, and `stop` in a `finally`.

    `deaths` counts what ended without being asked to.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._groups: list[tuple[Service, ...]] = []
        self._keepers: dict[Service, asyncio.Task[None]] = {}
        self._replaced: list[Service] = []
        self.deaths = 0

    async def add(self, *services: Service) -> None:
        """Start these together; returns when all are ready and watched.

        Raises the first fault; `stop` then also ends those of the group that did start.
        """
        self._groups.append(services)
        started = await asyncio.gather(*(s.start() for s in services), return_exceptions=True)
        for outcome in started:
            if outcome is not None:
                raise outcome
        for service in services:
            self._watch(service)

    def swap(self, old: Service, new: Service) -> None:
        """Watch `new`, which runs already, in the place of `old`, which may end now."""
        self._unwatch(old)
        self._replaced.append(old)
        self._groups = [
            tuple(new if each is old else each for each in group) for group in self._groups
        ]
        self._watch(new)

    async def end(self, *services: Service) -> None:
        """End these before the others."""
        for service in services:
            self._unwatch(service)
        await self._stop(services)

    def _watch(self, service: Service) -> None:
        self._keepers[service] = asyncio.create_task(self._keep(service), name=service.name)

    def _unwatch(self, service: Service) -> None:
        keeper = self._keepers.pop(service, None)
        if keeper is not None:
            keeper.cancel()

    async def stop(self) -> None:
        """End everything, the last group first; within the sum of the groups' bounds."""
        keepers = list(self._keepers.values())
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for group in reversed(self._groups):
            await self._stop(group)

    async def _stop(self, services: Sequence[Service]) -> None:
        ends = await asyncio.gather(*(s.stop() for s in services), return_exceptions=True)
        for service, end in zip(services, ends, strict=True):
            if end is not None:
                self._log(f"{service.name} did not end: {end!r}")

    def kill(self) -> None:
        """End everything now; a `stop` that is under way then finds the dead."""
        for group in (*self._groups, tuple(self._replaced)):
            for service in group:
                service.kill()

    async def _keep(self, service: Service) -> None:
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        while True:
            begun_s = loop.time()
            code = await service.wait_dead()
            self.deaths += 1
            if loop.time() - begun_s > _FORGIVEN_AFTER_S:
                pause_s = _FIRST_PAUSE_S
            self._log(f"{service.name} ended ({_in_words(code)}), starting it again")
            pause_s = await self._start_again(service, pause_s)

    async def _start_again(self, service: Service, pause_s: float) -> float:
        """Try until it runs; the pause to take after its next death."""
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                await service.start()
            except EmbeddedFault as fault:
                self._log(f"{service.name}: {fault}; trying again in {pause_s:.1f} s")
            else:
                return pause_s


def _in_words(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
