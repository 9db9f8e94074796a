"""A pool that opens lazily, with a deadline on every call.

Refuses to wait longer than the deadline, whether PostgreSQL is down, slow or frozen: the caller
gets PostgresUnavailable and the connection is thrown away. Every statement is one transaction;
all that must be atomic together is a function in the database.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from gateway.errors import PostgresUnavailable
from gateway.postgres.breaker import Breaker
from gateway.postgres.faults import ServerGone, faults
from gateway.postgres.servers import Connection, Servers, is_read_only

RUNTIME_ROLE: Final = "sluice_runtime"
# Longer than most deadlines: what takes longer than this of a server that is away is given up.
_PATIENCE_S: Final = 2.0
Row = asyncpg.Record


async def _keep_session(_: object) -> None:
    """Nothing is ever set on a session, so nothing needs a round trip to be reset."""


class Postgres:
    """One pool of at most `pool_size` connections to `dsn`.

    PostgreSQL need not be there yet: connections open when they are needed, and again after a
    failure. A connection to a server that has become read-only is given up with all its like.
    `role` None keeps the role that the DSN names (migrations need it). With a `breaker` calls
    fail at once while it knows that PostgreSQL is away.
    """

    def __init__(
        self,
        dsn: str | Servers,
        *,
        pool_size: int = 4,
        connect_deadline_ms: int = 2_000,
        command_deadline_ms: int = 2_000,
        application_name: str = "sluice",
        role: str | None = RUNTIME_ROLE,
        breaker: Breaker | None = None,
    ) -> None:
        self._servers = Servers(dsn) if isinstance(dsn, str) else dsn
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
        self._breaker = breaker
        self._busy: dict[PoolConnectionProxy[Row], float] = {}
        self.queries = 0
        if breaker is not None:
            breaker.when_hopeless(self._give_up)

    async def rows(self, sql: str, *values: object, deadline_ms: int | None = None) -> list[Row]:
        """All rows of one statement.

        The deadline covers everything: waiting for a connection, opening it, and the answer.
        """
        self.queries += 1
        breaker = self._breaker
        if breaker is not None:
            breaker.check()
        limit_s = (deadline_ms or self._command_deadline_ms) / 1_000
        try:
            with faults(limit_s):
                async with asyncio.timeout(limit_s):
                    return await self._run(sql, values, limit_s)
        except ServerGone:
            if breaker is not None and not self._closed:
                breaker.failed()
            raise

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

    def _give_up(self) -> None:
        """What waits for a server that is away ends now, not at its own deadline."""
        now_s = asyncio.get_running_loop().time()
        for line, since_s in list(self._busy.items()):
            if now_s - since_s > _PATIENCE_S:
                line.terminate()

    async def _run(self, sql: str, values: Sequence[object], limit_s: float) -> list[Row]:
        pool = self._pool or await self._open()
        held = await pool.acquire(timeout=None)
        self._busy[held] = asyncio.get_running_loop().time()
        try:
            answer = await held.fetch(sql, *values)
        except asyncpg.PostgresError as error:
            if is_read_only(error):
                # A standby by now: another server takes the writes, or none does yet.
                await pool.expire_connections()
                held.terminate()
            await pool.release(held, timeout=limit_s)
            raise
        except BaseException:
            # A cancel request could hang as long as the server does: cut the line instead. What
            # was sent may still be committed, so everything sent here is safe to send again.
            held.terminate()
            await pool.release(held, timeout=limit_s)
            raise
        finally:
            self._busy.pop(held, None)
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
                    self._servers.dsn,
                    min_size=0,
                    max_size=self._pool_size,
                    connect=self._connect,
                    reset=_keep_session,
                )
            return self._pool

    async def _connect(self, *_: Any, **how: Any) -> Connection:
        return await self._servers.connect(self._session, self._connect_deadline_ms / 1_000, **how)
