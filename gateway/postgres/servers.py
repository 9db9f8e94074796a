"""Which servers a DSN names, and a connection to the one that is wanted.

`postgresql://user@a:5432,b:5432/db?target_session_attrs=read-write` names two. They are tried in
turn, the one that was right last first; each has its share of the time, so that a silent one does
not use up all of it (asyncpg bounds all hosts together, and stops at one that is starting up).

Refuses a standby unless it is asked for: what it tells of a balance may be of before a revocation.
Of several servers only one that takes writes will do, as the ledger is written.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from gateway.postgres.faults import READ_ONLY, ServerGone, faults

_PORT: Final = 5432
_NETLOC_ENDS: Final = re.compile("[/?#]")
_TAKES_NO_WRITES: Final = "it takes no writes: it is a standby, or was told to be read-only"
_NOT_WANTED: Final[Mapping[str, str]] = {
    SessionAttribute.primary: "it is a standby and takes no writes",
    SessionAttribute.read_write: _TAKES_NO_WRITES,
    SessionAttribute.standby: "it is no standby",
    SessionAttribute.prefer_standby: "it is no standby",
    SessionAttribute.read_only: "it takes writes",
}
Server = tuple[str, int]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def wants_tls(dsn: str) -> bool:
    """TLS only where the DSN says so: asyncpg's default reads certificates from HOME."""
    asked = parse_qs(urlsplit(hosts_of(dsn)[0]).query).get("sslmode", ["disable"])[0]
    return asked not in ("disable", "allow", "prefer")


def hosts_of(dsn: str) -> tuple[str, Sequence[str]]:
    """The DSN without its hosts, and these: newer readers of URLs refuse `a,[::1]` as a host."""
    scheme, middle, rest = dsn.partition("://")
    netloc = _NETLOC_ENDS.split(rest, maxsplit=1)[0]
    user, at, hosts = netloc.rpartition("@")
    found = [unquote(host) for host in hosts.split(",") if host]
    return f"{scheme}{middle}{user}{at}{rest[len(netloc) :]}", found


def named_by(dsn: str) -> Sequence[Server]:
    """The servers in their order; empty when the DSN names at most one, which asyncpg reads."""
    bare, hosts = hosts_of(dsn)
    query = parse_qs(urlsplit(bare).query)
    ports = [p for text in query.get("port", []) for p in text.split(",") if p]
    if not hosts:
        hosts = [h for text in query.get("host", []) for h in text.split(",") if h]
    if len(hosts) < 2:
        return ()
    found = []
    for place, host in enumerate(hosts):
        name, port = _split(host)
        if port is None and ports:
            port = int(ports[place] if len(ports) == len(hosts) else ports[0])
        found.append((name, _PORT if port is None else port))
    return found


def _split(host: str) -> tuple[str, int | None]:
    """`name`, `name:port`, `[v6]`, `[v6]:port`, or a folder of sockets."""
    if host.startswith("/"):
        return host, None
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, int(rest[1:]) if rest.startswith(":") else None
    name, _, port = host.partition(":")
    return name, int(port) if port else None


class Servers:
    """Connects to what `dsn` names; shared by all pools, it knows which server was right."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._named = list(named_by(dsn))
        bare = hosts_of(dsn)[0]
        # Each server of several is named beside it.
        self._asked = bare if self._named else dsn
        asked = parse_qs(urlsplit(bare).query).get("target_session_attrs", [])
        # A single primary that was told to be read-only still answers look-ups.
        usual = SessionAttribute.read_write if self._named else SessionAttribute.primary
        self._attribute = SessionAttribute(asked[0]) if asked else usual
        self._tls = None if wants_tls(dsn) else False

    async def connect(self, session: Mapping[str, str], limit_s: float, **how: Any) -> Connection:
        """A connection with these settings of its session, within the time.

        Raises what asyncpg raises, or ServerGone where no server of several was right.
        """
        common: dict[str, Any] = {
            "ssl": self._tls,
            "server_settings": dict(session),
            "target_session_attrs": self._attribute,
            **how,
        }
        line: Connection
        if not self._named:
            try:
                line = await asyncpg.connect(self._asked, timeout=limit_s, **common)
            except asyncpg.exceptions.TargetServerAttributeNotMatched:
                raise ServerGone(_NOT_WANTED[self._attribute]) from None
            return line
        told = []
        # One share more than servers: what is left is for the statement.
        share_s = limit_s / (len(self._named) + 1)
        for server in list(self._named):
            host, port = server
            try:
                line = await asyncpg.connect(
                    self._asked,
                    host=host,
                    port=port,
                    timeout=share_s,
                    **common,
                )
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                told.append(f"{host}:{port}: {str(error) or type(error).__name__}")
            except asyncpg.exceptions.TargetServerAttributeNotMatched:
                told.append(f"{host}:{port}: {_NOT_WANTED[self._attribute]}")
            else:
                self._remember(server)
                return line
        raise ServerGone("; ".join(told))

    def _remember(self, server: Server) -> None:
        """The next connection begins here."""
        if self._named[0] != server:
            self._named.remove(server)
            self._named.insert(0, server)


def is_read_only(error: asyncpg.PostgresError) -> bool:
    """Whether a server said that it takes no writes."""
    return bool(error.sqlstate == READ_ONLY)


async def probe(servers: Servers, session: Mapping[str, str], limit_s: float) -> None:
    """Ask for a moment, on a connection of its own; raises PostgresUnavailable."""
    with faults(limit_s):
        async with asyncio.timeout(limit_s):
            line = await servers.connect(session, limit_s)
            try:
                await line.fetchval("select 1")
            finally:
                line.terminate()
