"""The spool of one process: outcomes made durable in groups before the client's last byte.

1. `append` takes an outcome; everything that arrives while the disk works forms the next group.
2. One thread writes and syncs a group at a time; then the futures of its outcomes are done.
3. `delivered` marks follow with the next group, or alone after a moment.
4. The shipper takes groups from `ready`, in order, and tells how far it has `posted`.

The disk fails: the waiting clients are told, their outcomes become voids, nothing is admitted
(`healthy`), and the same voids are tried again on a new segment until the disk takes them.
Refuses to retry a failed fsync on the same file, and to wait for a broken disk at its end.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sized
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from shutil import rmtree
from typing import Final

from gateway.admission.ask import Settlement
from gateway.errors import SpoolUnavailable
from gateway.metering.event import voided
from gateway.metering.outcomes import Outcome
from gateway.metering.spool_files import (
    NOWHERE,
    Position,
    lock,
    segment_path,
    sync_folder,
    write_cursor,
)
from gateway.metering.spool_writer import SpoolWriter
from gateway.units import MIB

_LOG = logging.getLogger("sluice.spool")
# Beyond this many outcomes in memory (some 60 MB) the shipper reads them back from the files.
MAX_IN_MEMORY: Final = 50_000
# After a failed write nothing is admitted; one try a second finds out when the disk works again.
_RETRY_S: Final = 1.0
# What is delivered and not yet marked when the process is killed is given back: this bounds it.
MARK_WITHIN_S: Final = 0.02
# A sync costs 20 to 60 us of CPU and one switch of threads. While so many requests are under way,
# groups follow each other no faster than this: either outcomes come at a rate that makes it worth
# while, or requests take so long that it is nothing to them.
GATHER_S: Final = 0.001
MANY: Final = 8
# At the end a disk that fails is given this long; its outcomes then end as orphans.
_CLOSE_S: Final = 3.0


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

    tickets: list[Ticket] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    carried: list[tuple[int, str]] = field(default_factory=list)
    end: Position = NOWHERE
    failure: OSError | None = None
    durable_s: float = 0.0


def _told_nobody(_: Settlement) -> None:
    return


class Spool:
    """Append-only outcomes of one instance; all calls from the event loop's thread only.

    `depth`: outcomes that were appended and are not in the ledger yet.
    """

    def __init__(
        self,
        root: Path,
        instance: str,
        *,
        segment_bytes: int = 64 * MIB,
        max_in_memory: int = MAX_IN_MEMORY,
    ) -> None:
        self.directory = root / instance
        self.directory.mkdir(parents=True, exist_ok=True)
        owned = lock(self.directory, create=True)
        if owned is None:
            raise SpoolUnavailable(f"the spool of {instance} is in use by another process")
        self._lock_fd = owned
        self._cursor_fd = os.open(self.directory / "cursor", os.O_CREAT | os.O_WRONLY, 0o600)
        # Found again after a power cut, also before the first outcome: until somebody has adopted
        # it, the holds of a dead instance wait for an hour.
        sync_folder(self.directory)
        sync_folder(root)
        self._loop = asyncio.get_running_loop()
        self._max_in_memory = max_in_memory
        self._pending = Group()
        self._busy = False
        self._handed_s = 0.0
        # The requests whose outcomes are still to come.
        self.under_way: Sized = ()
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._marking: asyncio.TimerHandle | None = None
        self._outstanding: dict[int, str] = {}
        self._unposted = 0
        self.depth = 0
        self.ready: deque[Group] = deque()
        self._spilling = False
        self._file_end = NOWHERE
        self.healthy = True
        # Told of each outcome that the disk did not take and that will cost nothing therefore.
        self.voided: Callable[[Settlement], None] = _told_nobody
        self.durable_end = Position(1, 0)
        self.shipped_end = Position(1, 0)
        self._work: SimpleQueue[Group | None] = SimpleQueue()
        self._writer = SpoolWriter(self.directory, segment_bytes)
        self._thread = threading.Thread(target=self._write_groups, name="spool", daemon=True)
        self._thread.start()

    def append(
        self, event: bytes, admission_no: int, settlement: Settlement
    ) -> asyncio.Future[None]:
        """Take one outcome; the future is done when it is durable.

        It raises SpoolUnavailable when the disk did not take it. Cancelling the waiter does not
        take the outcome back. One that costs something stays outstanding until it is `delivered`.
        """
        ticket = Ticket(event, admission_no, settlement, self._loop.create_future())
        self._pending.tickets.append(ticket)
        self.depth += 1
        if settlement.cost_tokens:
            self._outstanding[admission_no] = settlement.request_id
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._hand_over_soon()
        return ticket.durable

    def delivered(self, admission_no: int) -> None:
        """Nothing is owed for this one: its last byte was handed over, or it was given back."""
        if self._outstanding.pop(admission_no, None) is None:
            return
        self._pending.delivered.append(admission_no)
        if self._marking is None:
            self._marking = self._loop.call_later(MARK_WITHIN_S, self._flush_marks)

    def is_behind(self, by_s: float) -> bool:
        """Whether something has been durable for longer than `by_s` and is not posted."""
        if self.read_until is not None:
            return True
        return bool(self.ready) and self._loop.time() - self.ready[0].durable_s > by_s

    @property
    def read_until(self) -> Position | None:
        """Set when what comes next is in the files only: it is to be read up to here."""
        if self.shipped_end >= self._file_end:
            return None
        return self._file_end if not self.ready or self.ready[0].end > self._file_end else None

    def posted(self, end: Position, outcomes: int) -> None:
        """All up to `end`, these `outcomes`, is in the ledger: drop whole segments behind it."""
        while self.ready and self.ready[0].end <= end:
            self.ready.popleft()
        self._unposted -= outcomes
        self.depth -= outcomes
        passed, self.shipped_end = range(self.shipped_end.segment, end.segment), end
        # A disk that fails here costs nothing: what is posted may be posted again.
        with suppress(OSError):
            for number in passed:
                segment_path(self.directory, number).unlink(missing_ok=True)
            write_cursor(self._cursor_fd, end)

    def _flush_marks(self) -> None:
        """Write delivery marks that no group has taken along yet."""
        self._marking = None
        if not self._busy and self._pending.delivered:
            self._busy = True
            self._idle.clear()
            self._hand_over()

    def _hand_over_soon(self) -> None:
        """With all that this round of the loop decides; where many come, with more of them."""
        wait_s = self._handed_s + GATHER_S - self._loop.time()
        if wait_s > 0 and len(self.under_way) >= MANY:
            self._loop.call_later(wait_s, self._hand_over)
        else:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        if self._closed:
            return
        self._handed_s = self._loop.time()
        group, self._pending = self._pending, Group()
        if self._writer.begins_segment:
            # The thread is idle now. What this group has itself is not before it.
            own = {ticket.admission_no for ticket in group.tickets}
            group.carried = [pair for pair in self._outstanding.items() if pair[0] not in own]
        self._work.put(group)

    def _write_groups(self) -> None:
        while (group := self._work.get()) is not None:
            try:
                events = [ticket.event for ticket in group.tickets]
                group.end = self._writer.write(events, group.delivered, group.carried)
            except OSError as error:
                group.failure = error
            self._loop.call_soon_threadsafe(self._written, group)
        # By whoever writes: a disk that hangs in a write would hold up whoever closes its file.
        self._writer.close()

    def _written(self, group: Group) -> None:
        if group.failure is not None:
            self._fail(group, group.failure)
            return
        self.healthy = True
        self._publish(group)
        if self._pending.tickets:
            self._hand_over_soon()
        else:
            self._busy = False
            self._idle.set()
            if self._pending.delivered and self._marking is None:
                self._marking = self._loop.call_later(MARK_WITHIN_S, self._flush_marks)

    def _publish(self, group: Group) -> None:
        self.durable_end = group.end
        group.durable_s = self._loop.time()
        if self._spilling and not self.ready and self._unposted <= self._max_in_memory // 2:
            self._spilling = False
        self._unposted += len(group.tickets)
        if self._unposted > self._max_in_memory:
            self._spilling = True
        if self._spilling:
            self._file_end = group.end
        else:
            self.ready.append(group)
        for ticket in group.tickets:
            if not ticket.durable.done():
                ticket.durable.set_result(None)

    def _fail(self, group: Group, error: OSError) -> None:
        """The clients are told, so these outcomes become voids; they are written when it works."""
        if self.healthy:
            _LOG.error("the disk does not take outcomes, nothing is admitted: %s", error)
        self.healthy = False
        for ticket in group.tickets:
            if not ticket.durable.done():
                ticket.durable.set_exception(SpoolUnavailable(f"the disk failed: {error}"))
                ticket.durable.exception()  # a waiter that left must not be reported as a leak
            self._make_void(ticket)
        self._pending.tickets[:0] = group.tickets
        self._pending.delivered[:0] = group.delivered
        self._loop.call_later(_RETRY_S, self._hand_over)

    def _make_void(self, ticket: Ticket) -> None:
        self._outstanding.pop(ticket.admission_no, None)
        ticket.event = voided(ticket.event, Outcome.GATEWAY_FAILED.value)
        told = ticket.settlement
        self.voided(told)
        actual_tpm = None if told.actual_tpm is None else 0
        ticket.settlement = replace(told, actual_tpm=actual_tpm, cost_tokens=0)

    async def close(self) -> None:
        """Write what is pending, stop the thread, give the directory up; call it once.

        A spool whose outcomes are all posted and delivered leaves nothing on disk.
        """
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._idle.wait()
                self._flush_marks()
                await self._idle.wait()
        except TimeoutError:
            _LOG.error("the disk did not take %d outcomes", len(self._pending.tickets))
        self._closed = True
        if self._marking is not None:
            self._marking.cancel()
        self._work.put(None)
        await asyncio.to_thread(self._thread.join, _CLOSE_S)
        if not self.depth and not self._outstanding:
            rmtree(self.directory)
        os.close(self._cursor_fd)
        os.close(self._lock_fd)
