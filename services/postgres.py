"""The services' door to PostgreSQL: a pool that opens lazily, and a deadline on every call.

Refuses to wait longer than the deadline, whether PostgreSQL is down, slow or frozen: the caller
gets UnavailableError and the connection is thrown away. Every statement is one transaction; all
that must be atomic together is a function in the database.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

QUERIES: Final = Path(__file__).resolve().parent.parent / "sql" / "queries"
HEAD: Final = re.compile(r"^-- ([a-z][a-z0-9_]*): \S.*$", re.MULTILINE)

# SQLSTATE that speak of the server or the moment, not of the statement: 08 connection, 25 read-only
# after a failover, 28 authentication, 3D no such database, 40 deadlock, 53 resources, 55 lock
# timeout, 57 shutdown, 58 I/O error. The last four: no such role, table, function, object; a
# service may be up before its migration is.
PASSING: Final = (
    "08", "25", "28", "3D", "40", "53", "55", "57", "58", "22023", "42P01", "42883", "42704",
)  # fmt: skip

# A name, an address, or an IPv6 one in brackets, each with its port or without.
_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?")
_PORT: Final = "5432"
_READ_ONLY: Final = "25006"

Row = asyncpg.Record


class UnavailableError(Exception):
    """PostgreSQL does not answer, or not in time."""


class RefusedError(Exception):
    """PostgreSQL understood the statement and refused it; asking again does not help."""


def load_queries(name: str) -> Mapping[str, str]:
    """The queries of sql/queries/`name`.sql by their own names."""
    parts = HEAD.split((QUERIES / f"{name}.sql").read_text(encoding="utf-8"))
    return MappingProxyType(dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True)))


class Postgres:
    """At most `pool_size` connections to `dsn` as `role`; None keeps the role that the DSN names.

    PostgreSQL need not be there yet: connections open when they are needed, and again after a
    failure.
    """

    def __init__(
        self,
        dsn: str,
        *,
        role: str | None,
        application_name: str,
        pool_size: int = 4,
        deadline_ms: int = 2_000,
    ) -> None:
        self._dsn = dsn
        self._pool_size = pool_size
        self._deadline_s = deadline_ms / 1_000
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

    async def rows(self, sql: str, *values: object) -> list[Row]:
        """All rows of one statement.

        The deadline covers everything: waiting for a connection, opening it, and the answer.
        """
        with _faults(self._deadline_s):
            async with asyncio.timeout(self._deadline_s):
                return await self._run(sql, values)

    async def row(self, sql: str, *values: object) -> Row | None:
        """The first row, or None."""
        found = await self.rows(sql, *values)
        return found[0] if found else None

    async def value(self, sql: str, *values: object) -> Any:
        """The first column of the first row, or None."""
        found = await self.rows(sql, *values)
        return found[0][0] if found else None

    async def close(self) -> None:
        """Ends all connections now; later calls are refused as unavailable."""
        self._closed = True
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _run(self, sql: str, values: Sequence[object]) -> list[Row]:
        pool = self._pool or await self._open()
        held = await pool.acquire(timeout=None)
        try:
            answer = await held.fetch(sql, *values)
        except asyncpg.PostgresError as error:
            if error.sqlstate == _READ_ONLY:
                # A standby by now: no line to it is used again.
                await pool.expire_connections()
                held.terminate()
            await pool.release(held, timeout=self._deadline_s)
            raise
        except BaseException:
            # A cancel request could hang as long as the server does: cut the line instead.
            held.terminate()
            await pool.release(held, timeout=self._deadline_s)
            raise
        await pool.release(held, timeout=self._deadline_s)
        return answer

    async def _open(self) -> "asyncpg.Pool[Row]":
        async with self._opening:
            if self._closed:
                raise UnavailableError("closed")
            if self._pool is None:
                # min_size 0: making the pool opens nothing, so it works while PostgreSQL is down.
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._pool_size,
                    connect=self._connect,
                    reset=_keep_session,
                )
            return self._pool

    async def _connect(self, *_: Any, **how: Any) -> "asyncpg.Connection[Row]":
        """To the only server of the DSN, or to the first of several that takes writes.

        Each of several has its share of the deadline, so that a silent one does not use up all.
        """
        common = {
            "ssl": None if _wants_tls(self._dsn) else False,
            "server_settings": self._session,
            **how,
        }
        line: asyncpg.Connection[Row]
        servers = _servers_of(self._dsn)
        if not servers:
            line = await asyncpg.connect(self._dsn, timeout=self._deadline_s, **common)
            return line
        told = []
        share_s = self._deadline_s / (len(servers) + 1)
        bare = _hosts_of(self._dsn)[0]
        asked = parse_qs(urlsplit(bare).query).get("target_session_attrs", ["read-write"])
        common["target_session_attrs"] = SessionAttribute(asked[0])
        for host, port in servers:
            try:
                line = await asyncpg.connect(bare, host=host, port=port, timeout=share_s, **common)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                told.append(f"{host}: {str(error) or type(error).__name__}")
            except asyncpg.exceptions.TargetServerAttributeNotMatched:
                told.append(f"{host}: it is not {asked[0]}")
            else:
                return line
        raise UnavailableError("; ".join(told))


def _hosts_of(dsn: str) -> tuple[str, list[str]]:
    """The DSN without its hosts, and these: newer readers of URLs refuse `a,[::1]` as a host."""
    scheme, middle, rest = dsn.partition("://")
    netloc = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, hosts = netloc.rpartition("@")
    found = [unquote(host) for host in hosts.split(",") if host]
    return f"{scheme}{middle}{user}{at}{rest[len(netloc) :]}", found


def _servers_of(dsn: str) -> Sequence[tuple[str, int]]:
    """The servers of a DSN that names several, in its order; else none."""
    bare, hosts = _hosts_of(dsn)
    query = parse_qs(urlsplit(bare).query)
    hosts = hosts or [host for text in query.get("host", []) for host in text.split(",") if host]
    ports = [port for text in query.get("port", []) for port in text.split(",") if port]
    if len(hosts) < 2:
        return ()
    found = []
    for place, host in enumerate(hosts):
        match = None if host.startswith("/") else _HOST.fullmatch(host)
        name, port = (host, None) if match is None else match.groups()
        other = ports[place] if len(ports) == len(hosts) else (ports or [_PORT])[0]
        found.append((name.strip("[]"), int(port or other)))
    return found


async def _keep_session(_: object) -> None:
    """Nothing is ever set on a session, so nothing needs a round trip to be reset."""


def _wants_tls(dsn: str) -> bool:
    """TLS only where the DSN says so: asyncpg's default reads certificates from HOME."""
    asked = parse_qs(urlsplit(_hosts_of(dsn)[0]).query).get("sslmode", ["disable"])[0]
    return asked not in ("disable", "allow", "prefer")


@contextmanager
def _faults(limit_s: float) -> Iterator[None]:
    """Turns what asyncpg raises into the two errors of this module."""
    try:
        yield
    except TimeoutError:
        raise UnavailableError(f"no answer within {limit_s * 1_000:.0f} ms") from None
    except asyncpg.PostgresError as error:
        sqlstate = error.sqlstate or "08000"
        kind = UnavailableError if sqlstate.startswith(PASSING) else RefusedError
        raise kind(f"{error} ({sqlstate})") from error
    except asyncpg.exceptions.DataError as error:
        raise RefusedError(str(error)) from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise UnavailableError(str(error)) from error
