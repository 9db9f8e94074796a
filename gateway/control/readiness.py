"""Whether requests can be answered: both stores, and the disk that outcomes go to.

Refuses to call a node ready that could only refuse, and one not ready for a single lost store.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.errors import Fault, RedisUnavailable
from gateway.telemetry import Telemetry
from gateway.telemetry.snapshots import read

OK: Final = "ok"
DEGRADED: Final = "degraded"
NOT_READY: Final = "not ready"
# Probes come from several sides; the stores need not be asked more often than this.
_FRESH_S: Final = 0.5
# Below the second that a prober commonly waits.
_POSTGRES_MS: Final = 800
Ask = Callable[[], Awaitable[object]]


class Link(Protocol):
    """The link to Redis, as far as it can be probed."""

    @property
    def is_up(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def masters(self) -> Sequence[Any]: ...
    def call_at(self, node: Any, *words: str) -> Awaitable[object]:
        """Sends a command to one server."""


class Pool(Protocol):
    """The pool of PostgreSQL, as far as it can be probed."""

    async def value(self, sql: str, *, deadline_ms: int) -> object:
        """The first value that a statement answers."""


def stores(link: Link, pool: Pool) -> Mapping[str, Ask]:
    """How each store is asked whether it is there; a frozen one does not answer in time."""

    async def redis() -> None:
        if not link.is_up:
            raise RedisUnavailable(link.reason)
        await asyncio.gather(*(link.call_at(node, "PING") for node in link.masters))

    return {
        "redis": redis,
        "postgres": lambda: pool.value("select 1", deadline_ms=_POSTGRES_MS),
    }


@dataclass(frozen=True, slots=True)
class SpoolState:
    """How many gateway processes run, and how many of them cannot make outcomes durable."""

    running: int
    failing: int

    @property
    def why_not(self) -> str:
        """`ok`, or what is wrong."""
        if not self.running:
            return "no gateway process runs"
        if self.failing:
            return f"{self.failing} of {self.running} gateway processes take no outcomes"
        return OK


@dataclass(frozen=True, slots=True)
class Ready:
    """`status` is ok, degraded or not ready; `reasons` names each part with ok or why not."""

    status: str
    reasons: Mapping[str, str]

    @property
    def http_status(self) -> int:
        """503 only when nothing could be let in."""
        return 503 if self.status == NOT_READY else 200

    def document(self) -> dict[str, str]:
        """As it is shown to an operator."""
        return {"status": self.status, **self.reasons}


class Readiness:
    """Asks `stores` (each raises a Fault when it is away) and looks at the spools."""

    def __init__(self, stores: Mapping[str, Ask], spools: Callable[[], SpoolState]) -> None:
        self._stores = stores
        self._spools = spools
        self._lock = asyncio.Lock()
        self._known: tuple[float, Ready] | None = None
        self._leaving = False

    def leave(self) -> None:
        """From now on not ready, whatever else is so: whoever sends us clients shall stop."""
        self._leaving = True

    async def look(self) -> Ready:
        """The state, at most half a second old."""
        if self._leaving:
            return Ready(NOT_READY, {"node": "is stopping"})
        async with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > _FRESH_S:
                found = await self._look()
                self._known = (time.monotonic(), found)
            return self._known[1]

    async def _look(self) -> Ready:
        answers = await asyncio.gather(*(_state(ask) for ask in self._stores.values()))
        reasons = dict(zip(self._stores, answers, strict=True))
        spools = self._spools()
        away = sum(state != OK for state in answers)
        if away == len(answers) or spools.failing >= spools.running:
            status = NOT_READY
        else:
            status = DEGRADED if away or spools.failing else OK
        return Ready(status, {**reasons, "spool": spools.why_not})


async def _state(ask: Ask) -> str:
    try:
        await ask()
    except Fault as fault:
        return str(fault) or "unavailable"
    return OK


def spools_of_machine(own: Telemetry, folder: Path, own_name: str) -> SpoolState:
    """The gateway processes that share the folder of metrics; one that is silent is failing."""
    running = int(own.gateways.value)
    failing = int(own.spool_failing.value)
    for snapshot in read(folder, own_name):
        if not _level(snapshot.levels, "sluice_gateways"):
            continue
        running += 1
        failing += 1 if snapshot.silent else _level(snapshot.levels, "sluice_spool_failing")
    return SpoolState(running, failing)


def _level(levels: Mapping[str, Mapping[str, list[float]]], name: str) -> int:
    return int(sum(numbers[0] for numbers in levels.get(name, {}).values()))
