"""The ledger on a fresh database, through the role and the port that the gateway uses."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TypeAlias

import asyncpg
import pytest

from gateway.ledger.book import Book
from gateway.ledger.closing import Closer, Exports
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow, Check
from gateway.postgres import Postgres
from gateway.sql import load_queries
from tests.ledger.closed import EVER, TODAY, Closed, close_all, lines_of, put_back
from tests.ledger.events import batch, charge, request_id, void

GRANT_TOKENS = 10_000_000
Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Mint = Callable[..., Awaitable[BalanceRow]]


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Postgres]:
    port = Postgres(database, pool_size=8, command_deadline_ms=10_000)
    yield port
    await port.close()


@pytest.fixture
def book(postgres: Postgres) -> Book:
    return Book(postgres, load_queries())


@pytest.fixture
def reconciler(postgres: Postgres) -> Reconciler:
    return Reconciler(postgres, load_queries())


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Owner]:
    """A connection of the database's owner, who may do what the gateway may not."""
    line = await asyncpg.connect(database, ssl=False)
    yield line
    await line.close()


@pytest.fixture
def mint(book: Book) -> Mint:
    """Mints a key that no address limits."""
    numbers = itertools.count(1)

    async def make(grant_tokens: int = GRANT_TOKENS) -> BalanceRow:
        made = await book.mint(next(numbers), os.urandom(32), "abcd", None, grant_tokens, 0)
        assert isinstance(made, BalanceRow)
        return made

    return make


@pytest.fixture
def closer(postgres: Postgres) -> Closer:
    return Closer(postgres, load_queries())


@pytest.fixture
def exports(postgres: Postgres) -> Exports:
    return Exports(postgres, load_queries())


@pytest.fixture
async def closed(book: Book, mint: Mint, owner: Owner, closer: Closer, exports: Exports) -> Closed:
    """Three days of one key among three others: charges, a refund on the next day, a void."""
    keys = [(await mint(1_000)).key_id for _ in range(4)]
    mine = keys[1]
    earlier = request_id(5)
    for number, day in enumerate((3, 2, 1)):
        requests = [request_id(100 * number + n) for n in range(12)]
        events = [
            charge(each, keys[n % 4], 5 + n, 100 * number + n + 1)
            for n, each in enumerate(requests)
        ]
        await book.post_outcomes(
            batch(*events[:-1], void(requests[-1], keys[3], 100 * number + 12))
        )
        if number == 1:
            await book.refund_undelivered([requests[1], earlier])
        earlier = requests[5]
        await put_back(owner, TODAY - timedelta(days=day))
    await close_all(closer)
    return Closed(
        mine,
        await lines_of(exports, mine),
        await exports.key_days(mine, *EVER),
        await exports.closed_days(*EVER),
    )


def differences(checks: list[Check]) -> dict[str, int]:
    """The checks that found something."""
    return {check.name: check.differences for check in checks if check.differences}
