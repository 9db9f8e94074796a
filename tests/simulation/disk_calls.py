"""What the spool calls beside `Path`: `os`, locks, `rmtree`, its writing thread and its queue."""

import errno
import os as real_os
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

from tests.simulation.clockwork import CURRENT, Process
from tests.simulation.disk import WORKS, Disk, File, SimPath


class SimOs:
    """The calls of `os` that the spool makes, on the disk of the path or descriptor."""

    def __init__(self, disks: Callable[[], list[Disk]], chance: Callable[[], Random]) -> None:
        self._disks = disks
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        return getattr(real_os, name)

    def urandom(self, size: int) -> bytes:
        return self._chance().randbytes(size)

    def getpid(self) -> int:
        return 1

    def open(self, path: SimPath, flags: int, mode: int = 0o777) -> int:
        disk = path.disk
        if path.is_dir():
            return disk.descriptor(None, path.path)
        if path.path not in disk.files:
            if not flags & real_os.O_CREAT:
                raise FileNotFoundError(path.path)
            disk.make(path.path)
        elif flags & real_os.O_EXCL:
            raise FileExistsError(path.path)
        return disk.descriptor(disk.files[path.path], path.path)

    def _of(self, fd: int) -> tuple[Disk, File | None, str]:
        for disk in self._disks():
            if fd in disk.open:
                file, path, _ = disk.open[fd]
                return disk, file, path
        raise OSError(errno.EBADF, "bad descriptor")

    def close(self, fd: int) -> None:
        disk, file, _ = self._of(fd)
        owner = disk.open.pop(fd)[2]
        if file is not None and file.locked_by is owner:
            file.locked_by = None

    def write(self, fd: int, data: bytes) -> int:
        file = self._of(fd)[1]
        assert file is not None
        return self.pwritev(fd, [data], len(file.data))

    def pwritev(self, fd: int, parts: Sequence[bytes], offset: int, flags: int = 0) -> int:
        disk, file, _ = self._of(fd)
        assert file is not None
        data = b"".join(parts)
        if disk.state != WORKS and disk.chance.random() < 0.5:
            # Some of it still found room.
            data = data[: disk.chance.randint(0, len(data) - 1)]
        else:
            disk.fault()
        file.put(offset, data)
        if flags:
            file.sync_last()
        return len(data)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        disk, file, _ = self._of(fd)
        assert file is not None
        disk.fault()
        file.put(offset, data)
        return len(data)

    def fdatasync(self, fd: int) -> None:
        disk, file, _ = self._of(fd)
        disk.fault()
        assert file is not None
        file.sync()

    def fsync(self, fd: int) -> None:
        disk, file, path = self._of(fd)
        disk.fault()
        if file is not None:
            file.sync()
            return
        for name in disk.below(path):
            found = disk.files.get(f"{path.rstrip('/')}/{name}")
            if found is not None:
                found.named = True

    def ftruncate(self, fd: int, size: int) -> None:
        disk, file, _ = self._of(fd)
        assert file is not None
        disk.fault()
        file.cut(size)

    def fstat(self, fd: int) -> Any:
        file = self._of(fd)[1]
        assert file is not None
        return SimpleNamespace(st_size=len(file.data), st_ino=file.number, st_dev=1)

    def link(self, source: SimPath, target: SimPath) -> None:
        if target.path in target.disk.files:
            raise FileExistsError(target.path)
        target.disk.files[target.path] = source.disk.files[source.path]

    def scandir(self, folder: SimPath) -> Any:
        """Entries with a name and a path, as far as the journal of revocations looks."""
        if not folder.is_dir():
            raise FileNotFoundError(folder.path)
        return [
            SimpleNamespace(name=each.name, path=each, stat=each.stat) for each in folder.iterdir()
        ]

    def unlink(self, path: SimPath) -> None:
        path.unlink()

    def flock(self, fd: int, how: int) -> None:
        file = self._of(fd)[1]
        assert file is not None
        if file.locked_by is not None and file.locked_by.alive:
            raise BlockingIOError(errno.EAGAIN, "locked")
        file.locked_by = CURRENT.get()


def sim_rmtree(folder: SimPath) -> None:
    """What `shutil.rmtree` does."""
    disk, start = folder.disk, folder.path + "/"
    for path in [p for p in disk.files if p.startswith(start)]:
        del disk.files[path]
    disk.folders.discard(folder.path)


class Parked(BaseException):
    """The writing thread waits for work."""


class SimQueue:
    """What hands work to the thread: each item is worked off a moment later, in one step."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.thread: SimThread | None = None
        self.process = _running()
        self.process.queues.append(self)

    def put(self, item: Any) -> None:
        self.items.append(item)
        world = self.process.world
        at_s = world.loop.now_s + world.disk_delay_s(self.process.node)
        world.loop.call_at(at_s, self.work, context=self.process.context)

    def get(self) -> Any:
        if not self.items:
            raise Parked
        return self.items.pop(0)

    def work(self) -> None:
        """One round of the thread."""
        if self.items and self.thread is not None:
            self.thread.run()


class SimThread:
    """Runs its target until it would wait; `join` finds it at its end."""

    def __init__(self, target: Callable[[], None], **_: Any) -> None:
        self._target = target

    def start(self) -> None:
        for queue in _running().queues:
            if queue.thread is None:
                queue.thread = self

    def run(self) -> None:
        try:
            self._target()
        except Parked:
            return

    def join(self, timeout: float | None = None) -> None:
        """It works in steps, so it is never in the middle of one."""


def _running() -> Process:
    process = CURRENT.get()
    assert process is not None, "a spool belongs to a process"
    return process
