"""The journal of revocations: one small file each, under its final name only when it is durable.

`<folder>/<key id>.revoke` wants the key to be ended, `<key id>-<name>.lift` wants its tombstone
taken back: the revocation was told as not taken. Whichever process of the machine sees a file may
do what it wants, as all of that is safe to repeat; so a file needs no owner and no lock.

Refuses to trust what is inside: a file that has its name is wanted, whatever became of its bytes.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.metering.spool_files import sync_folder

_NAME: Final = re.compile(r"([0-9]{1,19})(?:-([0-9a-f-]{1,64}))?\.(revoke|lift)")
_FRESH: Final = ".fresh"
_LOCK: Final = "lock"
# A process that died between writing and naming left it; nobody was told anything.
_LEFT_BEHIND_S: Final = 60.0
MAX_NAME: Final = 64


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """One file: `name` is the tombstone's, "" when the file does not tell."""

    key_id: int
    name: str
    is_lift: bool
    path: Path
    is_first: bool = False


class RevocationFiles:
    """The files in `folder`. Everything here blocks, and raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, key_id: int) -> bool:
        """Whether this key is wanted to end."""
        return self._path(key_id).exists()

    def write(self, key_id: int, name: str) -> Wanted:
        """Durable when this returns: the file, and its name in the folder. Fails: nothing is."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Its own name has to outlive a power cut as well.
        sync_folder(self.folder.parent)
        path = self._path(key_id)
        fresh = self.folder / f"{key_id}-{name}{_FRESH}"
        with self._alone():
            # Of one that somebody else was told of, nothing may be taken back.
            is_first = not path.exists()
            try:
                _write_synced(fresh, name.encode("ascii"))
                fresh.rename(path)
                sync_folder(self.folder)
            except OSError:
                with suppress(OSError):
                    fresh.unlink(missing_ok=True)
                    if is_first:
                        path.unlink(missing_ok=True)
                raise
        return Wanted(key_id, name, is_lift=False, path=path, is_first=is_first)

    def withdraw(self, wanted: Wanted) -> None:
        """It was told as not taken: its tombstone is to be lifted instead, if there is one.

        Nothing happens where the same key was wanted to end before, or was again meanwhile.
        """
        with self._alone():
            if wanted.is_first and self.name_of(replace(wanted, name="")) == wanted.name:
                wanted.path.rename(self.folder / f"{wanted.key_id}-{wanted.name}.lift")
                sync_folder(self.folder)

    def done(self, wanted: Wanted) -> None:
        """Nothing is wanted any more. Not synced: done twice is harmless."""
        wanted.path.unlink(missing_ok=True)

    def all(self) -> Sequence[Wanted]:
        """What is wanted, in the order of the key ids."""
        try:
            entries = list(os.scandir(self.folder))
        except FileNotFoundError:
            return ()
        found = []
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None:
                self._tidy(entry)
                continue
            number, name, kind = match.groups()
            path = Path(entry.path)
            found.append(Wanted(int(number), name or "", kind == "lift", path))
        return sorted(found)

    def name_of(self, wanted: Wanted) -> str:
        """The name of its tombstone; one of its own where the file does not tell it.

        Empty where there is no file any more: it was taken back, or the ledger has it.
        """
        if wanted.name:
            return wanted.name
        try:
            text = wanted.path.read_bytes()[:MAX_NAME].decode("ascii")
            if text and text.isprintable():
                return text
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError):
            pass
        return f"file-{wanted.key_id}"

    def _path(self, key_id: int) -> Path:
        return self.folder / f"{key_id}.revoke"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process of the machine names or takes back a file meanwhile."""
        fd = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _tidy(self, entry: "os.DirEntry[str]") -> None:
        if entry.name.endswith(_FRESH):
            with suppress(OSError):
                if time.time() - entry.stat().st_mtime > _LEFT_BEHIND_S:
                    os.unlink(entry.path)


def _write_synced(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
