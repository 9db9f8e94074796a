"""What no counter can see from where it stands: sampled twice a second, then told to the others.

Refuses to fail when the disk does not take the numbers: the next sample tries again, and who reads
them sees that this process is silent.
"""

import asyncio
import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from gateway.conditions import CONDITIONS, Conditions
from gateway.metering.spool import Spool
from gateway.metering.spool_files import segment_path
from gateway.telemetry import Telemetry
from gateway.telemetry.snapshots import Publisher
from gateway.units import MS_PER_S

_LOG = logging.getLogger("sluice.vitals")
EVERY_MS: Final = 500
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class LinkCounters(Protocol):
    """What the link to Redis counts by itself."""

    @property
    def round_trips(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def restarts(self) -> int: ...


class QueryCounter(Protocol):
    """What the pool of PostgreSQL counts by itself."""

    queries: int


class Vitals:
    """Samples and publishes for one process; a gateway process also has its spool watched."""

    def __init__(
        self,
        telemetry: Telemetry,
        publisher: Publisher,
        link: LinkCounters,
        postgres: QueryCounter,
        data_dir: Path,
        conditions: Conditions | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._publisher = publisher
        self._link = link
        self._postgres = postgres
        self._data_dir = data_dir
        self._conditions = conditions or Conditions()
        self._due_s: float | None = None
        self._spool: Spool | None = None
        self._told = True

    def watch(self, spool: Spool | None) -> None:
        """This process is a gateway with this spool from now on; None: no more."""
        self._spool = spool
        self.publish()

    async def run_once(self) -> int:
        """One sample, published; 0."""
        now_s = asyncio.get_running_loop().time
        if self._due_s is not None:
            self._telemetry.loop_lag.observe(max(0.0, now_s() - self._due_s))
        self._sample()
        # Beside the loop: a disk that is busy lets a rename wait for seconds.
        await asyncio.to_thread(self._tell, *self._content())
        self._due_s = now_s() + EVERY_MS / MS_PER_S
        return 0

    def publish(self) -> None:
        """Sample, and tell the other processes."""
        self._sample()
        self._tell(*self._content())

    def _content(self) -> tuple[int, bytes]:
        told = self._telemetry
        return self._publisher.prepare(told.counts(), told.standings(), told.newest())

    def _tell(self, number: int, content: bytes) -> None:
        try:
            self._publisher.tell(number, content)
        except OSError as error:
            if self._told:
                _LOG.warning("the metrics cannot be written: %s", error)
            self._told = False
        else:
            self._told = True

    def _sample(self) -> None:
        telemetry = self._telemetry
        telemetry.redis_round_trips.total(self._link.round_trips)
        telemetry.redis_failures.total(self._link.failures)
        telemetry.redis_restarts.total(self._link.restarts)
        telemetry.postgres_queries.total(self._postgres.queries)
        spool = self._spool
        telemetry.gateways.set(0 if spool is None else 1)
        telemetry.spool_depth.set(0 if spool is None else spool.depth)
        telemetry.spool_bytes.set(0 if spool is None else unposted_bytes(spool))
        telemetry.spool_failing.set(0 if spool is None or spool.healthy else 1)
        now = self._conditions.now()
        for name in CONDITIONS:
            telemetry.conditions.labels(name).set(int(name in now))
        self._sample_machine()

    def _sample_machine(self) -> None:
        telemetry = self._telemetry
        telemetry.cpu.total(time.process_time())
        with suppress(OSError):
            # Until the first spool there may be no such folder.
            disk = shutil.disk_usage(self._data_dir)
            now_s = time.time()
            telemetry.disk_free.labels().set(disk.free, now_s)
            telemetry.disk_size.labels().set(disk.total, now_s)
        with suppress(OSError):
            pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
            telemetry.memory.set(int(pages) * _PAGE_BYTES)


def unposted_bytes(spool: Spool) -> int:
    """Bytes of the spool between what is posted and what is durable."""
    start, end = spool.shipped_end, spool.durable_end
    size = end.offset - start.offset
    for number in range(start.segment, end.segment):
        try:
            size += segment_path(spool.directory, number).stat().st_size
        except FileNotFoundError:
            # Posted and dropped since, or never begun.
            continue
    return max(0, size)
