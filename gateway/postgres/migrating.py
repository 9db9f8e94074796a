"""Brings a database to this version, by the migrations that it does not have yet.

Refuses to run beside itself, and to wait long for a lock that everybody would wait behind.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.postgres.faults import faults
from gateway.postgres.servers import Connection, Servers

# Any number that no other program on the same database uses: "sluice" in ASCII.
_MIGRATION_LOCK: Final = 0x736C75696365
_CONNECT_S: Final = 30.0


async def migrate(
    dsn: str, files: Sequence[Path], *, phase: str = "all", deadline_ms: int = 600_000
) -> list[str]:
    """Applies the migrations that are missing, in order, and answers their names.

    Each is one transaction. Two that run at the same time take turns: the second finds nothing to
    do. `phase` "pre" (before a deploy) or "post" (after it) stops before the first of the other
    kind, because the order must hold. The role of the DSN must own the database.
    """
    limit_s = deadline_ms / 1_000
    session = {"application_name": "sluice-migrate", "client_min_messages": "warning"}
    with faults(limit_s):
        async with asyncio.timeout(limit_s):
            line = await Servers(dsn).connect(session, _CONNECT_S)
            try:
                await line.execute("select pg_advisory_lock($1)", _MIGRATION_LOCK)
                # An ALTER that waits for a long reader makes everybody wait behind it: give up
                # early instead, to be run again.
                await line.execute("set lock_timeout = '5s'")
                return await _apply(line, files, phase)
            finally:
                line.terminate()


async def _apply(line: Connection, files: Sequence[Path], phase: str) -> list[str]:
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
