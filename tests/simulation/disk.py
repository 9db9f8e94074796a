"""A disk in memory: what was synced outlives everything, what was written outlives the process.

Stands in for `Path` here, for `os`, `fcntl`, `rmtree`, the spool's writing thread and its queue in
disk_calls: the code above them is the product's. A power cut keeps of each file what was synced
and perhaps some of the rest: whole, torn, or some blocks of it and not those before. Refuses one
subtlety: a folder is as durable as the first synced name in it, as journalling file systems have
it.
"""

import errno
import io
from collections.abc import Callable, Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

from tests.simulation.clockwork import CURRENT, Process

# File systems write their journal by themselves this often.
NAMED_AFTER_S = 5.0
_BLOCK_BYTES = 128
WORKS, FULL, BROKEN = "works", "full", "broken"


class File:
    """Content, how much of it is synced, whether its name is, and who has locked it."""

    def __init__(self, number: int, made_s: float) -> None:
        self.number = number
        self.made_s = made_s
        self.data = bytearray()
        self.durable = bytearray()
        # Where it was written since the last sync.
        self.dirty: list[tuple[int, int]] = []
        self.named = False
        self.locked_by: Process | None = None

    def put(self, offset: int, data: bytes) -> None:
        """Written, and in the hands of the kernel."""
        self.data[offset : offset + len(data)] = data
        self.dirty.append((offset, offset + len(data)))

    def cut(self, size: int) -> None:
        """Truncated; the disk knows it at once."""
        del self.data[size:], self.durable[size:]

    def sync(self) -> None:
        """All of it outlives a power cut."""
        for start, end in self.dirty:
            # What was cut off meanwhile is written no more.
            self.durable[start:end] = self.data[start:end]
        self.dirty.clear()

    def sync_last(self) -> None:
        """What was written last was written through: that and nothing before it."""
        start, end = self.dirty.pop()
        self.durable += bytes(max(0, end - len(self.durable)))
        self.durable[start:end] = self.data[start:end]

    def lose_power(self, chance: Random) -> None:
        """What was not synced is lost, or torn, or some blocks of it are there."""
        fate = chance.random()
        if fate < 0.3:
            cut = chance.randint(len(self.durable), max(len(self.durable), len(self.data)))
            self.durable += self.data[len(self.durable) : cut]
        elif fate < 0.4:
            self.durable += bytes(max(0, len(self.data) - len(self.durable)))
        elif fate < 0.7:
            for start, end in self.dirty:
                for at in range(start, min(end, len(self.data)), _BLOCK_BYTES):
                    until = min(at + _BLOCK_BYTES, end)
                    if chance.random() < 0.7:
                        self.durable += bytes(max(0, until - len(self.durable)))
                        self.durable[at:until] = self.data[at:until]
        self.data = bytearray(self.durable)
        self.dirty.clear()


class Disk:
    """The disk of one node; the same for all its processes."""

    def __init__(self, chance: Random, now_s: Callable[[], float], first: int) -> None:
        self.chance = chance
        self.now_s = now_s
        self.files: dict[str, File] = {}
        self.folders: set[str] = {"/"}
        self.state = WORKS
        self.open: dict[int, tuple[File | None, str, Process | None]] = {}
        # Descriptors are told apart over all disks.
        self._next = first

    def fault(self) -> None:
        if self.state == FULL:
            raise OSError(errno.ENOSPC, "no space left")
        if self.state == BROKEN:
            raise OSError(errno.EIO, "input/output error")

    def make(self, path: str) -> File:
        self.fault()
        self._next += 1
        made = self.files[path] = File(self._next, self.now_s())
        return made

    def descriptor(self, file: File | None, path: str) -> int:
        self._next += 1
        self.open[self._next] = (file, path, CURRENT.get())
        return self._next

    def let_go(self, process: Process) -> None:
        """A process is gone: its descriptors are closed and its locks are free."""
        for number, (file, _, owner) in list(self.open.items()):
            if owner is process:
                del self.open[number]
                if file is not None and file.locked_by is process:
                    file.locked_by = None

    def lose_power(self) -> None:
        """What was not synced is lost, or torn."""
        for path, file in list(self.files.items()):
            if not file.named and self.now_s() - file.made_s < NAMED_AFTER_S:
                del self.files[path]
                continue
            file.lose_power(self.chance)
        self.state = WORKS

    def below(self, folder: str) -> list[str]:
        """The names directly in a folder."""
        start = folder.rstrip("/") + "/"
        names = {
            p[len(start) :].split("/")[0]
            for p in (*self.files, *self.folders)
            if p.startswith(start)
        }
        return sorted(name for name in names if name)


class SimPath:
    """As much of a Path as the spool uses."""

    def __init__(self, disk: Disk, path: str) -> None:
        self.disk = disk
        self.path = path

    def __truediv__(self, name: str) -> "SimPath":
        return SimPath(self.disk, f"{self.path.rstrip('/')}/{name}")

    def __lt__(self, other: "SimPath") -> bool:
        return self.path < other.path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimPath) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __str__(self) -> str:
        return self.path

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name

    @property
    def parent(self) -> "SimPath":
        return SimPath(self.disk, self.path.rpartition("/")[0] or "/")

    def with_name(self, name: str) -> "SimPath":
        return self.parent / name

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        parts = self.path.split("/")
        self.disk.folders |= {"/".join(parts[: n + 1]) for n in range(1, len(parts))}

    def exists(self) -> bool:
        return self.path in self.disk.files or self.is_dir()

    def is_dir(self) -> bool:
        return self.path in self.disk.folders

    def iterdir(self) -> "Iterator[SimPath]":
        return iter([self / name for name in self.disk.below(self.path)])

    def glob(self, pattern: str) -> "list[SimPath]":
        ending = pattern.rpartition("*")[2]
        return [each for each in self.iterdir() if each.path.endswith(ending)]

    def stat(self) -> Any:
        file = self._file()
        return SimpleNamespace(
            st_size=len(file.data), st_ino=file.number, st_dev=1, st_mtime=file.made_s
        )

    def read_bytes(self) -> bytes:
        return bytes(self._file().data)

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding, "replace")

    def open(self, mode: str = "r") -> Any:
        if mode == "ab":
            self.disk.files.setdefault(self.path, File(0, self.disk.now_s()))
            return _Appended(self._file())
        return io.BytesIO(self.read_bytes())

    def rename(self, target: "SimPath") -> "SimPath":
        self.disk.files[target.path] = self.disk.files.pop(self.path)
        return target

    def unlink(self, missing_ok: bool = False) -> None:
        if self.disk.files.pop(self.path, None) is None and not missing_ok:
            raise FileNotFoundError(self.path)

    def _file(self) -> File:
        try:
            return self.disk.files[self.path]
        except KeyError:
            raise FileNotFoundError(self.path) from None


class _Appended(io.BytesIO):
    def __init__(self, file: File) -> None:
        super().__init__()
        self._into = file

    def close(self) -> None:
        if not self.closed:
            self._into.put(len(self._into.data), self.getvalue())
        super().close()
