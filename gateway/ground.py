"""What every process stands on: PostgreSQL, Redis, the catalogue, its numbers; opened in order.

Refuses to serve anybody: gateways, the worker and the operations listener are built on it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.admission.copies import Copies
from gateway.admission.gate import Gate
from gateway.admission.reserves import Reserves
from gateway.admission.tombs import Tombs
from gateway.billing.port import open_port
from gateway.billing.stripe_books import StripeBooks
from gateway.billing.till import Till
from gateway.conditions import Conditions
from gateway.control.ops_parts import OpsParts
from gateway.control.proof import Proof
from gateway.control.readiness import (
    Readiness,
    redis_down,
    spools_of_machine,
    stores,
    troubles_of_machine,
)
from gateway.control.reload import LOOK_EVERY_MS, Reload, holders
from gateway.control.vitals import EVERY_MS, Vitals
from gateway.edge.request_ids import new_request_id
from gateway.errors import ConfigurationFault, RedisUnavailable
from gateway.keys.store import key_store
from gateway.ledger.answers import Answers
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.shelf import Shelf
from gateway.loop import forever
from gateway.metering.revocation_files import RevocationFiles
from gateway.metering.revocations import Revocations
from gateway.postgres import Pools, Postgres, open_pools
from gateway.products.builtin import open_offer
from gateway.products.offer import Offer
from gateway.redis_link import RedisLink
from gateway.settings import Settings
from gateway.sql import load_queries
from gateway.telemetry import Telemetry
from gateway.telemetry.exposition import exposition
from gateway.telemetry.snapshots import Publisher
from gateway.telemetry.tracing import Tracer, tracing

_LOG = logging.getLogger("sluice.ground")
_PROOF_MS = 600_000


@dataclass(frozen=True, slots=True)
class Ground:
    """What every process stands on."""

    settings: Settings
    telemetry: Telemetry
    catalogue: Offer
    reload: Reload
    postgres: Postgres
    book: Book
    answers: Answers
    shelf: Shelf
    reconciler: Reconciler
    link: RedisLink
    gate: Gate
    reserves: Reserves
    publisher: Publisher
    vitals: Vitals
    tracer: Tracer | None
    conditions: Conditions
    pools: Pools
    revocations: Revocations


@asynccontextmanager
async def ground(settings: Settings, name: str) -> AsyncIterator[Ground]:
    """PostgreSQL, Redis and the catalogue; neither server need be there yet."""
    if settings.database_url is None or settings.redis_url is None:
        raise ConfigurationFault(
            ["SLUICE_DATABASE_URL and SLUICE_REDIS_URL must be set; `sluice up` brings its own"]
        )
    async with AsyncExitStack() as stack:
        telemetry, queries = Telemetry(), load_queries()
        offer = open_offer(settings.products)
        publisher = Publisher(settings.metrics_dir)
        stack.callback(publisher.close)
        conditions = Conditions()
        pools = open_pools(stack, settings.database_url, name, settings.postgres_deadline_ms)
        conditions.watch("postgres", lambda: pools.breaker.why)
        postgres = pools.open()
        # A connection of its own, so that a long proof never makes anybody wait for one.
        proving = pools.open("-proof", size=1, deadline_ms=_PROOF_MS)
        # The same for kept answers: who asks for them again and again delays only his like.
        keeping = pools.open("-answers", size=2)
        link = RedisLink(settings.redis_url, deadline_ms=settings.redis_deadline_ms)
        gate, reserves, tombs = Gate(link), Reserves(link), Tombs(link)
        await _open(stack, link, conditions)
        vitals = Vitals(telemetry, publisher, link, postgres, settings.data_dir, conditions)
        sampling = asyncio.create_task(forever(vitals.run_once, name="vitals", idle_ms=EVERY_MS))
        stack.push_async_callback(ended, sampling)
        reload = Reload(settings.products, offer, telemetry, name)
        following = forever(reload.run_once, name="catalogue", idle_ms=LOOK_EVERY_MS)
        stack.push_async_callback(ended, asyncio.create_task(following))
        book, journal = Book(postgres, queries), RevocationFiles(settings.data_dir / "revocations")
        yield Ground(
            settings,
            telemetry,
            offer,
            reload,
            postgres,
            book,
            Answers(keeping, queries),
            Shelf(postgres, queries),
            Reconciler(proving, queries),
            link,
            gate,
            reserves,
            publisher,
            vitals,
            await stack.enter_async_context(tracing(settings)),
            conditions,
            pools,
            Revocations(journal, tombs, book, gate, conditions, new_request_id),
        )


async def _open(stack: AsyncExitStack, link: RedisLink, conditions: Conditions) -> None:
    conditions.watch("redis", lambda: redis_down(link, whole=True))
    conditions.watch("redis_shard", lambda: redis_down(link, whole=False))
    stack.push_async_callback(link.close)
    try:
        await link.open()
    except RedisUnavailable as fault:
        _LOG.warning("Redis is not there yet: %s", fault)


def ops_parts(base: Ground) -> OpsParts:
    """The ground as the operations listener needs it."""
    settings, telemetry = base.settings, base.telemetry
    folder, name, pepper = base.publisher.folder, base.publisher.name, settings.key_pepper
    telemetry.gateways_wanted.labels().set(settings.workers, time.time())
    return OpsParts(
        settings,
        base.catalogue,
        base.book,
        base.gate,
        key_store(base.book, pepper, settings.key_prefix) if pepper else None,
        Proof(base.reconciler, lambda: Copies(base.link), telemetry, _stripe_books(base)),
        Readiness(
            stores(base.link, base.postgres),
            lambda: spools_of_machine(telemetry, folder, name),
            lambda: troubles_of_machine(base.conditions, folder, name),
        ),
        lambda: exposition(telemetry, folder, name),
        Till(base.postgres, load_queries()),
        base.reload,
        lambda: holders(telemetry, folder, name),
    )


def _stripe_books(base: Ground) -> StripeBooks:
    secret, api_base = base.settings.stripe_secret_key, base.settings.stripe_api_base
    opened = None if secret is None else lambda: open_port(secret, api_base)
    return StripeBooks(base.postgres, load_queries(), opened)


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task of ours and wait until it is over."""
    task.cancel()
    await asyncio.wait([task])
