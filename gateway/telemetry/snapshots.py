"""The numbers of all processes of a machine, shared through small files in one folder.

1. Each process replaces its file `<pid>-<random>.json` about twice a second and holds a lock on
   the file beside it for as long as it lives, however it ends.
2. A reader adds up the living. The counts of the dead are folded into `ended.json`, so that sums
   never fall; their levels are forgotten with them.

Refuses to count anything twice: what was folded is named in the same file that holds the sum.
"""

import fcntl
import itertools
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

Numbers = list[float]
# Metric -> labels as one text -> its numbers: one, or a sum and the counts of its buckets.
Values = dict[str, dict[str, Numbers]]

ENDED: Final = "ended.json"
_FOLDING: Final = "folding.lock"
# A process that lives but has not written for this long is stopped, stuck or has a full disk.
SILENT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one process told last. `silent`: it lives, and yet has told nothing for a while."""

    counts: Values
    levels: Values
    silent: bool = False
    newest: Values = field(default_factory=dict)


class Publisher:
    """The side that tells: one file of this process in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._lock_fd = os.open(_lock_path(folder, self.name), os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        self._turn = threading.Lock()
        self._numbers = itertools.count(1)
        self._told = 0

    def publish(self, counts: Values, levels: Values, newest: Values | None = None) -> None:
        """Replace what this process told before. Raises OSError when the disk does not take it."""
        self.tell(*self.prepare(counts, levels, newest))

    def prepare(
        self, counts: Values, levels: Values, newest: Values | None = None
    ) -> tuple[int, bytes]:
        """What `tell` writes, in whatever thread: numbers must not be read while they change."""
        told = {"counts": counts, "levels": levels, "newest": newest or {}}
        return next(self._numbers), orjson.dumps(told)

    def tell(self, number: int, content: bytes) -> None:
        """Write it, unless something newer is there, or this has been closed: who reads has then
        taken the last word for this process's whole count. Raises OSError.
        """
        with self._turn:
            if number <= self._told:
                return
            fresh = self.folder / f"{self.name}.fresh"
            fresh.write_bytes(content)
            fresh.replace(_path(self.folder, self.name))
            self._told = number

    def close(self) -> None:
        """The process ends: what it counted stays."""
        with self._turn:
            self._told = sys.maxsize
            os.close(self._lock_fd)


def read(folder: Path, own_name: str) -> list[Snapshot]:
    """All snapshots but one's own; that of the dead is one and has no levels."""
    found = []
    dead = []
    for path in sorted(folder.glob("*-*.json")):
        if path.stem == own_name:
            continue
        if _is_dead(folder, path.stem):
            dead.append(path.stem)
            continue
        told = _load(path)
        with suppress(FileNotFoundError):
            silent = time.time() - path.stat().st_mtime > SILENT_S
            counts, levels = told.get("counts", {}), told.get("levels", {})
            found.append(Snapshot(counts, levels, silent, told.get("newest", {})))
    return [*found, Snapshot(_bury(folder, dead), {})]


def add(into: Values, more: Mapping[str, Mapping[str, Numbers]]) -> None:
    """Add every series; one whose buckets have another number (another version) is left out."""
    for metric, series in more.items():
        sums = into.setdefault(metric, {})
        for labels, numbers in series.items():
            known = sums.get(labels)
            if known is None:
                sums[labels] = list(numbers)
            elif len(known) == len(numbers):
                sums[labels] = [a + b for a, b in zip(known, numbers, strict=True)]


def add_newer(into: Values, more: Mapping[str, Mapping[str, Numbers]]) -> None:
    """Of each series keep the one that was set last; its first number is the moment."""
    for metric, series in more.items():
        known = into.setdefault(metric, {})
        for labels, numbers in series.items():
            if labels not in known or known[labels] < numbers:
                known[labels] = list(numbers)


def _bury(folder: Path, dead: list[str]) -> Values:
    """The counts of all that ever ended, with these among them; their files go."""
    with _folding(folder) as alone:
        told = _load(folder / ENDED)
        counts: Values = told.get("counts", {})
        folded = frozenset(told.get("folded", ()))
        for name in dead:
            if name not in folded:
                add(counts, _load(_path(folder, name)).get("counts", {}))
        # A full disk only means that they are added up again at the next reading.
        with suppress(OSError):
            if alone and dead:
                _fold(folder, dead, counts)
        return counts


def _fold(folder: Path, dead: list[str], counts: Values) -> None:
    # Named together with the sum: a crash between here and the removal folds nothing twice.
    fresh = folder / f"{ENDED}.fresh"
    fresh.write_bytes(orjson.dumps({"folded": dead, "counts": counts}))
    fresh.replace(folder / ENDED)
    for name in dead:
        _path(folder, name).unlink(missing_ok=True)
        _lock_path(folder, name).unlink(missing_ok=True)


@contextmanager
def _folding(folder: Path) -> Iterator[bool]:
    """Whether nobody else folds now; who comes second only reads."""
    try:
        fd = os.open(folder / _FOLDING, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        yield False
        return
    try:
        yield _try_lock(fd)
    finally:
        os.close(fd)


def _is_dead(folder: Path, name: str) -> bool:
    try:
        fd = os.open(_lock_path(folder, name), os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        return _try_lock(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _load(path: Path) -> Mapping[str, Any]:
    """A file of ours; nothing when it is not there or not whole."""
    try:
        told = orjson.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _lock_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"
