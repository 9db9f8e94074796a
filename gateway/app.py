"""The composition root: builds each resource once, in order, and closes in reverse.

Wires, never handles. Two applications share the ground: the gateway (a listener and its shipper)
and the worker (adoption of dead spools, orphaned holds, the outbox, partitions).
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.arrivals.house import arrival_log
from gateway.billing.house import Billing, billing
from gateway.control.readiness import Readiness
from gateway.control.web.house import watch_of, web_side
from gateway.edge.overload import Overload
from gateway.edge.pipeline import Pipeline
from gateway.edge.repeats import Repeats
from gateway.edge.request_ids import new_request_id
from gateway.edge.server import Server
from gateway.edge.traced import TracedMeter
from gateway.edge.upstream import Upstreams
from gateway.errors import PostgresUnavailable, RedisUnavailable
from gateway.front_door import front_door
from gateway.ground import Ground, ended, ground, ops_parts
from gateway.keys.format import key_hmac, peppers
from gateway.loop import forever
from gateway.metering.adopt import Adopter
from gateway.metering.disk import LOOK_EVERY_MS, DiskWatch
from gateway.metering.meter import Meter
from gateway.metering.numbers import AdmissionNumbers
from gateway.metering.outbox import Outbox
from gateway.metering.pulse import Pulse
from gateway.metering.reaper import Reaper
from gateway.metering.shipper import Shipper
from gateway.metering.spool import Spool
from gateway.oversight import oversight
from gateway.settings import Settings
from gateway.standby import standby
from gateway.units import MS_PER_S

__all__ = [
    "Ground",
    "Node",
    "background",
    "ground",
    "instance_name",
    "listening",
    "listening_socket",
    "node",
    "ops_parts",
    "spool_root",
]

_LOG = logging.getLogger("sluice.app")
Work = Callable[[], Awaitable[int]]
_PULSE_EVERY_MS = 200
_REAP_EVERY_MS = 1_000
_KEEP_EVERY_MS = 500
_FORGET_EVERY_MS = 60_000
_DRAIN_LEDGER_LEAST_S = 2.0
_DRAIN_LEDGER_MOST_S = 10.0
_BACKLOG = 1_024


def spool_root(settings: Settings) -> Path:
    """Where the spools of all instances of this machine are."""
    return settings.data_dir / "spool"


@dataclass(frozen=True, slots=True)
class Node:
    """A running gateway process."""

    ground: Ground
    server: Server
    pipeline: Pipeline
    meter: Meter
    shipper: Shipper
    spool: Spool
    readiness: Readiness


def instance_name(settings: Settings) -> str:
    """Unique among all processes that ever run: node, process, and the moment of its start."""
    node = "".join(c if c.isalnum() else "-" for c in settings.node.lower())[:40]
    return f"{node}-{os.getpid()}-{os.urandom(4).hex()}"


@asynccontextmanager
async def node(base: Ground, secrets: Mapping[str, str]) -> AsyncIterator[Node]:
    """A gateway on its ground: spool and shipper first, the request path on top of them."""
    settings, telemetry, gate, book = base.settings, base.telemetry, base.gate, base.book
    loop = asyncio.get_running_loop()
    instance = instance_name(settings)
    # The beat comes before the first hold, so that nobody takes a hold of ours for an orphan.
    async with AsyncExitStack() as stack:
        spool = Spool(spool_root(settings), instance)
        stack.push_async_callback(spool.close)
        metering = Meter if base.tracer is None else partial(TracedMeter, base.tracer)
        meter = metering(spool, gate, AdmissionNumbers(), telemetry, instance, loop.time)
        pepper = peppers(secrets["key_pepper"])[0]
        meter.arrivals = await stack.enter_async_context(
            arrival_log(settings, telemetry, pepper, instance)
        )
        shipper = Shipper(spool, book, gate, meter, telemetry)
        alone = await stack.enter_async_context(standby(base, meter, shipper))
        upstreams, overload = await stack.enter_async_context(_load(base))
        shop = await stack.enter_async_context(_billing(base))
        repeats = Repeats(base.answers, meter, telemetry)
        web = web_side(settings, base.pools, lambda text: key_hmac(pepper, text))
        server, pipeline, readiness = front_door(
            base, meter, upstreams, secrets, shop, repeats, web, overload, alone
        )
        pulse = Pulse(
            gate,
            meter,
            spool,
            lambda: base.link.restarts,
            loop.time,
            settings.ship_interval_ms,
        )
        tasks = [
            *_of_node(base, pulse, shipper, shop),
            _repeating(repeats.run_once, "repeats", _KEEP_EVERY_MS),
            _repeating(base.revocations.run_once, "revocations", _REAP_EVERY_MS),
            _repeating(_disk(base, meter, shipper).run_once, "disk", LOOK_EVERY_MS),
        ]
        try:
            yield Node(base, server, pipeline, meter, shipper, spool, readiness)
        finally:
            await server.shutdown(settings.drain_ms / MS_PER_S)
            for task in tasks:
                await ended(task)
            # Before the rest is shipped: what is not kept may have to be given back.
            await repeats.close()
            await _ship_the_rest(shipper, settings.drain_ms / MS_PER_S)
            base.vitals.watch(None)


@asynccontextmanager
async def _load(base: Ground) -> AsyncIterator[tuple[Upstreams, Overload]]:
    """What watches how the services and the event loop bear what is asked."""
    settings, overload = base.settings, Overload()
    upstreams = Upstreams(settings.service_urls, settings.service_requests, base.telemetry)
    base.conditions.watch("service_breaker", upstreams.troubles)
    base.conditions.watch("overload", overload.trouble)
    async with asynccontextmanager(overload.run)(), asynccontextmanager(upstreams.run)():
        yield upstreams, overload


def _disk(base: Ground, meter: Meter, shipper: Shipper) -> DiskWatch:
    breaker = base.pools.breaker
    base.conditions.watch("ledger_read_only", lambda: shipper.trouble.refusal(breaker.was_away))
    return DiskWatch(
        spool_root(base.settings),
        base.settings.disk_reserve_bytes,
        meter,
        base.conditions,
        lambda: not (breaker.why or shipper.trouble.why),
    )


async def _ship_the_rest(shipper: Shipper, drain_s: float) -> None:
    """The worker ships what is left: who wants to be gone soon does not wait long for a ledger."""
    try:
        if await shipper.drain(min(_DRAIN_LEDGER_MOST_S, max(_DRAIN_LEDGER_LEAST_S, drain_s))):
            await shipper.say_goodbye()
            return
    except (PostgresUnavailable, RedisUnavailable) as fault:
        _LOG.warning("%s", fault)
    _LOG.warning("the ledger did not take everything; the spool ships at the next start")


def _of_node(
    base: Ground, pulse: Pulse, shipper: Shipper, shop: Billing | None
) -> list[asyncio.Task[None]]:
    failed = base.telemetry.ship_failures.inc
    interval_ms = base.settings.ship_interval_ms
    return [
        asyncio.create_task(forever(pulse.run_once, name="pulse", idle_ms=_PULSE_EVERY_MS)),
        asyncio.create_task(
            forever(shipper.run_paced, name="shipper", idle_ms=interval_ms, failed=failed)
        ),
        # Who takes a webhook works at it at once, so that a top-up is there within the second.
        *([] if shop is None else [_repeating(shop.inbox.run_woken, "inbox", 10)]),
    ]


def _billing(base: Ground) -> AbstractAsyncContextManager[Billing | None]:
    return billing(
        base.settings,
        base.postgres,
        base.gate,
        base.telemetry,
        new_request_id,
        lambda why: base.conditions.say("stripe", why),
    )


def _repeating(run_once: Work, name: str, idle_ms: int) -> asyncio.Task[None]:
    return asyncio.create_task(forever(run_once, name=name, idle_ms=idle_ms))


@asynccontextmanager
async def background(base: Ground) -> AsyncIterator[None]:
    """What one process per machine does beside the gateways."""
    root = spool_root(base.settings)
    adopter = Adopter(root, base.book, base.gate, base.telemetry)
    reaper = Reaper(base.book, base.gate, base.telemetry, root)
    outbox = Outbox(base.book, base.gate, lambda: base.link.restarts)

    async def months() -> int:
        await base.book.ensure_months()
        return 0

    works = (
        (adopter.run_once, "adopter", _REAP_EVERY_MS),
        (reaper.run_once, "reaper", _REAP_EVERY_MS),
        (outbox.run_once, "outbox", 200),
        (base.revocations.run_once, "revocations", _REAP_EVERY_MS),
        (base.answers.forget, "answers", _FORGET_EVERY_MS),
        (months, "months", 3_600_000),
    )
    base.telemetry.background_workers.set(1)
    async with _billing(base) as shop:
        more = () if shop is None else shop.works()
        tasks = [
            _repeating(run, name, idle_ms)
            for run, name, idle_ms in (
                *works,
                *more,
                *oversight(base),
                *watch_of(base.settings, base.postgres),
            )
        ]
        try:
            yield
        finally:
            base.telemetry.background_workers.set(0)
            for task in tasks:
                await ended(task)


def listening_socket(bind: str, port: int) -> socket.socket:
    """A socket that several processes may share: the kernel spreads connections over them."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((bind, port))
    sock.setblocking(False)
    return sock


@asynccontextmanager
async def listening(node: Node, sock: socket.socket) -> AsyncIterator[asyncio.Server]:
    """Accept on the socket, and count as a gateway from then on; at the end take nothing new."""
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(node.server, sock=sock, backlog=_BACKLOG)
    try:
        node.ground.vitals.watch(node.spool)
        yield listener
    finally:
        listener.close()
