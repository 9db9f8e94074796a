"""The gateway processes of a machine, and their restart one after another without a lost request.

1. A new process inherits the socket of the one that it replaces, and says when it accepts.
2. Only then the old one is told to leave: it accepts no more, finishes what it has, and ends.
3. One that does not come up is ended again; the old ones go on as if nothing had been asked.

Refuses to change how many there are: each has its socket.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.commands.doorway import Doorway
from gateway.commands.household import grace_s
from gateway.commands.running import Signals
from gateway.embedded.child import Child, ChildSpec, spawn
from gateway.embedded.supervisor import Supervisor
from gateway.errors import Fault
from gateway.settings import Settings

# The tokenizer and the catalogue are loaded in 0.6 s; a busy machine takes longer.
_READY_S = 60.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reload:
    """What new gateway processes begin with: settings as `read` has them then.

    `follow` is told the file of their catalogue once all of them are new, for who stays.
    """

    read: Callable[[], Settings]
    follow: Callable[[Path | None], Awaitable[None]]


class GatewayProcess:
    """One gateway process as a service that is also asked whether it accepts."""

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = spec
        self._child: Child | None = None
        self._told: int | None = None

    @property
    def name(self) -> str:
        """What the log calls it."""
        return self._spec.name

    async def start(self) -> None:
        """Start it; raises EmbeddedFault when the program is not there."""
        self._forget()
        self._told, telling = os.pipe()
        argv = [*self._spec.argv, "--ready", str(telling)]
        keep_fds = (*self._spec.keep_fds, telling)
        try:
            self._child = spawn(replace(self._spec, argv=argv, keep_fds=keep_fds))
        finally:
            os.close(telling)

    async def ready(self) -> bool:
        """Wait until it accepts; False when it ends, or takes longer than can be."""
        assert self._told is not None, "start() comes first"
        loop, said = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._told, said.set)
        try:
            async with asyncio.timeout(_READY_S):
                await said.wait()
            return bool(os.read(self._told, 1))
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._told)
            self._forget()

    async def wait_dead(self) -> int:
        """Wait for the end; the exit code."""
        return await self._running().wait_dead()

    async def stop(self) -> None:
        """It and its door close: lame duck, drain, then it is killed."""
        if self._child is not None:
            await self._child.stop()

    async def leave(self) -> None:
        """Another one has its place: no lame duck, drain, then it is killed."""
        child = self._running()
        try:
            if child.alive:
                child.process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(self._spec.grace_s):
                await child.wait_dead()
        except TimeoutError:
            child.kill()

    def kill(self) -> None:
        """End it now."""
        if self._child is not None:
            self._child.kill()

    def _running(self) -> Child:
        assert self._child is not None, "start() comes first"
        return self._child

    def _forget(self) -> None:
        if self._told is not None:
            os.close(self._told)
            self._told = None


class Rolling:
    """The gateways behind one doorway."""

    def __init__(self, supervisor: Supervisor, doorway: Doorway, settings: Settings) -> None:
        self._supervisor = supervisor
        self._doorway = doorway
        self._settings = settings
        self._current: list[GatewayProcess] = []
        self._leaving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """All of them; raises EmbeddedFault."""
        count = self._settings.workers
        self._current = [self._process(self._settings, place) for place in range(count)]
        await self._supervisor.add(*self._current)

    async def ready(self) -> bool:
        """Wait until each of those that were started accepts."""
        return all(await asyncio.gather(*(each.ready() for each in self._current)))

    async def restart(self, settings: Settings) -> bool:
        """Replace one after another; False when a new one did not come up."""
        for place, old in enumerate(self._current):
            new = self._process(settings, place)
            try:
                await new.start()
                if not await new.ready():
                    await new.stop()
                    return False
            except BaseException:
                new.kill()
                raise
            self._current[place] = new
            self._supervisor.swap(old, new)
            task = asyncio.create_task(old.leave())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        self._settings = settings
        return True

    async def keep(self, told: Signals, reload: Reload, say: Say) -> None:
        """Restart whenever that is wished, until the stop."""
        restarting = asyncio.create_task(self._restarts(told.again, reload, say))
        try:
            await told.stop.wait()
        finally:
            restarting.cancel()
            await asyncio.wait([restarting])

    async def _restarts(self, again: asyncio.Event, reload: Reload, say: Say) -> None:
        while True:
            await again.wait()
            again.clear()
            try:
                is_new = await self.restart(reload.read())
            except (Fault, OSError) as fault:
                say(f"not restarted, the old gateway processes go on: {fault}")
                continue
            if not is_new:
                say("a new gateway process did not come up: the old ones go on")
                continue
            say("every gateway process is a new one; the old ones finish what they have")
            try:
                await reload.follow(self._settings.products)
            except (Fault, OSError) as fault:
                say(f"the operations process goes on with the catalogue that it had: {fault}")

    async def stop(self) -> None:
        """The door closes for good: lame duck, drain; also those that are leaving already."""
        await asyncio.gather(
            self._doorway.leave(self._settings.lame_duck_ms / 1_000),
            self._supervisor.end(*self._current),
            *self._leaving,
            return_exceptions=True,
        )

    def _process(self, settings: Settings, place: int) -> GatewayProcess:
        listening = self._doorway.sockets[place % len(self._doorway.sockets)].fileno()
        words = ["-m", "gateway", "serve", "--child", str(place), "--socket", str(listening)]
        spec = ChildSpec(
            f"gateway {place}",
            [sys.executable, *words],
            settings.environ,
            keep_fds=(listening,),
            grace_s=grace_s(settings),
        )
        return GatewayProcess(spec)
