"""What `make soak` looks at while it runs: memory, descriptors, threads, spools, stores.

Slopes are least squares over the second part of a run, when everything is warm. Refuses to judge
a slope over a part that is too short to tell a leak from a breath.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from gateway.redis_link import RedisLink

MOST_BYTES_PER_10_MIN: Final = 1_000_000
# Connections come and go with the load; a leak of one in a minute shows.
MOST_DESCRIPTORS_PER_10_MIN: Final = 10.0
JUDGED_FROM_S: Final = 600.0
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TEN_MIN_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Look:
    """One process at one moment."""

    at_s: float
    resident_bytes: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class StoreLook:
    """Spools and stores at one moment."""

    at_s: float
    spool_bytes: int
    redis_bytes: int
    redis_keys: int
    postgres_bytes: int


def slope_per_s(points: Sequence[tuple[float, float]]) -> float:
    """The least-squares slope of y over x; 0 where it cannot be told."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


@dataclass(frozen=True, slots=True)
class Trend:
    """How one process changed in the second part; slopes are per 10 minutes."""

    name: str
    first_bytes: int
    last_bytes: int
    most_bytes: int
    bytes_per_10_min: float
    descriptors_per_10_min: float
    last_descriptors: int
    last_threads: int
    seconds: float

    @property
    def judged(self) -> bool:
        """Whether the part was long enough."""
        return self.seconds >= JUDGED_FROM_S

    @property
    def steady(self) -> bool:
        """Whether both slopes are within their bounds."""
        return (
            self.bytes_per_10_min < MOST_BYTES_PER_10_MIN
            and self.descriptors_per_10_min < MOST_DESCRIPTORS_PER_10_MIN
        )


def trend_of(name: str, looks: Sequence[Look]) -> Trend:
    """The trend over the second half of the looks, of which there is at least one."""
    half_s = (looks[0].at_s + looks[-1].at_s) / 2
    second = [look for look in looks if look.at_s >= half_s]
    memory = slope_per_s([(look.at_s, look.resident_bytes) for look in second])
    files = slope_per_s([(look.at_s, look.descriptors) for look in second])
    return Trend(
        name,
        looks[0].resident_bytes,
        looks[-1].resident_bytes,
        max(look.resident_bytes for look in looks),
        memory * _TEN_MIN_S,
        files * _TEN_MIN_S,
        looks[-1].descriptors,
        looks[-1].threads,
        second[-1].at_s - second[0].at_s,
    )


def look_at(pid: int, at_s: float) -> Look:
    """A process now; raises FileNotFoundError or ProcessLookupError when it has ended."""
    base = Path(f"/proc/{pid}")
    pages = int((base / "statm").read_text().split()[1])
    return Look(
        at_s,
        pages * _PAGE,
        len(os.listdir(base / "fd")),
        len(os.listdir(base / "task")),
    )


def bytes_below(folder: Path) -> int:
    """The size of all files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


@dataclass
class Watch:
    """Looks at named processes and at the stores every few seconds."""

    pids: dict[str, int]
    spools: Path
    database_url: str
    redis_url: str
    every_s: float
    began_s: float = field(default_factory=time.monotonic)
    looks: dict[str, list[Look]] = field(default_factory=dict)
    stores: list[StoreLook] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Until it is cancelled."""
        link = RedisLink(self.redis_url, deadline_ms=5_000)
        await link.open()
        line = await asyncpg.connect(self.database_url, ssl=False)
        try:
            while True:
                await self._look(link, line)
                await asyncio.sleep(self.every_s)
        finally:
            await line.close()
            await link.close()

    async def _look(self, link: RedisLink, line: "asyncpg.Connection[asyncpg.Record]") -> None:
        at_s = time.monotonic() - self.began_s
        for name, pid in self.pids.items():
            try:
                self.looks.setdefault(name, []).append(look_at(pid, at_s))
            except (FileNotFoundError, ProcessLookupError):
                if name not in self.ended:
                    self.ended.append(name)
        told, keys = await link.call(None, "INFO", "memory"), await link.call(None, "DBSIZE")
        assert isinstance(told, bytes)
        assert isinstance(keys, int)
        text = told.decode()
        used = next(row for row in text.split("\r\n") if row.startswith("used_memory:"))
        size = await line.fetchval("select pg_database_size(current_database())")
        spool_bytes = await asyncio.to_thread(bytes_below, self.spools)
        self.stores.append(StoreLook(at_s, spool_bytes, int(used.split(":")[1]), keys, int(size)))

    def trends(self) -> list[Trend]:
        """Of every process that was seen."""
        return [trend_of(name, looks) for name, looks in self.looks.items()]
