"""One embedded Redis: rate windows, holds and versioned copies; nothing that must survive.

Refuses persistence: money lives in PostgreSQL alone, and a Redis that comes back empty is a case
the gateway is built for. Evicts nothing (noeviction): a dropped window would be a broken limit.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from gateway.embedded.binaries import redis_binary
from gateway.embedded.child import Child, ChildSpec, spawn
from gateway.embedded.faults import ServerDied
from gateway.embedded.folder import OwnerLock, last_words, lock_for_children, socket_folder
from gateway.embedded.wire import redis_ping

_SOCKET = "redis.sock"
_READY_S = 10.0
_POLL_S = 0.005
_ORPHANS_S = 3.0


def _silent(_: str) -> None:
    return


class RedisServer:
    """Redis in `data_dir`/redis, listening on a unix socket, and on `port` if that is not 0."""

    name = "redis"

    def __init__(
        self,
        data_dir: Path,
        *,
        log: Callable[[str], None] = _silent,
        port: int = 0,
        cluster: bool = False,
    ) -> None:
        self.folder = data_dir.absolute() / "redis"
        self._log = log
        self._port = port
        self._cluster = cluster
        self._owner = OwnerLock(self.folder)
        self._child: Child | None = None

    @property
    def socket(self) -> Path:
        """Path of the unix socket."""
        return socket_folder(self.folder, _SOCKET) / _SOCKET

    @property
    def url(self) -> str:
        """What a client is given."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def pid(self) -> int:
        """Process number of the running server."""
        return self._running().pid

    async def start(self) -> None:
        """Start it, or start it again after a death; returns when it answers.

        Raises FolderInUse when another process owns the folder, ServerDied when it ends.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._owner.take()
        try:
            lock = await lock_for_children(self.folder, self.folder, _ORPHANS_S)
            try:
                self._child = spawn(self._spec(lock))
            finally:
                os.close(lock)
            await self._answer(self._child)
        except BaseException:
            await self.stop()
            raise
        self._log(f"redis: ready, process {self.pid}")

    async def stop(self) -> None:
        """End it within a bound and give the folder back. Harmless when not started."""
        if self._child is not None:
            await self._child.stop()
        self._owner.release()

    def kill(self) -> None:
        """End it now."""
        if self._child is not None:
            self._child.kill()

    async def wait_dead(self) -> int:
        """Wait until the server has ended; its exit code."""
        return await self._running().wait_dead()

    def _running(self) -> Child:
        assert self._child is not None, "start() comes first"
        return self._child

    async def _answer(self, child: Child) -> None:
        log = self.folder / "log"
        try:
            async with asyncio.timeout(_READY_S):
                while not await redis_ping(self.socket):
                    if not child.alive:
                        raise ServerDied(f"redis ended at its start: {last_words(log)}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            text = f"redis does not answer after {_READY_S:.0f} s: {last_words(log)}"
            raise ServerDied(text) from None

    def _spec(self, lock: int) -> ChildSpec:
        options = {
            "--port": str(self._port),
            "--bind": "127.0.0.1",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--dir": str(self.folder),
            "--save": "",
            "--appendonly": "no",
            "--maxmemory-policy": "noeviction",
            "--daemonize": "no",
        }
        if self._cluster:
            options |= {
                "--cluster-enabled": "yes",
                "--cluster-config-file": "nodes.conf",
                # Short, so that a test of a lost shard need not wait for the default 15 s.
                "--cluster-node-timeout": "2000",
            }
        words = [word for pair in options.items() for word in pair]
        return ChildSpec(
            name="redis",
            argv=[str(redis_binary()), *words],
            env={"PATH": os.defpath, "TZ": "UTC"},
            log=self.folder / "log",
            cwd=self.folder,
            keep_fds=(lock,),
        )
