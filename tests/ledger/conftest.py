"""The ledger on a fresh database, through the role and the port that the gateway uses."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import asyncpg
import pytest

from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow, Check
from gateway.postgres import Postgres
from gateway.sql import load_queries

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


def differences(checks: list[Check]) -> dict[str, int]:
    """The checks that found something."""
    return {check.name: check.differences for check in checks if check.differences}
