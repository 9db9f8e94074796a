"""`sluice backup` and `sluice restore`: the ledger, what waits in the spools, and the secrets.

Backup, while everything runs:
1. The spools are copied first, then the database is dumped. What was posted in between is in both,
   and posting twice is harmless; the other way round it would be in neither.
2. The secrets are copied: without the pepper no key is known.
3. The manifest, with the digest of each file, comes last: without it a backup is none.

Restore, while nothing runs: into an empty database and a data folder without spools. What Redis
remembers is deleted: it is of a future that is gone, and its newer copies of balances would win.

Lost is what was charged after the dump began and what was decided after the spools were copied.
Refuses to overwrite anything.
"""

import argparse
import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.admission.copies import forget_everything
from gateway.commands import dumping
from gateway.commands.terminal import say
from gateway.embedded.folder import OwnerLock
from gateway.embedded.postgres_server import PostgresServer
from gateway.errors import ConfigurationFault
from gateway.redis_link import RedisLink
from gateway.settings import Settings

HELP_BACKUP: Final = "copy ledger, spools and secrets into a folder, while everything runs"
HELP_RESTORE: Final = "make ledger, spools and secrets of a backup, while nothing runs"
_SECRETS: Final = ("key-pepper", "internal-secret", "admin-token", "canary-key")
_MANIFEST: Final = "manifest.json"
_DUMP: Final = "ledger.dump"


def add_backup_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to."""
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="made, or empty")
    parser.add_argument("--json", action="store_true", help="print the manifest")
    parser.epilog = "The folder holds every secret: keep it as you keep those."


def add_restore_arguments(parser: argparse.ArgumentParser) -> None:
    """Where from."""
    parser.add_argument(
        "--from", dest="source", type=Path, required=True, metavar="FOLDER", help="of a backup"
    )
    parser.epilog = (
        "The database must be empty, and nothing may run on it or on its Redis. Afterwards start "
        "as ever, and let `sluice reconcile` prove the books."
    )


def execute_backup(settings: Settings, arguments: argparse.Namespace) -> int:
    """0 once the manifest is there."""
    folder: Path = arguments.to
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigurationFault([f"{folder} is not empty: a backup gets a folder of its own"])
    manifest = asyncio.run(_back_up(settings, folder))
    if arguments.json:
        say(orjson.dumps(manifest, option=orjson.OPT_INDENT_2).decode())
    else:
        size = sum(each["bytes"] for each in manifest["files"].values())
        say(f"{len(manifest['files'])} files, {size:,} bytes in {folder}")
    return 0


def execute_restore(settings: Settings, arguments: argparse.Namespace) -> int:
    """0 once everything is there and Redis remembers nothing."""
    manifest = _checked(arguments.source)
    asyncio.run(_restore(settings, arguments.source, manifest))
    say(f"restored what was backed up at {manifest['began_at']}; start, then `sluice reconcile`")
    return 0


async def _back_up(settings: Settings, folder: Path) -> dict[str, Any]:
    began_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    dsn = settings.database_url or PostgresServer(settings.data_dir).dsn
    _copy_spools(settings.data_dir / "spool", folder / "spool")
    await dumping.dump(dsn, folder / _DUMP)
    migrations, roles = await dumping.facts(dsn)
    (folder / "secrets").mkdir(mode=0o700)
    for name in _SECRETS:
        if (settings.data_dir / name).is_file():
            _write(folder / "secrets" / name, (settings.data_dir / name).read_bytes())
    manifest = {
        "began_at": began_at,
        "ended_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "migrations": migrations,
        "roles": roles,
        "files": {name: _facts(folder / name) for name in _files(folder)},
    }
    _write(folder / _MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    return manifest


def _copy_spools(source: Path, target: Path) -> None:
    """Cursor before segments: an older cursor posts more again, which is harmless."""
    target.mkdir(mode=0o700)
    for directory in sorted(source.iterdir()) if source.is_dir() else []:
        if directory.is_file():
            shutil.copyfile(directory, target / directory.name)
            continue
        copy = target / directory.name
        copy.mkdir(mode=0o700)
        for name in ("cursor", "lock", *sorted(p.name for p in directory.glob("[0-9]*.log"))):
            try:
                shutil.copyfile(directory / name, copy / name)
            except FileNotFoundError:
                # Posted to its end meanwhile: then the dump has it, which comes later.
                continue
        if not (copy / "lock").exists():
            shutil.rmtree(copy)


async def _restore(settings: Settings, source: Path, manifest: dict[str, Any]) -> None:
    home = settings.data_dir
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    spool = home / "spool"
    if spool.exists() and any(spool.iterdir()):
        raise ConfigurationFault([f"{spool} is not empty: those outcomes are of another ledger"])
    other = [
        name
        for name in _SECRETS
        if (home / name).exists()
        and (source / "secrets" / name).exists()
        and (home / name).read_bytes() != (source / "secrets" / name).read_bytes()
    ]
    if other:
        raise ConfigurationFault([f"{home / other[0]} is another one than that of the backup"])
    if settings.redis_url is not None:
        link = RedisLink(settings.redis_url, deadline_ms=10_000)
        try:
            await link.open()
            await forget_everything(link)
        finally:
            await link.close()
    async with _database(settings) as dsn:
        await dumping.load(dsn, source / _DUMP, manifest["roles"])
    for name in _SECRETS:
        if (source / "secrets" / name).exists():
            _write(home / name, (source / "secrets" / name).read_bytes())
    shutil.copytree(source / "spool", spool, dirs_exist_ok=True)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    """The external one, or the embedded one, which runs for as long."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    owner = OwnerLock(settings.data_dir)
    owner.take()
    server = PostgresServer(settings.data_dir)
    try:
        await server.start()
        yield server.dsn
    finally:
        await server.stop()
        owner.release()


def _checked(folder: Path) -> dict[str, Any]:
    """The manifest, once every file is as it says."""
    try:
        manifest: dict[str, Any] = orjson.loads((folder / _MANIFEST).read_bytes())
        wrong = [n for n, facts in manifest["files"].items() if _facts(folder / n) != facts]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationFault([f"{folder} is no whole backup: {error}"]) from error
    if wrong:
        raise ConfigurationFault([f"{folder / wrong[0]} is not as it was backed up"])
    return manifest


def _files(folder: Path) -> Iterator[str]:
    yield from sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
