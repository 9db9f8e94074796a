"""The only door to PostgreSQL: a pool that opens lazily, and a deadline on every call.

Refuses to wait longer than the deadline, whether PostgreSQL is down, slow or frozen: the caller
gets PostgresUnavailable and the connection is thrown away. Every statement is one transaction;
all that must be atomic together is a function in the database.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg

from gateway.errors import Fault, PostgresUnavailable

RUNTIME_ROLE: Final = "sluice_runtime"
Row = asyncpg.Record

# Any number that no other program on the same database uses: "sluice" in ASCII.
_MIGRATION_LOCK: Final = 0x736C75696365

# SQLSTATE classes that say something about the server or the moment, not about the statement:
# 08 connection, 25 read-only after a failover, 28 authentication, 3D no such database,
# 40 deadlock or serialization, 53 resources, 55 lock timeout, 57 shutdown or statement timeout,
# 58 I/O error.
_PASSING: Final = ("08", "25", "28", "3D", "40", "53", "55", "57", "58")


class PostgresRefused(Fault):
    """PostgreSQL understood the statement and refused it; asking again does not help."""

    def __init__(self, sqlstate: str, detail: str) -> None:
        super().__init__(f"{detail} ({sqlstate})")
        self.sqlstate = sqlstate
        self.detail = detail


def _wants_tls(dsn: str) -> bool:
    """TLS only where the DSN says so: asyncpg's default reads certificates from HOME."""
    asked = parse_qs(urlsplit(dsn).query).get("sslmode", ["disable"])[0]
    return asked not in ("disable", "allow", "prefer")


async def _keep_session(_: object) -> None:
    """Nothing is ever set on a session, so nothing needs a round trip to be reset."""


@contextmanager
def _faults(limit_s: float) -> Iterator[None]:
    """Turns what asyncpg raises into the two faults of this module."""
    try:
        yield
    except TimeoutError:
        raise PostgresUnavailable(f"no answer within {limit_s * 1_000:.0f} ms") from None
    except asyncpg.PostgresError as error:
        sqlstate = error.sqlstate or "08000"
        if sqlstate.startswith(_PASSING):
            raise PostgresUnavailable(f"{error} ({sqlstate})") from error
        raise PostgresRefused(sqlstate, str(error)) from error
    except asyncpg.exceptions.DataError as error:
        raise PostgresRefused("22000", str(error)) from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise PostgresUnavailable(str(error)) from error


class Postgres:
    """One pool of at most `pool_size` connections to `dsn`.

    PostgreSQL need not be there yet: connections open when they are needed, and again after a
    failure. `role` None keeps the role that the DSN names (migrations need it).
    """

    def __init__(
        self,
        dsn: str,
        *,
        pool_size: int = 4,
        connect_deadline_ms: int = 2_000,
        command_deadline_ms: int = 2_000,
        application_name: str = "sluice",
        role: str | None = RUNTIME_ROLE,
    ) -> None:
        self._dsn = dsn
        self._pool_size = pool_size
        self._connect_deadline_ms = connect_deadline_ms
        self._command_deadline_ms = command_deadline_ms
        self._session = {
            "application_name": application_name,
            "timezone": "UTC",
            # The server notices within this time that a line was cut and ends its statement.
            "client_connection_check_interval": "500",
        }
        if role is not None:
            self._session["role"] = role
        self._pool: asyncpg.Pool[Row] | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self.queries = 0

    async def rows(self, sql: str, *values: object, deadline_ms: int | None = None) -> list[Row]:
        """All rows of one statement.

        The deadline covers everything: waiting for a connection, opening it, and the answer.
        """
        self.queries += 1
        limit_s = (deadline_ms or self._command_deadline_ms) / 1_000
        with _faults(limit_s):
            async with asyncio.timeout(limit_s):
                return await self._run(sql, values, limit_s)

    async def row(self, sql: str, *values: object, deadline_ms: int | None = None) -> Row | None:
        """The first row, or None."""
        found = await self.rows(sql, *values, deadline_ms=deadline_ms)
        return found[0] if found else None

    async def value(self, sql: str, *values: object, deadline_ms: int | None = None) -> Any:
        """The first column of the first row, or None."""
        found = await self.rows(sql, *values, deadline_ms=deadline_ms)
        return found[0][0] if found else None

    async def close(self) -> None:
        """Ends all connections now; later calls are refused as unavailable."""
        self._closed = True
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _run(self, sql: str, values: Sequence[object], limit_s: float) -> list[Row]:
        pool = self._pool or await self._open()
        held = await pool.acquire(timeout=None)
        try:
            answer = await held.fetch(sql, *values)
        except asyncpg.PostgresError:
            await pool.release(held, timeout=limit_s)
            raise
        except BaseException:
            # A cancel request could hang as long as the server does: cut the line instead. What
            # was sent may still be committed, so everything sent here is safe to send again.
            held.terminate()
            await pool.release(held, timeout=limit_s)
            raise
        await pool.release(held, timeout=limit_s)
        return answer

    async def _open(self) -> "asyncpg.Pool[Row]":
        async with self._opening:
            if self._closed:
                raise PostgresUnavailable("closed")
            if self._pool is None:
                # min_size 0: creating the pool opens nothing, so it works while PostgreSQL is
                # down.
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._pool_size,
                    timeout=self._connect_deadline_ms / 1_000,
                    ssl=None if _wants_tls(self._dsn) else False,
                    server_settings=self._session,
                    reset=_keep_session,
                )
            return self._pool


async def migrate(
    dsn: str, files: Sequence[Path], *, phase: str = "all", deadline_ms: int = 600_000
) -> list[str]:
    """Applies the migrations that are missing, in order, and answers their names.

    Each is one transaction. Two that run at the same time take turns: the second finds nothing to
    do. `phase` "pre" (before a deploy) or "post" (after it) stops before the first of the other
    kind, because the order must hold. The role of the DSN must own the database.
    """
    limit_s = deadline_ms / 1_000
    with _faults(limit_s):
        async with asyncio.timeout(limit_s):
            line = await asyncpg.connect(
                dsn,
                ssl=None if _wants_tls(dsn) else False,
                server_settings={
                    "application_name": "sluice-migrate",
                    "client_min_messages": "warning",
                },
            )
            try:
                await line.execute("select pg_advisory_lock($1)", _MIGRATION_LOCK)
                # An ALTER that waits for a long reader makes everybody wait behind it: give up
                # early instead, to be run again.
                await line.execute("set lock_timeout = '5s'")
                return await _apply(line, files, phase)
            finally:
                line.terminate()


async def _apply(line: "asyncpg.Connection[Row]", files: Sequence[Path], phase: str) -> list[str]:
    done: set[str] = set()
    if await line.fetchval("select to_regclass('migration') is not null"):
        done = {row["name"] for row in await line.fetch("select name from migration")}
    applied: list[str] = []
    for path in files:
        if path.name in done:
            continue
        if phase != "all" and f"_{phase}_" not in path.name:
            break
        async with line.transaction():
            await line.execute(path.read_text(encoding="utf-8"))
            await line.execute(
                "insert into migration (name) values ($1) on conflict do nothing", path.name
            )
        applied.append(path.name)
    return applied
