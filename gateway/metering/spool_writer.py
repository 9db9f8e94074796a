"""The writing thread's side of a spool: one open segment, each group written and synced at once.

A segment has zeros ahead of what is written, and groups overwrite them: an append would move the
end of the file, so that each sync would wait for the file system's journal as well (twice the time,
twice the CPU). The price: of what no sync has reached, a power cut may keep the later and lose the
earlier. Such a frame says how far the disk was sure when it was written, see `spool_files`.

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
    encode_after,
    encode_frame,
    encode_opening,
    segment_path,
    sync_folder,
)
from gateway.units import KIB

_FLAGS: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
# Some thousand outcomes; written at once they hold a group up for a millisecond or two.
AHEAD_BYTES: Final = 256 * KIB
# Write through to the disk; where the system has no such call, each group is synced by another.
_THROUGH: Final[int] = getattr(os, "RWF_DSYNC", 0)
_NOT_KNOWN: Final = frozenset((errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))


class SpoolWriter:
    """Segments of one spool, from 1 upwards. One thread at a time."""

    def __init__(self, directory: Path, segment_bytes: int, ahead_bytes: int = AHEAD_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._zeros = memoryview(bytes(ahead_bytes))
        self._through = _THROUGH
        self._filled = 0
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
            elif self._synced.offset < self._offset:
                opening = encode_after(self._synced)
            # Marks alone need no sync: they must outlive the process, not the machine.
            lasting = bool(events) or self._offset == 0
            end = self._put(encode_frame(events, delivered, opening), lasting=lasting)
        except OSError:
            self._leave_segment()
            raise
        self._offset = end
        return Position(self._number, end)

    def close(self) -> None:
        """Close the open segment, if any, without what was kept ready ahead."""
        if self._fd is not None:
            # What is left of the zeros is read as the end.
            with suppress(OSError):
                os.ftruncate(self._fd, self._offset)
            os.close(self._fd)
            self._fd = None

    def _put(self, frame: bytes, *, lasting: bool) -> int:
        """Write behind what is there, and zeros ahead where none are left; where the frame ends.

        Durable if `lasting`; in one call where nothing but the frame is to be synced: this thread
        takes turns with the event loop's at each call of the kernel.
        """
        assert self._fd is not None
        end = self._offset + len(frame)
        through = 0
        if end <= self._filled:
            through = self._through if lasting and self._synced.offset == self._offset else 0
            written, through = self._overwrite(frame, through)
        else:
            ahead = self._zeros[: max(0, self._segment_bytes - end)]
            written = os.pwritev(self._fd, (frame, ahead), self._offset)
            # On a disk that is nearly full the frame may have found room and the zeros not.
            self._filled = self._offset + written
        if written < len(frame):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if through:
            self.syncs += 1
            self._synced = Position(self._number, end)
        elif lasting:
            self._sync(end)
        return end

    def _overwrite(self, frame: bytes, through: int) -> tuple[int, int]:
        """How much was written, and whether it was written through."""
        assert self._fd is not None
        if through:
            try:
                return os.pwritev(self._fd, (frame,), self._offset, through), through
            except OSError as error:
                if error.errno not in _NOT_KNOWN:
                    raise
                # This kernel does not know how, and has written nothing.
                self._through = 0
        return os.pwritev(self._fd, (frame,), self._offset), 0

    def _begin_segment(self) -> None:
        if self._fd is not None and self._synced.offset < self._offset:
            # Marks at its end, which count only if they are synced.
            self._sync(self._offset)
        self.close()
        self._number += 1
        self._offset = self._filled = 0
        self._fd = os.open(segment_path(self._directory, self._number), _FLAGS, 0o600)
        sync_folder(self._directory)

    def _sync(self, offset: int) -> None:
        assert self._fd is not None
        self.syncs += 1
        os.fdatasync(self._fd)
        self._synced = Position(self._number, offset)

    def _leave_segment(self) -> None:
        """Cut off what of the failed group reached the file; its successor says so as well."""
        # If the cut fails, only the successor says it.
        self.close()
