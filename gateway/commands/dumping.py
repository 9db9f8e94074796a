"""pg_dump and pg_restore: of the embedded wheel, else of this machine; a dump is one file.

Refuses to hand a password over in an argument.
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from gateway.embedded.binaries import postgres_folder
from gateway.embedded.faults import EmbeddedFault
from gateway.errors import Fault
from gateway.postgres import Postgres
from gateway.postgres.servers import hosts_of

_LAST_WORDS = 2_000
_ROLES = "select rolname from pg_roles where rolname like 'sluice\\_%' order by rolname"


class DumpFailed(Fault):
    """A program of PostgreSQL did not do what it was asked for."""


async def dump(dsn: str, path: Path) -> None:
    """Everything of the database at one moment, compressed, while it serves."""
    await _run("pg_dump", dsn, ["--format=custom", f"--file={path}"])


async def load(dsn: str, path: Path, roles: Sequence[str]) -> None:
    """A dump into an empty database, all or nothing; the roles that it names are made first."""
    postgres = Postgres(dsn, pool_size=1, command_deadline_ms=30_000, role=None)
    try:
        if await postgres.value("select to_regclass('migration') is not null"):
            raise DumpFailed("the database is not empty: restore into a fresh one")
        there = {row["rolname"] for row in await postgres.rows(_ROLES)}
        for role in roles:
            if role.isidentifier() and role not in there:
                await postgres.rows(f"create role {role} nologin")
                await postgres.rows(f"grant {role} to current_user")
    finally:
        await postgres.close()
    words = ["--exit-on-error", "--single-transaction", "--no-owner", str(path)]
    await _run("pg_restore", dsn, words)


async def facts(dsn: str) -> tuple[list[str], list[str]]:
    """The migrations and the roles of a database."""
    postgres = Postgres(dsn, pool_size=1, command_deadline_ms=30_000, role=None)
    try:
        migrations = await postgres.rows("select name from migration order by name")
        roles = await postgres.rows(_ROLES)
    finally:
        await postgres.close()
    return [row["name"] for row in migrations], [row["rolname"] for row in roles]


async def _run(name: str, dsn: str, words: Sequence[str]) -> None:
    bare, password = _without_password(dsn)
    environment = {"PATH": os.defpath, "HOME": "/nonexistent"}
    if password:
        environment["PGPASSWORD"] = password
    process = await asyncio.create_subprocess_exec(
        str(_program(name)),
        f"--dbname={bare}",
        "--no-password",
        *words,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise DumpFailed(f"{name} failed: {said.decode('utf-8', 'replace')[-_LAST_WORDS:].strip()}")


def _without_password(dsn: str) -> tuple[str, str]:
    bare, hosts = hosts_of(dsn)
    parts = urlsplit(bare)
    if parts.password is None:
        return dsn, ""
    user = quote(unquote(parts.username or ""), safe="")
    netloc = f"{user}@{','.join(quote(host, safe=':[]%') for host in hosts)}"
    return urlunsplit(parts._replace(netloc=netloc)), unquote(parts.password)


def _program(name: str) -> Path:
    try:
        embedded = postgres_folder() / name
        if embedded.is_file():
            return embedded
    except EmbeddedFault:
        pass
    found = shutil.which(name)
    if found is None:
        raise DumpFailed(f"there is no {name} here: install PostgreSQL's clients, or the wheel")
    return Path(found)
