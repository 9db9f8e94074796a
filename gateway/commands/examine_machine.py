"""Checks of this machine: can everything that `sluice up` starts run here?

Refuses to change anything, but for an empty lock file in a data folder that exists already.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gateway.commands import ports
from gateway.commands.finding import Finding, fine, wrong
from gateway.commands.running_here import listener, running_here
from gateway.embedded.binaries import postgres_folder, redis_binary
from gateway.embedded.faults import EmbeddedFault, FolderInUse
from gateway.embedded.folder import MAX_SOCKET_PATH_BYTES, OwnerLock
from gateway.embedded.way import choose_way
from gateway.settings import Settings
from gateway.units import KIB, MIB

_OLDEST, _TOO_NEW = (3, 11), (3, 14)
# A fresh database with its log, a spool of a day without PostgreSQL, and room to breathe.
_FREE_MIB = 1_024
# Beside the clients: upstream pools, servers, files.
_FILES_BESIDE = 200
_RUN_S = 20
# The longest name below the data folder that a socket gets.
_LONGEST_SOCKET = Path("postgres") / ".s.PGSQL.5432"


def examine_machine(settings: Settings) -> Iterator[Finding]:
    """All checks that need no server."""
    ours = running_here(settings)
    yield _python()
    yield _data_folder(settings.data_dir, ours)
    yield _disk(settings.data_dir)
    yield _socket_paths(settings.data_dir)
    yield _open_files(settings.max_connections)
    yield _ends_with_parent()
    if settings.database_url is None:
        yield _runs("embedded PostgreSQL", lambda: postgres_folder() / "postgres")
        yield _whoever_runs_it(settings.data_dir)
    if settings.redis_url is None:
        yield _runs("embedded Redis", redis_binary)
    yield _port("SLUICE_PORT", settings.bind, settings.port, ours)
    yield _port("SLUICE_OPS_PORT", settings.ops_bind, settings.ops_port, ours)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if _OLDEST <= sys.version_info < _TOO_NEW:
        return fine("python", version)
    return wrong("python", f"{version} is not tried: use 3.11, 3.12 or 3.13")


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _data_folder(folder: Path, ours: Sequence[int]) -> Finding:
    there = _existing(folder)
    if not there.is_dir():
        return wrong("data folder", f"{there} is no folder: set SLUICE_DATA_DIR to one")
    if not os.access(there, os.W_OK | os.X_OK):
        return wrong("data folder", f"{there} is not writable for us: set SLUICE_DATA_DIR")
    if there == folder:
        lock = OwnerLock(folder)
        try:
            lock.take()
        except FolderInUse as fault:
            if fault.owner in ours:
                return fine("data folder", f"{folder} is {_by_us(fault.owner)}")
            return wrong("data folder", str(fault))
        finally:
            lock.release()
    return fine("data folder", f"{folder} {'is' if there == folder else 'can be made'} ours")


def _disk(folder: Path) -> Finding:
    free_mib = shutil.disk_usage(_existing(folder)).free // MIB
    if free_mib < _FREE_MIB:
        return wrong("disk", f"{free_mib} MiB free, {_FREE_MIB} wanted: free some at {folder}")
    return fine("disk", f"{free_mib // KIB} GiB free")


def _socket_paths(folder: Path) -> Finding:
    length = len(os.fsencode(folder / _LONGEST_SOCKET))
    if length <= MAX_SOCKET_PATH_BYTES:
        return fine("socket paths", f"{length} bytes, at most {MAX_SOCKET_PATH_BYTES}")
    return fine("socket paths", f"{length} bytes is too long, so sockets go to a short folder")


def _open_files(max_connections: int) -> Finding:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_connections + _FILES_BESIDE
    if most != resource.RLIM_INFINITY and most < wanted:
        advice = f"{wanted} are wanted: raise `ulimit -Hn`, or lower SLUICE_MAX_CONNECTIONS"
        return wrong("open files", f"at most {most} per process, {advice}")
    return fine("open files", f"up to {'any number' if most < 0 else most} per process")


def _ends_with_parent() -> Finding:
    if _output(["setpriv", "--pdeathsig", "KILL", "--", "echo", "yes"]) == "yes":
        return fine("setpriv", "children end with their parent")
    return wrong("setpriv", "`setpriv --pdeathsig` does not work: install util-linux 2.33 or newer")


def _runs(subject: str, find: Callable[[], Path]) -> Finding:
    try:
        binary = find()
    except EmbeddedFault as fault:
        return wrong(subject, str(fault))
    said = _output([str(binary), "--version"])
    if said is None:
        return wrong(subject, f"{binary} does not run here: use an external server instead")
    # Redis tells of its build, too.
    return fine(subject, said.partition(" sha=")[0])


def _whoever_runs_it(folder: Path) -> Finding:
    if os.geteuid() != 0:
        return fine("user", "not root, as PostgreSQL wants it")
    # Where the folder does not exist yet, what will hold it decides.
    try:
        way = choose_way(folder / "postgres" if folder.exists() else _existing(folder) / "postgres")
    except EmbeddedFault as fault:
        return wrong("user", str(fault))
    return fine("user", f"root; PostgreSQL runs by {way.before[0] if way.before else 'itself'}")


def _by_us(process: int) -> str:
    return f"in use by this Sluice, process {process}: running"


def _port(name: str, host: str, port: int, ours: Sequence[int]) -> Finding:
    if port == 0:
        return fine(name, "any free port")
    reason = ports.why_not(host, port)
    if reason is not None:
        process = listener(ours, port)
        if process is not None:
            return fine(name, f"port {port} on {host} is {_by_us(process)}")
        return wrong(name, f"{reason}: stop what uses it, or set {name}")
    return fine(name, f"port {port} on {host} is free")


def _output(command: list[str]) -> str | None:
    """What a command prints; None when it cannot be run or fails."""
    try:
        done = subprocess.run(  # noqa: S603 - our own argv
            command, capture_output=True, text=True, timeout=_RUN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
