"""One embedded PostgreSQL: durable, on a unix socket only, in a folder of its own.

Refuses any speed that costs durability: fsync and synchronous_commit stay on. Only the making of
an empty cluster skips its final sync, because there is nothing in it to lose.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from gateway.embedded.binaries import postgres_folder
from gateway.embedded.child import Child, ChildSpec, spawn
from gateway.embedded.faults import EmbeddedFault, FolderInUse, ServerDied
from gateway.embedded.folder import (
    OwnerLock,
    kill_all,
    last_words,
    lock_for_children,
    processes_in,
    socket_folder,
)
from gateway.embedded.way import Way, choose_way, record_way
from gateway.embedded.wire import PostgresError, postgres_query

_PORT = 5432
_SOCKET = f".s.PGSQL.{_PORT}"
_DATABASE = "sluice"
_POLL_S = 0.005
# A cluster is made in 0.35 s on 2 cores; recovery after a kill replays at most one checkpoint.
_INITDB_S = 60.0
_READY_S = 120.0
_ORPHANS_S = 3.0
# Still starting or recovering; the template is in use for a moment by its own maintenance.
_NOT_YET = ("57P03", "55006")
_LOG_BYTES = 8 * 1_024 * 1_024

_OPTIONS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "shared_buffers": "64MB",
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "cluster_name": "sluice",
}


def _silent(_: str) -> None:
    return


class PostgresServer:
    """PostgreSQL in `data_dir`/postgres, with the database "sluice"."""

    name = "postgresql"

    def __init__(
        self,
        data_dir: Path,
        *,
        log: Callable[[str], None] = _silent,
        max_connections: int = 100,
    ) -> None:
        self.folder = data_dir.absolute() / "postgres"
        self._max_connections = max_connections
        self._cluster = self.folder / "cluster"
        self._log = log
        self._owner = OwnerLock(self.folder)
        self._child: Child | None = None

    @property
    def socket(self) -> Path:
        """Path of the unix socket."""
        return socket_folder(self.folder, _SOCKET) / _SOCKET

    @property
    def dsn(self) -> str:
        """What a client is given: over the unix socket, as the superuser, without a password."""
        return (
            f"postgresql://postgres@/{_DATABASE}?host={quote(str(self.socket.parent))}&port={_PORT}"
        )

    @property
    def pid(self) -> int:
        """Process number of the postmaster."""
        return self._running().pid

    async def start(self) -> None:
        """Start it, or start it again after a death; returns when the database answers.

        Raises FolderInUse when another process owns the folder, ServerDied when it ends at its
        start, EmbeddedFault when this machine cannot run it.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._owner.take()
        try:
            way = choose_way(self.folder)
            lock = await lock_for_children(self.folder, self._cluster, _ORPHANS_S)
            try:
                await self._make_cluster(way)
                self._forget_earlier_server()
                self._child = spawn(self._spec(way, lock))
            finally:
                os.close(lock)
            await self._answer(self._child)
        except BaseException:
            await self.stop()
            raise
        self._log(f"postgresql: ready, process {self.pid}")

    async def stop(self) -> None:
        """Fast shutdown within a bound; gives the folder back. Harmless when not started."""
        if self._child is not None and await self._child.stop() != 0:
            # A killed postmaster leaves backends, each in a session of its own, for a moment.
            kill_all(processes_in(self._cluster))
        self._owner.release()

    def kill(self) -> None:
        """End it now: immediate shutdown, recovery at the next start."""
        if self._child is not None and self._child.alive:
            self._child.process.send_signal(signal.SIGQUIT)

    async def wait_dead(self) -> int:
        """Wait until the postmaster has ended; its exit code."""
        return await self._running().wait_dead()

    def _running(self) -> Child:
        assert self._child is not None, "start() comes first"
        return self._child

    async def _make_cluster(self, way: Way) -> None:
        if self._cluster.is_dir():
            return
        # Made under another name first: a cluster that exists under its own name is complete.
        unfinished = self.folder / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._hand_over(way)
        options = {
            "--username": "postgres",
            "--auth": "trust",
            "--locale": "C.UTF-8",
            "--encoding": "UTF8",
            "--pgdata": str(unfinished),
        }
        flags = ("--no-sync", "--no-instructions")
        words = [f"{name}={value}" for name, value in options.items()]
        child = spawn(self._child_spec("initdb", way, [*words, *flags]))
        try:
            async with asyncio.timeout(_INITDB_S):
                code = await child.wait_dead()
        finally:
            child.kill()
        if code != 0:
            raise EmbeddedFault(f"initdb ended with {code}: {last_words(self.folder / 'log')}")
        record_way(self.folder, way)
        unfinished.rename(self._cluster)

    def _hand_over(self, way: Way) -> None:
        if way.owner is not None:
            for folder in {self.folder, self.socket.parent}:
                os.chown(folder, *way.owner)

    def _forget_earlier_server(self) -> None:
        # We hold the lock that every process of an earlier server of ours would hold. One started
        # by hand would not, but it would stand in the folder.
        strangers = processes_in(self._cluster)
        if strangers:
            raise FolderInUse(
                f"{self._cluster} is served by process {min(strangers)}, which is not ours: stop it"
            )
        for stale in (self._cluster / "postmaster.pid", self.socket, Path(f"{self.socket}.lock")):
            stale.unlink(missing_ok=True)
        log = self.folder / "log"
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.rename(self.folder / "log.old")

    async def _answer(self, child: Child) -> None:
        log = self.folder / "log"
        try:
            async with asyncio.timeout(_READY_S):
                while not await self._has_database():
                    if not child.alive:
                        code = await child.wait_dead()
                        text = f"postgresql ended with {code} at its start: {last_words(log)}"
                        raise ServerDied(text)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            text = f"postgresql does not answer after {_READY_S:.0f} s: {last_words(log)}"
            raise ServerDied(text) from None

    async def _has_database(self) -> bool:
        """Whether the server answers and has our database; makes it when it is missing."""
        sql = f"SELECT 1 FROM pg_database WHERE datname = '{_DATABASE}'"  # noqa: S608
        try:
            if not await postgres_query(self.socket, "postgres", sql):
                await postgres_query(self.socket, "postgres", f"CREATE DATABASE {_DATABASE}")
        except OSError:
            return False
        except PostgresError as error:
            if error.code not in _NOT_YET:
                raise ServerDied(f"postgresql refuses to serve: {error}") from error
            return False
        return True

    def _spec(self, way: Way, lock: int) -> ChildSpec:
        options = _OPTIONS | {
            "unix_socket_directories": str(self.socket.parent),
            "max_connections": str(self._max_connections),
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return self._child_spec("postgres", way, ["-D", str(self._cluster), *words], (lock,))

    def _child_spec(
        self, program: str, way: Way, words: list[str], keep_fds: tuple[int, ...] = ()
    ) -> ChildSpec:
        return ChildSpec(
            name=program,
            argv=[str(postgres_folder() / program), *words],
            # Nothing of ours: a PGOPTIONS or a LD_LIBRARY_PATH of the user must not change it.
            env={"PATH": os.defpath, "TZ": "UTC", "LC_ALL": "C.UTF-8"},
            before=way.before,
            log=self.folder / "log",
            cwd=self.folder,
            keep_fds=keep_fds,
            # Immediate shutdown: the postmaster ends its backends and leaves the rest to recovery.
            orphan_signal=signal.SIGQUIT,
            stop_signal=signal.SIGINT,
        )
