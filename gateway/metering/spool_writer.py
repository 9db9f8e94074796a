"""The writing thread's side of a spool: one open segment, each group written and synced at once.

Refuses to retry a failed write or fsync on the same file: what of it reached the disk is unknown,
so the segment is left, and the next one tells how far it counts.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.metering.spool_files import (
    NOWHERE,
    Position,
    encode_frame,
    encode_opening,
    segment_path,
    sync_folder,
)

_FLAGS: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


class SpoolWriter:
    """Segments of one spool, from 1 upwards. One thread at a time."""

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._fd: int | None = None
        self._number = 0
        self._offset = 0
        self._synced = NOWHERE
        self.syncs = 0

    @property
    def begins_segment(self) -> bool:
        """Whether the next group is the first one of a segment."""
        return self._fd is None or self._offset >= self._segment_bytes

    def write(
        self,
        events: Sequence[bytes],
        delivered: Sequence[int],
        carried: Sequence[tuple[int, str]],
    ) -> Position:
        """Append one group, durable when this returns; raises OSError, and then none of it counts.

        `carried` are the charges before this group that are still not delivered.
        """
        try:
            opening = b""
            if self.begins_segment:
                self._begin_segment()
                opening = encode_opening(carried, self._synced)
            assert self._fd is not None
            frame = encode_frame(events, delivered, opening)
            written = os.write(self._fd, frame)
            if written != len(frame):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if events or opening:
                # Marks alone need no sync: they must outlive the process, not the machine.
                self._sync(self._offset + written)
        except OSError:
            self._leave_segment()
            raise
        self._offset += written
        return Position(self._number, self._offset)

    def close(self) -> None:
        """Close the open segment, if any."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _begin_segment(self) -> None:
        if self._fd is not None and self._synced.offset < self._offset:
            # Marks at its end, which count only if they are synced.
            self._sync(self._offset)
        self.close()
        self._number += 1
        self._offset = 0
        self._fd = os.open(segment_path(self._directory, self._number), _FLAGS, 0o600)
        sync_folder(self._directory)

    def _sync(self, offset: int) -> None:
        assert self._fd is not None
        self.syncs += 1
        os.fdatasync(self._fd)
        self._synced = Position(self._number, offset)

    def _leave_segment(self) -> None:
        """Cut off what of the failed group reached the file; its successor says so as well."""
        if self._fd is not None:
            # If even that fails, only the successor says it.
            with suppress(OSError):
                os.ftruncate(self._fd, self._offset)
        self.close()
