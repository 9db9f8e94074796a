"""The spool of one process: outcomes made durable in groups before the client's last byte.

Refuses to retry a failed fsync on the same file: the group fails, a new segment is begun.

One thread writes; the event loop hands it one group at a time, so that everything that arrives
while the disk works forms the next group. Appending never waits; awaiting the returned future does.
"""

import asyncio
import os
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from gateway.admission.ask import Settlement
from gateway.errors import SpoolUnavailable
from gateway.metering.event import voided
from gateway.metering.outcomes import Outcome
from gateway.metering.spool_files import (
    NOWHERE,
    Position,
    encode_frame,
    lock,
    segment_path,
    write_cursor,
)
from gateway.units import MIB

# Beyond this many outcomes in memory (some 60 MB) the shipper reads them back from the files.
MAX_IN_MEMORY: Final = 50_000
# After a failed write nothing is admitted; one try a second finds out when the disk works again.
_RETRY_S: Final = 1.0


@dataclass(slots=True)
class Ticket:
    """One appended outcome: its bytes, its number, and what the shipper hands back when posted."""

    event: bytes
    admission_no: int
    settlement: Settlement
    durable: asyncio.Future[None]


@dataclass(slots=True)
class Group:
    """What is written and synced together."""

    tickets: list[Ticket]
    delivered: list[int]
    end: Position = NOWHERE
    failure: OSError | None = None
    durable_s: float = 0.0


@dataclass(slots=True)
class _Pending:
    tickets: list[Ticket] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)


class Spool:
    """Append-only outcomes of one instance; `append` from the event loop's thread only."""

    def __init__(self, root: Path, instance: str, *, segment_bytes: int = 64 * MIB) -> None:
        self.directory = root / instance
        self.directory.mkdir(parents=True, exist_ok=True)
        owned = lock(self.directory)
        if owned is None:
            raise SpoolUnavailable(f"the spool of {instance} is in use by another process")
        self._lock_fd = owned
        self._cursor_fd = os.open(self.directory / "cursor", os.O_CREAT | os.O_WRONLY, 0o600)
        self._loop = asyncio.get_running_loop()
        self._segment_bytes = segment_bytes
        self._pending = _Pending()
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._outstanding: dict[int, str] = {}
        self.ready: deque[Group] = deque()
        self.ready_count = 0
        self.spilled = False
        self.healthy = True
        self.durable_end = Position(1, 0)
        self.shipped_end = Position(1, 0)
        self._work: SimpleQueue[Group | None] = SimpleQueue()
        self._writer = _Writer(self.directory, segment_bytes)
        self._thread = threading.Thread(target=self._write_groups, name="spool", daemon=True)
        self._thread.start()

    def append(
        self, event: bytes, admission_no: int, settlement: Settlement
    ) -> asyncio.Future[None]:
        """Take one outcome; the future is done when it is durable.

        It raises SpoolUnavailable when the disk did not take it. Cancelling the waiter does not
        take the outcome back.
        """
        ticket = Ticket(event, admission_no, settlement, self._loop.create_future())
        self._pending.tickets.append(ticket)
        self._outstanding[admission_no] = settlement.request_id
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._hand_over)
        return ticket.durable

    def delivered(self, admission_no: int) -> None:
        """The last byte was handed over; the mark rides with the next group."""
        self._pending.delivered.append(admission_no)
        self._outstanding.pop(admission_no, None)

    def flush_marks(self) -> None:
        """Write delivery marks that no group has taken along yet."""
        if not self._busy and self._pending.delivered:
            self._busy = True
            self._hand_over()

    @property
    def depth(self) -> int:
        """Outcomes that wait in memory for the shipper; unknown parts on disk count once."""
        return self.ready_count + len(self._pending.tickets) + (1 if self.spilled else 0)

    def posted(self, end: Position) -> None:
        """Everything up to `end` is in the ledger: forget it, drop whole segments behind it."""
        while self.ready and self.ready[0].end <= end:
            self.ready_count -= len(self.ready.popleft().tickets)
        if end.segment > self.shipped_end.segment:
            for number in range(self.shipped_end.segment, end.segment):
                segment_path(self.directory, number).unlink(missing_ok=True)
        self.shipped_end = end
        write_cursor(self._cursor_fd, end)

    def _hand_over(self) -> None:
        self._idle.clear()
        pending, self._pending = self._pending, _Pending()
        self._work.put(Group(pending.tickets, pending.delivered))

    def _write_groups(self) -> None:
        while (group := self._work.get()) is not None:
            self._writer.write(group, self._outstanding)
            self._loop.call_soon_threadsafe(self._written, group)

    def _written(self, group: Group) -> None:
        self.healthy = group.failure is None
        if group.failure is not None:
            self._fail(group)
            return
        self._publish(group)
        if self._pending.tickets:
            self._hand_over()
        else:
            self._busy = False
            self._idle.set()

    def _publish(self, group: Group) -> None:
        self.durable_end = group.end
        group.durable_s = self._loop.time()
        if self.ready_count >= MAX_IN_MEMORY:
            self.spilled = True
        if not self.spilled:
            self.ready.append(group)
            self.ready_count += len(group.tickets)
        for ticket in group.tickets:
            if not ticket.durable.done():
                ticket.durable.set_result(None)

    def _fail(self, group: Group) -> None:
        """The clients are told, so these outcomes become voids; they are written when it works."""
        text = f"the spool did not take an outcome: {group.failure}"
        for ticket in group.tickets:
            ticket.event = voided(ticket.event, Outcome.GATEWAY_FAILED.value)
            if not ticket.durable.done():
                ticket.durable.set_exception(SpoolUnavailable(text))
                ticket.durable.exception()  # a waiter that left must not be reported as a leak
        self._pending.tickets[:0] = group.tickets
        self._pending.delivered[:0] = group.delivered
        self._loop.call_later(_RETRY_S, self._hand_over)

    async def close(self) -> None:
        """Write what is pending, stop the thread, give the directory up; call it once."""
        await asyncio.sleep(0)  # a hand-over that append() scheduled runs first
        await self._idle.wait()
        self.flush_marks()
        await self._idle.wait()
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)
        self._writer.close()
        if self.shipped_end == self.durable_end and not self._outstanding:
            segment_path(self.directory, self.durable_end.segment).unlink(missing_ok=True)
            (self.directory / "cursor").unlink(missing_ok=True)
            (self.directory / "lock").unlink(missing_ok=True)
            self.directory.rmdir()
        os.close(self._cursor_fd)
        os.close(self._lock_fd)


class _Writer:
    """The writing thread's side: one open segment."""

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._number = 0
        self._fd: int | None = None
        self._offset = 0

    def write(self, group: Group, outstanding: dict[int, str]) -> None:
        """Append and sync one group; its `end` or its `failure` is set."""
        try:
            carried: list[tuple[int, str]] = []
            if self._fd is None or self._offset >= self._segment_bytes:
                self._begin_segment()
                carried = sorted(outstanding.copy().items())
            assert self._fd is not None
            frame = encode_frame([t.event for t in group.tickets], group.delivered, carried)
            written = os.write(self._fd, frame)
            if written != len(frame):
                raise OSError(28, "the disk is full")
            if group.tickets:
                # Marks alone need no sync: they must outlive the process, not the machine.
                os.fdatasync(self._fd)
            self._offset += written
            group.end = Position(self._number, self._offset)
        except OSError as error:
            group.failure = error
            self._abandon_segment()

    def _begin_segment(self) -> None:
        self.close()
        self._number += 1
        path = segment_path(self._directory, self._number)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._offset = 0
        directory_fd = os.open(self._directory, os.O_RDONLY)
        os.fsync(directory_fd)
        os.close(directory_fd)

    def _abandon_segment(self) -> None:
        if self._fd is not None:
            # What of the failed group reached the file must not be read back as durable.
            try:
                os.ftruncate(self._fd, self._offset)
            except OSError:
                self._offset = 0
        self.close()

    def close(self) -> None:
        """Close the open segment, if any."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
