"""The folder of one embedded server: who owns it, where its socket is, who still lives in it.

Refuses a second owner with one sentence. Locks are advisory (flock) and end with their process,
so nothing has to be cleaned up after a kill -9.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from gateway.embedded.faults import FolderInUse

# sun_path of Linux has 108 bytes, one of them the terminating zero.
MAX_SOCKET_PATH_BYTES = 107
_POLL_S = 0.005
_LAST_WORDS_BYTES = 4_096


class OwnerLock:
    """Holds a folder for this process until `release`, or until the process ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "owner.lock"
        self._fd: int | None = None

    def take(self) -> None:
        """Take it, or raise FolderInUse naming the owner. Taking it twice is harmless."""
        if self._fd is not None:
            return
        fd = _open(self._path)
        if not _try_lock(fd):
            owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise FolderInUse(
                f"{self._path.parent} is in use by process {owner}: "
                "stop it, or set SLUICE_DATA_DIR to another folder",
                int(owner) if owner.isdecimal() else 0,
            )
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give it back. Harmless when not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


async def lock_for_children(folder: Path, inside: Path, patience_s: float) -> int:
    """A file descriptor to hand to a server, which holds the lock for all it forks.

    So the lock is free exactly when every process of the earlier server is gone, also the ones
    that outlived a killed parent; they get `patience_s` to end by themselves, then SIGKILL.
    Close it after the start. Raises FolderInUse if even that did not free it.
    """
    fd = _open(folder / "server.lock")
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    killed = False
    while not _try_lock(fd):
        waited_s = loop.time() - begun_s
        if waited_s > patience_s and not killed:
            kill_all(processes_in(inside))
            killed = True
        if waited_s > 2 * patience_s:
            os.close(fd)
            raise FolderInUse(f"{folder} is still held by a server that does not end")
        await asyncio.sleep(_POLL_S)
    return fd


def processes_in(folder: Path) -> list[int]:
    """Processes whose working directory is `folder`, as far as we may look."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def kill_all(pids: Iterable[int]) -> None:
    """SIGKILL to each that still lives."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def socket_folder(home: Path, socket_name: str) -> Path:
    """`home` if the socket's path fits into 107 bytes, else a short private folder.

    The short folder is recorded in `home`, which is made if need be, so that the next start uses
    the same.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if len(os.fsencode(home / socket_name)) <= MAX_SOCKET_PATH_BYTES:
        return home
    record = home / "socket-folder"
    if record.exists():
        recorded = Path(record.read_text(encoding="utf-8").strip())
        if _private(recorded, home.stat().st_uid):
            return recorded
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > MAX_SOCKET_PATH_BYTES - 40:
        parent = "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it
    made = Path(tempfile.mkdtemp(prefix="sluice-", dir=parent))
    record.write_text(f"{made}\n", encoding="utf-8")
    return made


def last_words(log: Path) -> str:
    """What a server said last, and where it said it; for the sentence about its death."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _LAST_WORDS_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        lines = []
    grave = [line for line in lines if "FATAL" in line or "PANIC" in line]
    told = grave or [line for line in lines if line.strip()]
    return f"{told[-1].strip() if told else 'it said nothing'} ({log})"


def _private(folder: Path, owner: int) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_mode & 0o077 == 0 and status.st_uid == owner


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
