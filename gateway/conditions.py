"""What this process does worse than it should, by name: one place to tell it, one to read it.

1. Whoever notices a trouble says `set(name, why)` and `clear(name)` when it is over, or gives a
   probe that is asked when somebody looks: `watch(name, probe)`.
2. `Vitals` publishes the names with the numbers of the process; readiness reads its own at once
   and those of the machine's other processes from there. An operator reads the sentences.

Refuses names that are not in `CONDITIONS`: an operator has to find each in the runbook. Refuses to
decide what is done about a trouble: that is with whoever noticed it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

Probe = Callable[[], str]


class Weight(IntEnum):
    """What a condition makes of readiness."""

    TOLD = 0
    DEGRADED = 1
    NOT_READY = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """How heavy a condition is, and what it means."""

    weight: Weight
    text: str


_D: Final = Weight.DEGRADED
CONDITIONS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "redis": Kind(_D, "Redis does not answer: limits are local, money is capped"),
        "redis_shard": Kind(_D, "one shard of the cluster is away: the same for its subjects"),
        "redis_doubted": Kind(
            _D, "Redis answers and is not trusted yet: the ledger decides on keys"
        ),
        "postgres": Kind(_D, "PostgreSQL does not answer: unknown keys and money are refused"),
        "ledger_read_only": Kind(_D, "PostgreSQL answers and takes no writes: the spool grows"),
        "revocations_waiting": Kind(_D, "revocations in the journal are not in the ledger yet"),
        "disk_nearly_full": Kind(_D, "little room where the spool is"),
        "disk": Kind(_D, "the disk does not take outcomes: nothing is admitted here"),
        "overload": Kind(_D, "the event loop is late: the cheapest requests are shed"),
        "service_breaker": Kind(Weight.TOLD, "a service is not asked for a while: it fails"),
        "stripe": Kind(Weight.TOLD, "Stripe does not answer: nothing can be bought"),
        "stopping": Kind(Weight.NOT_READY, "the process drains and ends"),
    }
)


class Conditions:
    """The troubles of one process, by name, each with a sentence of why."""

    def __init__(self) -> None:
        self._set: dict[str, str] = {}
        self._probes: dict[str, Probe] = {}

    def set(self, name: str, why: str) -> None:
        """It is so, because of `why` (never empty); said again, the newer sentence stands."""
        assert name in CONDITIONS, name
        assert why, name
        self._set[name] = why

    def clear(self, name: str) -> None:
        """It is over. Harmless where it was not so."""
        assert name in CONDITIONS, name
        self._set.pop(name, None)

    def say(self, name: str, why: str) -> None:
        """`set`, or where `why` is empty `clear`."""
        if why:
            self.set(name, why)
        else:
            self.clear(name)

    def watch(self, name: str, probe: Probe) -> None:
        """Ask `probe` whenever somebody looks: why it is so, or "" when all is well."""
        assert name in CONDITIONS, name
        self._probes[name] = probe

    def now(self) -> Mapping[str, str]:
        """What is so now, each with its sentence; empty when all is well."""
        found = {name: why for name, probe in self._probes.items() if (why := probe())}
        return {**found, **self._set}

    @property
    def weight(self) -> Weight:
        """The heaviest of what is so now."""
        return max((CONDITIONS[name].weight for name in self.now()), default=Weight.TOLD)
