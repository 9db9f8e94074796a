"""The processes of a run: gateways and workers, put together from the product's own parts.

The request path is what `front_door` makes of them, the listener's protocol included. Loops of
background work run at longer intervals than in production, so that minutes cost little.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

from gateway.admission.gate import Gate
from gateway.admission.orphans import Orphans
from gateway.admission.scripts import tag_of
from gateway.admission.tombs import Tombs
from gateway.conditions import Conditions
from gateway.edge.address import Addresses
from gateway.edge.forward import Signer
from gateway.edge.identify import Identifier
from gateway.edge.overload import Overload
from gateway.edge.pipeline import Pipeline
from gateway.edge.request_ids import new_request_id
from gateway.edge.server import Bounds, make_server
from gateway.edge.upstream import Upstreams
from gateway.errors import PostgresUnavailable, RedisUnavailable
from gateway.front_door import _request_path
from gateway.keys.format import key_hmac, make_key
from gateway.keys.store import key_store
from gateway.ledger.book import Book
from gateway.loop import forever
from gateway.metering.adopt import Adopter
from gateway.metering.meter import Meter
from gateway.metering.numbers import AdmissionNumbers
from gateway.metering.outbox import Outbox
from gateway.metering.pulse import Pulse
from gateway.metering.reaper import Reaper
from gateway.metering.revocation_files import RevocationFiles
from gateway.metering.revocations import Revocations
from gateway.metering.shipper import Shipper
from gateway.metering.spool import Spool
from gateway.products.builtin import load_catalogue
from gateway.products.offer import Offer
from gateway.products.product import Catalogue, Limits
from gateway.redis_link import RedisLink
from gateway.standby import standby
from gateway.telemetry import Telemetry
from tests.simulation.clockwork import Process
from tests.simulation.disk import SimPath
from tests.simulation.postgres_door import Names, Postgres
from tests.simulation.redis_store import CLOCK_US

PEPPER, PREFIX = "a pepper for nobody's keys", "slc_"
SHIP_MS, PULSE_MS, REAP_MS, OUTBOX_MS = 200, 500, 2_000, 1_000
BLOCK = 150
VARIANTS = (
    (Limits(4, 300, 2), Limits(8, 600, 3), Limits(3, None, 2)),
    (Limits(6, 200, 4), Limits(10, 500, 6), Limits(5, None, 3)),
    (Limits(3, 1_000, 3), Limits(6, 2_000, 4), Limits(4, None, 4)),
    (Limits(12, 400, 6), Limits(20, 800, 8), Limits(6, None, 5)),
)
SERVED = ("embeddings", "reader", "deepsearch")


@cache
def catalogue(variant: int) -> Catalogue:
    """The built-in one with small limits, blocks and deadlines."""
    known = load_catalogue(None)
    key, premium, anonymous = VARIANTS[variant]
    products = {}
    for name, product in known.products.items():
        changes: dict[str, Any] = {"deadline_ms": 9_000, "first_byte_ms": 5_000}
        if name in SERVED:
            tpm = name == "embeddings"
            changes["key"] = key if tpm else replace(key, tpm=None)
            changes["premium"] = premium if tpm else replace(premium, tpm=None)
            changes["anonymous"] = product.anonymous and anonymous
        if product.block_tokens:
            changes |= {"block_tokens": BLOCK, "least_cap_tokens": 1}
        products[name] = replace(product, **changes)
    return replace(known, products=products)


@cache
def key_text(number: int) -> str:
    """A key of a client."""
    return make_key(number.to_bytes(48, "big"), PREFIX)


def hmac_of(number: int) -> bytes:
    """What the ledger has of it."""
    return key_hmac(PEPPER.encode(), key_text(number))


@cache
def telemetry() -> Telemetry:
    """One for all: numbers decide nothing."""
    return Telemetry()


class InOrder(dict[Any, None]):
    """A set whose order is that of its making, not of addresses in memory."""

    def add(self, each: Any) -> None:
        self[each] = None

    def discard(self, each: Any) -> None:
        self.pop(each, None)


@dataclass(slots=True)
class Gateway:
    """A running gateway process, as the scenario sees it; None until it has started."""

    process: Process
    instance: str
    server: Any = None
    gate: Any = None
    book: Any = None
    meter: Any = None
    spool: Any = None
    revocations: Any = None


def ground(world: Any, node: str) -> Any:
    """What `gateway.ground` gives, as far as the request path and the workers use it."""
    link = RedisLink("unix:///redis", deadline_ms=250)
    gate, tombs = Gate(link, clock_us=CLOCK_US), Tombs(link)
    narrow(gate, world.subjects)
    world.watcher.watch(gate, tombs)
    book = Book(Postgres(world.postgres), Names())  # type: ignore[arg-type]
    files: Any = SimPath(world.disks[node], "/revocations")
    conditions = Conditions()
    here = [n for n in range(world.plan.gateways) if world.nodes[n % len(world.nodes)] == node]
    return SimpleNamespace(
        settings=SimpleNamespace(
            body_deadline_ms=10_000,
            domain="localhost",
            key_prefix=PREFIX,
            ship_interval_ms=SHIP_MS,
            postgres_deadline_ms=2_000,
            workers=len(here),
        ),
        telemetry=telemetry(),
        gate=gate,
        link=link,
        book=book,
        # No breaker here: each call asks the twin itself.
        pools=SimpleNamespace(breaker=SimpleNamespace(why="")),
        catalogue=Offer(catalogue(world.plan.variant), "1"),
        conditions=conditions,
        revocations=Revocations(
            RevocationFiles(files), tombs, book, gate, conditions, new_request_id
        ),
        tracer=None,
    )


def narrow(gate: Gate, subjects: list[str]) -> None:
    """Look for orphans under the tags that are in use, not under all 256."""
    known: Orphans = gate._orphans
    tags = {tag_of(subject) for subject in subjects}
    known._slots = {
        tag: slot for tag, slot in known._slots.items() if tag in tags or tag == "{s000}"
    }


async def run_gateway(world: Any, found: Gateway) -> None:
    """A gateway until it is killed."""
    base = ground(world, found.process.node)
    found.gate, found.book, found.revocations = base.gate, base.book, base.revocations
    loop = asyncio.get_running_loop()
    with suppress(RedisUnavailable):
        await base.link.open()
    root: Any = SimPath(world.disks[found.process.node], "/spool")
    while found.spool is None:
        try:
            found.spool = Spool(root, found.instance, segment_bytes=2_000)
        except OSError:
            # A supervisor starts it again while the disk takes nothing.
            await asyncio.sleep(1)
    spool = found.spool
    meter = found.meter = Meter(
        spool, base.gate, AdmissionNumbers(), base.telemetry, found.instance, loop.time
    )
    shipper = Shipper(spool, base.book, base.gate, meter, base.telemetry)
    pulse = Pulse(base.gate, meter, spool, lambda: base.link.restarts, loop.time, SHIP_MS)
    async with standby(base, meter, shipper) as alone:
        world.watch_alone(alone)
        await _first_beat(pulse)
        _repeat(pulse.run_once, "pulse", PULSE_MS)
        _repeat(shipper.run_once, "shipper", SHIP_MS)
        _repeat(base.revocations.run_once, "revocations", REAP_MS)
        upstreams = _upstreams()
        keys = key_store(base.book, PEPPER, PREFIX)
        identifier = Identifier(keys, Addresses(()), Nobody())
        repeats: Any = Nobody()
        parts = _request_path(
            base, meter, upstreams, identifier, Signer("s"), {}, repeats, Overload(), alone
        )
        found.server = make_server(Pipeline(parts), base.telemetry, Bounds())
        await _swept(upstreams)


async def run_worker(world: Any, process: Process) -> None:
    """A worker of a node until it is killed."""
    base = ground(world, process.node)
    with suppress(RedisUnavailable):
        await base.link.open()
    world.watch_orphans(base.gate)
    root: Any = SimPath(world.disks[process.node], "/spool")
    adopter = Adopter(root, base.book, base.gate, base.telemetry)
    reaper = Reaper(base.book, base.gate, base.telemetry, root)
    outbox = Outbox(base.book, base.gate, lambda: base.link.restarts)
    _repeat(adopter.run_once, "adopter", REAP_MS)
    _repeat(reaper.run_once, "reaper", REAP_MS)
    _repeat(outbox.run_once, "outbox", OUTBOX_MS)
    _repeat(base.revocations.run_once, "revocations", REAP_MS)


async def _first_beat(pulse: Pulse) -> None:
    with suppress(RedisUnavailable, PostgresUnavailable):
        await pulse.run_once()


def _upstreams() -> Upstreams:
    urls = {name: f"unix:///{name}" for name in SERVED}
    upstreams = Upstreams(urls, 1_000, telemetry())
    for pool in upstreams._pools.values():
        pool._all = InOrder()  # type: ignore[assignment]
    return upstreams


async def _swept(upstreams: Upstreams) -> None:
    while True:
        await asyncio.sleep(0.5)
        for pool in upstreams._pools.values():
            pool.sweep(asyncio.get_running_loop().time())


def _repeat(work: Callable[[], Awaitable[int]], name: str, idle_ms: int) -> None:
    # The process keeps it, as all its tasks.
    asyncio.create_task(forever(work, name=name, idle_ms=idle_ms))  # noqa: RUF006


class Nobody:
    """Nobody sends an Idempotency-Key here, or comes from a page with a session."""

    async def caller(self, exchange: Any) -> Any:
        """There is none."""
        raise AssertionError(exchange)


__all__ = ["Gateway", "hmac_of", "key_text", "run_gateway", "run_worker"]
