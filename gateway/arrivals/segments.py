"""Segments of the arrival log on disk: a thread writes them, one an hour, and keeps them bounded.

Refuses to retry, to wait and to raise: a block that the disk does not take is counted as lost, and
the next one goes to another file. Refuses the last of the disk, which is for what is charged.
"""

import os
import queue
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.arrivals.form import Block, packed
from gateway.telemetry import Telemetry
from gateway.units import MIB

SUFFIX: Final = ".arrivals"
_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_SEGMENT_BYTES: Final = 16 * MIB
_MOST_BLOCKS: Final = 32
_LEAST_FREE_BYTES: Final = 512 * MIB
_FLAGS: Final = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Caps:
    """How much of it is kept on a machine; the oldest goes first."""

    total_bytes: int
    days: int
    least_free_bytes: int = _LEAST_FREE_BYTES


class SegmentWriter:
    """One thread, which does not keep the process from ending."""

    def __init__(self, folder: Path, name: str, caps: Caps, telemetry: Telemetry) -> None:
        self._folder = folder
        self._name = name
        self._caps = caps
        self._written = telemetry.arrivals.labels("written")
        self._lost = telemetry.arrivals.labels("lost")
        self._queue: queue.SimpleQueue[tuple[Block, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)
        self._fd: int | None = None
        self._hour = 0
        self._bytes = 0
        self._count = 0

    def start(self) -> None:
        """Once."""
        self._thread.start()

    def put(self, block: Block, count: int) -> bool:
        """Write it some time; False when so much waits that the disk must be away."""
        if self._queue.qsize() >= _MOST_BLOCKS:
            return False
        self._queue.put((block, count))
        return True

    def stop(self, wait_s: float) -> None:
        """Write what waits; a disk that hangs is left after `wait_s`."""
        self._queue.put(None)
        self._thread.join(wait_s)

    def _run(self) -> None:
        while True:
            told = self._queue.get()
            if told is None:
                break
            block, count = told
            try:
                self._write(packed(block))
                self._written.inc(count)
            except OSError:
                self._lost.inc(count)
                self._leave()
        self._leave()

    def _write(self, data: bytes) -> None:
        hour = int(time.time()) // _HOUR_S
        if self._fd is None or hour != self._hour or self._bytes >= _SEGMENT_BYTES:
            self._begin(hour)
        assert self._fd is not None
        if os.write(self._fd, data) != len(data):
            raise OSError("the disk is full")
        self._bytes += len(data)

    def _begin(self, hour: int) -> None:
        self._leave()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tidy(self._folder, self._caps)
        if shutil.disk_usage(self._folder).free < self._caps.least_free_bytes:
            raise OSError("the rest of the disk is for what is charged")
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self._count += 1
        path = self._folder / f"{moment}-{self._name}-{self._count}{SUFFIX}"
        self._fd = os.open(path, _FLAGS, 0o600)
        self._hour, self._bytes = hour, 0

    def _leave(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with suppress(OSError):
                os.close(fd)


def tidy(folder: Path, caps: Caps) -> None:
    """Remove what is too old, and the oldest until the rest fits; others may do so meanwhile."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(OSError):
            told = path.stat()
            found.append((told.st_mtime, told.st_size, path))
    found.sort(reverse=True)
    oldest_s, room = time.time() - caps.days * _DAY_S, caps.total_bytes - _SEGMENT_BYTES
    for changed_s, size, path in found:
        room -= size
        if room < 0 or changed_s < oldest_s:
            with suppress(OSError):
                path.unlink()
