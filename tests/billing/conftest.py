"""Gateways that sell, each with a Stripe of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from gateway.embedded.postgres_server import PostgresServer
from tests.billing.shop import Shop
from tests.conftest import TEMPLATE
from tests.control.conftest import service
from tests.control.rig import gateway, settings_for
from tests.databases import of_database
from tests.stripe_standin import StandIn

__all__ = ["service"]
OpenShop = Callable[..., AbstractAsyncContextManager[Shop]]
_NAME = "billing"
# What a fresh database has in it is put aside once, and put back before each test.
_KEEP = """
create schema pristine;
do $$ declare t text; there boolean; begin
    for t in select relname from pg_class
             where relnamespace = 'public'::regnamespace and relkind = 'r' loop
        execute format('select exists (select from public.%I)', t) into there;
        if there then
            execute format('create table pristine.%I as table public.%I', t, t);
        end if;
    end loop;
end $$;
"""
_WIPE = """
do $$ declare t text; begin
    set local session_replication_role = replica;
    for t in select relname from pg_class
             where relnamespace = 'public'::regnamespace and relkind = 'r' loop
        execute format('delete from public.%I', t);
    end loop;
    for t in select relname from pg_class
             where relnamespace = 'pristine'::regnamespace loop
        execute format('insert into public.%I overriding system value table pristine.%I', t, t);
    end loop;
end $$;
"""


@pytest.fixture(scope="session")
def shared_database(pg_server: PostgresServer) -> Iterator[str]:
    """One database for all tests of this folder: making one is dearer than most of them."""
    asyncio.run(_execute(pg_server.dsn, f"create database {_NAME} template {TEMPLATE}"))
    dsn = of_database(pg_server.dsn, _NAME)
    asyncio.run(_execute(dsn, _KEEP))
    yield dsn
    asyncio.run(_execute(pg_server.dsn, f"drop database {_NAME} with (force)"))


@pytest.fixture
async def database(shared_database: str) -> str:
    """The database as if it were fresh."""
    await _execute(shared_database, _WIPE)
    return shared_database


async def _execute(dsn: str, sql: str) -> None:
    line = await asyncpg.connect(dsn, ssl=False)
    try:
        await line.execute(sql)
    finally:
        await line.close()


@pytest.fixture
async def stripe() -> AsyncIterator[StandIn]:
    """A Stripe that sends its events nowhere until a gateway is open."""
    async with StandIn() as opened:
        yield opened


@pytest.fixture
def open_shop(
    tmp_path: Path, database: str, redis_url: str, service: str, stripe: StandIn
) -> OpenShop:
    """Opens a gateway that sells; settings by name, `with_worker` for the background work."""

    @asynccontextmanager
    async def opened(*, with_worker: bool = False, **more: str) -> AsyncIterator[Shop]:
        ours = {
            "STRIPE_SECRET_KEY": stripe.secret_key,
            "STRIPE_WEBHOOK_SECRET": stripe.webhook_secret,
            "STRIPE_API_BASE": stripe.base_url,
            "NOTIFY_ALLOW": "http://127.0.0.1",
            "DRAIN_MS": "50",
        }
        settings = settings_for(tmp_path, database, redis_url, service, {**ours, **more})
        async with gateway(settings, with_worker=with_worker) as door:
            stripe.webhook_url = f"http://127.0.0.1:{door.port}/v1/billing/webhook"
            yield Shop(door, stripe)
            stripe.webhook_url = None

    return opened


@pytest.fixture
async def shop(open_shop: OpenShop) -> AsyncIterator[Shop]:
    """One gateway that sells."""
    async with open_shop() as opened:
        yield opened
