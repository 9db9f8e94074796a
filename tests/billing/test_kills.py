"""Killed between any two lines: what was begun is ended, once. The whole: `make bench-money`."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from gateway.admission.gate import Gate
from gateway.embedded.postgres_server import PostgresServer
from gateway.redis_link import RedisLink
from tests.billing.kills import Fresh, ends, steps_of_a_story
from tests.billing.lives import AFTER, BEFORE
from tests.conftest import TEMPLATE
from tests.databases import of_database

MEDIUM = 1_000_000_000
PAID_MEDIUM = ("recharge", "paid", MEDIUM)


@pytest.fixture
async def gate(redis_url: str) -> AsyncIterator[Gate]:
    link = RedisLink(redis_url)
    found = Gate(link)
    await link.open()
    yield found
    await link.close()


@pytest.fixture
def fresh(pg_server: PostgresServer) -> Fresh:
    """Makes databases with the schema."""
    numbers = itertools.count()

    @asynccontextmanager
    async def made() -> AsyncIterator[str]:
        name = f"killed_{next(numbers)}"
        line = await asyncpg.connect(pg_server.dsn, ssl=False)
        await line.execute(f"create database {name} template {TEMPLATE}")
        yield of_database(pg_server.dsn, name)
        await line.execute(f"drop database {name} with (force)")
        await line.close()

    return made


async def test_a_process_killed_at_any_step_leaves_nothing_undone_and_does_nothing_twice(
    fresh: Fresh, gate: Gate
) -> None:
    steps, right = await steps_of_a_story(fresh, gate)
    assert steps > 50
    assert right.orders == (("checkout", "partly_refunded", right.paid - MEDIUM), PAID_MEDIUM)
    assert (right.charges, right.refunds, right.sessions) == (2, 1, 1)
    some = [(step, (BEFORE, AFTER)[step % 2]) for step in range(7, steps + 1, 40)]
    found = await ends(fresh, gate, some)
    assert {kill: end for kill, end in found.items() if end != right} == {}


async def test_money_for_a_revoked_key_goes_back_once_whoever_is_killed(
    fresh: Fresh, gate: Gate
) -> None:
    steps, right = await steps_of_a_story(fresh, gate, revoked=True)
    assert right.orders == (("checkout", "returned", 0),)
    assert (right.charges, right.refunds, right.sessions) == (1, 1, 1)
    some = [(step, (AFTER, BEFORE)[step % 2]) for step in range(3, steps + 1, 24)]
    found = await ends(fresh, gate, some, revoked=True)
    assert {kill: end for kill, end in found.items() if end != right} == {}
