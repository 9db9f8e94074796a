"""PostgreSQL as a primary and a synchronous standby, each on a machine of its own.

A commit is acknowledged when both have it on disk. Who notices that the primary is gone, fences it
and promotes the standby is Patroni's or an operator's work, not Sluice's: here this script does it.

Refuses to run as root: the servers are nobody's, as `gateway.embedded.way` chooses.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg

from gateway.embedded.binaries import postgres_folder
from gateway.embedded.way import choose_way
from ops.nodes.net import SUBNET, Place, run
from ops.nodes.programs import Program, start
from ops.nodes.waiting import until

PORT = 5_432
DATABASE = "sluice"
_OPTIONS = {
    "wal_level": "replica",
    "wal_log_hints": "on",
    "hot_standby": "on",
    "synchronous_commit": "on",
    "fsync": "on",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "max_wal_senders": "8",
    "wal_keep_size": "1GB",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "timezone": "UTC",
    "log_min_messages": "warning",
    "logging_collector": "off",
    "port": str(PORT),
}
_TRUST = f"host all all {SUBNET} trust\nhost replication all {SUBNET} trust\nlocal all all trust\n"


class Server:
    """One PostgreSQL; its cluster is in `folder`."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place = place
        self._folder = folder
        self._data = folder / "cluster"
        folder.mkdir(parents=True, exist_ok=True)
        way = choose_way(folder)
        self._before = list(way.before)
        if way.owner is not None:
            os.chown(folder, *way.owner)
        self.program: Program | None = None

    @property
    def dsn(self) -> str:
        """This one alone."""
        return f"postgresql://postgres@{self.place.ip}:{PORT}/{DATABASE}"

    async def make(self) -> None:
        """An empty cluster."""
        words = ("-U", "postgres", "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8", "--no-sync")
        await self._tool("initdb", *words, "-D", str(self._data))
        with (self._data / "pg_hba.conf").open("a", encoding="utf-8") as file:
            file.write(_TRUST)
        # In the file, because pg_rewind starts the server as well: without wal_keep_size it throws
        # away the log that it needs itself a moment later.
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in _OPTIONS.items())

    async def copy(self, other: "Server") -> None:
        """Begin as a copy of another one that serves."""
        conn = f"host={other.place.ip} port={PORT} user=postgres application_name={self.place.name}"
        await self._tool(
            "pg_basebackup", "-d", conn, "-D", str(self._data), "-R", "-X", "stream", "-c", "fast"
        )

    async def rewind(self, other: "Server") -> None:
        """Once primary, dead, and now to follow another one: forget what only we had."""
        await self._tool(
            "pg_rewind",
            "-D",
            str(self._data),
            f"--source-server=host={other.place.ip} port={PORT} user=postgres dbname=postgres",
        )
        conn = f"host={other.place.ip} port={PORT} user=postgres application_name={self.place.name}"
        (self._data / "standby.signal").touch()
        with (self._data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write(f"primary_conninfo = '{conn}'\nsynchronous_standby_names = ''\n")

    async def start(self) -> None:
        """Start it; returns when it answers."""
        options = {
            "listen_addresses": self.place.ip,
            "unix_socket_directories": str(self._folder),
            "cluster_name": self.place.name,
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        program = str(postgres_folder() / "postgres")
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self.program = await start(
            self.place.name,
            self.place,
            [*self._before, program, "-D", str(self._data), *words],
            self._folder / "log",
            environment={"PATH": os.defpath, "TZ": "UTC", "LC_ALL": "C.UTF-8"},
            cwd=self._folder,
        )
        async with asyncio.timeout(60):
            while True:
                with suppress(OSError, asyncpg.PostgresError):
                    await self.value("select 1", database="postgres")
                    return
                assert self.program.alive, self.program.words()
                await asyncio.sleep(0.05)

    async def value(self, sql: str, *, database: str = DATABASE, within_s: float = 5.0) -> object:
        """The first value of a statement; OSError or PostgresError when there is none in time."""
        async with asyncio.timeout(within_s):
            line = await asyncpg.connect(
                host=self.place.ip, port=PORT, user="postgres", database=database, ssl=False
            )
            try:
                return await line.fetchval(sql)
            finally:
                line.terminate()

    async def kill(self) -> None:
        """The machine loses its power."""
        assert self.program is not None
        await self.program.kill()

    def freeze(self) -> None:
        """Every process of it stands still."""
        assert self.program is not None
        self.program.freeze()

    def thaw(self) -> None:
        """And goes on."""
        assert self.program is not None
        self.program.thaw()

    async def stop(self) -> None:
        """Fast shutdown."""
        if self.program is not None and self.program.alive:
            await self.program.stop(signal.SIGINT)

    async def promote(self) -> None:
        """From a standby to the primary. Returns when it takes writes."""
        await self.value("select pg_promote(true, 30)", database="postgres", within_s=40)

    async def commits_on(self, standby: Place | None) -> None:
        """From now on a commit waits for this standby as well, or for nobody."""
        name = "" if standby is None else f"FIRST 1 ({standby.name})"
        await self.value(f"alter system set synchronous_standby_names = '{name}'")
        await self.value("select pg_reload_conf()")
        sql = "select count(*) from pg_stat_replication where sync_state = 'sync'"

        async def follows() -> bool:
            return await self.value(sql) == 1

        if standby is not None:
            await until(follows, 30, 0.05)

    async def _tool(self, name: str, *words: str) -> None:
        inside = ("ip", "netns", "exec", self.place.name, *self._before)
        await run(*inside, str(postgres_folder() / name), *words)


def dsn_of(servers: Sequence[Server], database: str = DATABASE) -> str:
    """All of them: whoever takes writes is meant."""
    hosts = ",".join(server.place.ip for server in servers)
    ports = ",".join(str(PORT) for _ in servers)
    return (
        f"postgresql://postgres@/{database}?host={hosts}&port={ports}"
        "&target_session_attrs=read-write"
    )
