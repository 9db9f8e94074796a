"""Who lives in `sluice up` besides the two servers: services, gateway workers, the worker.

Refuses to hand a secret over in an argument: those are for everybody to read.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.embedded.child import ChildSpec
from gateway.embedded.supervisor import Process
from gateway.settings import PREFIX, Settings
from gateway.units import MS_PER_S

# Which process stands behind which services; a product whose service is in none answers 503.
# The api. services share one process, so that the model is loaded once.
PROCESSES: Mapping[str, tuple[str, ...]] = {
    "reader": ("reader",),
    "segmenter": ("segmenter",),
    "search": ("search",),
    "api": ("embeddings", "rerank", "classifier"),
    "deepsearch": ("deepsearch",),
}
# Beyond the time that a worker takes to drain: its spool flushed, its connections closed.
_MARGIN_S = 5.0
# What gateway.ground opens at most per process: its pool, the proof's, the kept answers'; a test
# compares, as with the two below.
_OF_GROUND = 7
# What the web pages of a gateway open.
_OF_PAGES = 2
# The worker and the operations listener are on the same ground.
_ON_GROUND = 2
# Of the classifier and of deepsearch: services.postgres' pool, twice.
_OF_SERVICES = 8
# A migration, a person with psql.
_ROOM = 10


def connections_wanted(workers: int) -> int:
    """How many connections to PostgreSQL all processes together may open, with room for people."""
    # Twice the gateways: at a restart the new ones run while the old ones finish what they have.
    gateways = 2 * workers
    on_ground = (gateways + _ON_GROUND) * _OF_GROUND
    return on_ground + gateways * _OF_PAGES + _OF_SERVICES + _ROOM


def wanted(settings: Settings) -> list[str]:
    """The service processes to start: those with a service that is not run elsewhere."""
    elsewhere = settings.service_urls
    return [name for name, behind in PROCESSES.items() if not set(behind) <= set(elsewhere)]


def addresses(settings: Settings, sockets: Mapping[str, Path]) -> dict[str, str]:
    """The settings that tell the gateway where each service is that we start."""
    return {
        f"SERVICE_{service.upper()}_URL": f"unix:{socket}"
        for name, socket in sockets.items()
        for service in PROCESSES[name]
        if service not in settings.service_urls
    }


def services(settings: Settings, sockets: Mapping[str, Path]) -> list[Process]:
    """The internal services, each on its socket."""
    return [
        _python(settings, name, ["-m", f"services.{name}", "--listen", f"unix:{socket}"])
        for name, socket in sockets.items()
    ]


def worker(settings: Settings) -> Process:
    """What ships, reaps and reconciles."""
    return _python(settings, "worker", ["-m", "gateway", "worker"])


def grace_s(settings: Settings) -> float:
    """How long a process may take to its end before it is killed."""
    return (settings.lame_duck_ms + settings.drain_ms) / MS_PER_S + _MARGIN_S


def environment(settings: Settings, overrides: Mapping[str, str]) -> dict[str, str]:
    """Our environment with these settings in it, named without the prefix."""
    ours = {PREFIX + name: value for name, value in overrides.items()}
    # Algebra in several threads spins beside the other processes: 4.6 s for what takes 0.3 s.
    return {"OPENBLAS_NUM_THREADS": "1", **settings.environ, **ours}


def _python(settings: Settings, name: str, words: list[str]) -> Process:
    words = [sys.executable, *words]
    return Process(ChildSpec(name, words, settings.environ, grace_s=grace_s(settings)))
