"""Where the product is cut open: its clock, its chance, its disk and its thread, for one run.

Nothing is replaced but these names in the product's modules; they are put back afterwards.
"""

import logging
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import gateway.metering.adopt
import gateway.metering.revocation_files
import gateway.metering.spool
import gateway.metering.spool_files
from gateway.admission.scripts import Scripts
from tests.simulation.clockwork import CURRENT, EPOCH_S, START_S
from tests.simulation.disk_calls import SimOs, SimQueue, SimThread, sim_rmtree
from tests.simulation.noted import watched_scripts

# Modules whose `os` is the disk's, or draws random bytes.
_WITH_DISK = ("gateway.metering.", "gateway.edge.request_ids")


class Now:
    """The `time` module of whoever runs: virtual, and wrong by the process's skew."""

    def __init__(self, world: "Holder") -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        process = CURRENT.get()
        skew_s = 0.0 if process is None else process.skew_s
        return EPOCH_S + self.monotonic() - START_S + skew_s

    def time_ns(self) -> int:
        return int(self.time() * 1_000_000) * 1_000

    def monotonic(self) -> float:
        now_s: float = self._world.now.loop.now_s
        return now_s


class Chance:
    """The `random` module, drawing from the seed."""

    def __init__(self, world: "Holder") -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.now.loop.chance, name)


class Holder:
    """The world that runs now."""

    now: Any = None


class Ears(logging.Handler):
    """What the product logs with an exception nobody expected is an accident."""

    def __init__(self, world: Holder) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        world = self._world.now
        if world is not None and record.exc_info and record.exc_info[1] is not None:
            world.loop.accidents.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@contextmanager
def installed() -> Iterator[Holder]:
    """The product in virtual time; the holder is told of each world."""
    world = Holder()
    changes: list[tuple[Any, str, Any]] = []

    def put(where: Any, name: str, value: Any) -> None:
        changes.append((where, name, getattr(where, name)))
        setattr(where, name, value)

    now, chance = Now(world), Chance(world)
    disk_os = SimOs(lambda: list(world.now.disks.values()), lambda: world.now.loop.chance)
    for module in _of_the_product():
        for name, real, ours in (("time", time, now), ("random", random, chance)):
            if getattr(module, name, None) is real:
                put(module, name, ours)
        if module.__name__.startswith(_WITH_DISK) and getattr(module, "os", None) is os:
            put(module, "os", disk_os)
    files, spool = gateway.metering.spool_files, gateway.metering.spool
    put(files, "fcntl", _Locks(disk_os))
    put(gateway.metering.revocation_files, "fcntl", _Locks(disk_os))
    put(gateway.metering.revocation_files, "Path", lambda path: path)
    put(spool, "SimpleQueue", SimQueue)
    put(spool, "threading", _Threads())
    for module in (spool, gateway.metering.adopt):
        put(module, "rmtree", sim_rmtree)
    for name, method in watched_scripts().items():
        put(Scripts, name, method)
    log, ears = logging.getLogger("sluice"), Ears(world)
    level, spread = log.level, log.propagate
    log.addHandler(ears)
    log.propagate = False
    log.setLevel(logging.ERROR)
    try:
        yield world
    finally:
        log.removeHandler(ears)
        log.propagate = spread
        log.setLevel(level)
        for where, name, value in reversed(changes):
            setattr(where, name, value)


def _of_the_product() -> list[ModuleType]:
    return [m for name, m in sorted(sys.modules.items()) if name.startswith("gateway.")]


class _Locks:
    LOCK_EX, LOCK_NB = 2, 4

    def __init__(self, disk_os: SimOs) -> None:
        self.flock = disk_os.flock


class _Threads:
    Thread = SimThread
