"""Whether requests can be answered: both stores, the disk that outcomes go to, and what is told.

ok, or degraded with the names of what is (conditions.py), or not ready. Not ready is only what
could let nobody in: both stores away; PostgreSQL away and the disk nearly full; no gateway process
that takes outcomes; one that stops.

Refuses to call a node ready that could only refuse, and one not ready for a single lost store.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.conditions import CONDITIONS, Conditions, Weight
from gateway.errors import Fault, RedisUnavailable
from gateway.telemetry import Telemetry
from gateway.telemetry.snapshots import read

OK: Final = "ok"
DEGRADED: Final = "degraded"
NOT_READY: Final = "not ready"
REDIS: Final = "redis"
REDIS_SHARD: Final = "redis_shard"
POSTGRES: Final = "postgres"
SPOOL: Final = "spool"
DISK: Final = "disk"
RESTING: Final = "service_breaker"
NEARLY_FULL: Final = "disk_nearly_full"
# Probes come from several sides; the stores need not be asked more often than this.
_FRESH_S: Final = 0.5
# Below the second that a prober commonly waits.
_POSTGRES_MS: Final = 800
Ask = Callable[[], Awaitable[object]]
Troubles = Callable[[], Mapping[str, str]]


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


class ShardAway(RedisUnavailable):
    """Some servers of a cluster answer and some do not."""


def stores(link: Link, pool: Pool) -> Mapping[str, Ask]:
    """How each store is asked whether it is there; a frozen one does not answer in time."""

    async def redis() -> None:
        masters = link.masters
        answers = await asyncio.gather(
            *(link.call_at(node, "PING") for node in masters), return_exceptions=True
        )
        away = [answer for answer in answers if isinstance(answer, BaseException)]
        if away and len(away) < len(masters):
            raise ShardAway(f"{len(away)} of {len(masters)} shards: {away[0]}")
        if away:
            raise away[0]
        if not link.is_up:
            raise RedisUnavailable(link.reason)

    return {
        REDIS: redis,
        POSTGRES: lambda: pool.value("select 1", deadline_ms=_POSTGRES_MS),
    }


def redis_down(link: Link, *, whole: bool) -> str:
    """Why this process does without Redis, or (not `whole`) without a part of it; else empty."""
    masters = link.masters
    down = [node for node in masters if node.is_down]
    if not down or whole != (len(down) == len(masters)):
        return ""
    return "; ".join(f"{node.endpoint}: {node.reason}" for node in down)


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
    """`status` is ok, degraded or not ready; `reasons` names each part with ok or why not.

    `degraded` are the names of what is worse than it should be, `told` of what is only to be known.
    """

    status: str
    reasons: Mapping[str, str]
    degraded: Sequence[str] = ()
    told: Sequence[str] = ()

    @property
    def http_status(self) -> int:
        """503 only when nothing could be let in."""
        return 503 if self.status == NOT_READY else 200

    def document(self) -> dict[str, Any]:
        """As it is shown to an operator."""
        return {**self.public(), **self.reasons, **({"told": list(self.told)} if self.told else {})}

    def public(self) -> dict[str, Any]:
        """As it is shown to anybody: names, without the words of failures."""
        if self.status == OK:
            return {"status": OK}
        return {"status": self.status, "degraded": list(self.degraded)}


class Readiness:
    """Asks `stores` (each raises a Fault when it is away) and looks at spools and `troubles`."""

    def __init__(
        self,
        stores: Mapping[str, Ask],
        spools: Callable[[], SpoolState],
        troubles: Troubles = dict,
    ) -> None:
        self._stores = stores
        self._spools = spools
        self._troubles = troubles
        self._lock = asyncio.Lock()
        self._known: tuple[float, Ready] | None = None
        self._leaving = False

    def leave(self) -> None:
        """From now on not ready, whatever else is so: whoever sends us clients shall stop."""
        self._leaving = True

    async def look(self) -> Ready:
        """The state, at most half a second old."""
        if self._leaving:
            return Ready(NOT_READY, {"node": "is stopping"}, ("stopping",))
        async with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > _FRESH_S:
                found = await self._look()
                self._known = (time.monotonic(), found)
            return self._known[1]

    async def _look(self) -> Ready:
        faults = await asyncio.gather(*(_fault(ask) for ask in self._stores.values()))
        states = dict(zip(self._stores, faults, strict=True))
        spools, found = self._spools(), dict(self._troubles())
        away = [name for name, fault in states.items() if fault is not None]
        for name in away:
            shard = isinstance(states[name], ShardAway)
            found[REDIS_SHARD if shard else name] = str(states[name]) or "unavailable"
        if spools.why_not != OK:
            found[DISK] = spools.why_not
        # What another process of the machine cannot reach is not ok here either.
        reasons = {name: found.get(name, str(fault or OK)) for name, fault in states.items()}
        reasons[SPOOL] = spools.why_not
        more = {name: why for name, why in found.items() if name not in (*reasons, DISK)}
        names = sorted(n for n in found if CONDITIONS[n].weight >= Weight.DEGRADED)
        told = sorted(n for n in found if CONDITIONS[n].weight < Weight.DEGRADED)
        if _hopeless(found) or spools.failing >= spools.running:
            status = NOT_READY
        else:
            status = DEGRADED if names else OK
        return Ready(status, {**reasons, **more}, names, told)


def _hopeless(found: Mapping[str, str]) -> bool:
    """Whether nobody could be let in."""
    if any(CONDITIONS[name].weight is Weight.NOT_READY for name in found):
        return True
    return POSTGRES in found and (REDIS in found or NEARLY_FULL in found)


async def _fault(ask: Ask) -> Fault | None:
    try:
        await ask()
    except Fault as fault:
        return fault
    return None


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


def troubles_of_machine(own: Conditions, folder: Path, own_name: str) -> Mapping[str, str]:
    """What this process or another of the machine has told; one that stops is no trouble."""
    found: dict[str, int] = {}
    resting: set[str] = set()
    for snapshot in read(folder, own_name):
        if snapshot.silent:
            continue
        resting.update(_above_zero(snapshot.levels, "sluice_service_breaker"))
        for name in _above_zero(snapshot.levels, "sluice_condition"):
            found[name] = found.get(name, 0) + 1
    others = {
        name: f"{CONDITIONS[name].text} (processes that say so: {count})"
        for name, count in found.items()
        if name in CONDITIONS and CONDITIONS[name].weight is not Weight.NOT_READY
    }
    if RESTING in others and resting:
        others[RESTING] = f"{', '.join(sorted(resting))}: {others[RESTING]}"
    return {**others, **own.now()}


def _above_zero(levels: Mapping[str, Mapping[str, list[float]]], metric: str) -> list[str]:
    """The labels of a metric with one label whose number is not 0."""
    return [label for label, numbers in levels.get(metric, {}).items() if numbers[0]]


def _level(levels: Mapping[str, Mapping[str, list[float]]], name: str) -> int:
    return int(sum(numbers[0] for numbers in levels.get(name, {}).values()))
