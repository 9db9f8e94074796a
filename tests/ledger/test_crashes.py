"""Killed connections and a killed server: all of a batch or nothing, and what was said stays."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.commands.migrate import bring_up_to_date
from gateway.embedded.postgres_server import PostgresServer
from gateway.errors import PostgresUnavailable
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow
from gateway.postgres import Postgres
from gateway.sql import load_queries
from tests.ledger.conftest import Mint, Owner, differences
from tests.ledger.events import INSTANCE, batch, charge, request_id


@pytest.fixture
async def own_server(servers_folder: Path) -> AsyncIterator[PostgresServer]:
    """A server that the test may kill."""
    server = PostgresServer(servers_folder / "killed")
    await server.start()
    await bring_up_to_date(server.dsn)
    yield server
    await server.stop()


async def _until_somebody_waits_for_a_lock(owner: Owner) -> int:
    for _ in range(3_000):
        pid: int | None = await owner.fetchval(
            "select pid from pg_stat_activity where wait_event_type = 'Lock' limit 1"
        )
        if pid is not None:
            return pid
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.mark.parametrize(
    "blocked",
    [
        "select from key_balance where key_id = 2 for update",
        "lock table usage_day in exclusive mode",
    ],
)
async def test_connection_killed_in_the_middle_of_a_batch_leaves_nothing_half_done(
    book: Book, mint: Mint, owner: Owner, reconciler: Reconciler, blocked: str
) -> None:
    keys = [(await mint(100)).key_id for _ in range(3)]
    events = batch(*(charge(request_id(k), k, 10, k) for k in keys))
    async with owner.transaction():
        await owner.execute(blocked)
        posting = asyncio.create_task(book.post_outcomes(events))
        await owner.execute(
            "select pg_terminate_backend($1)", await _until_somebody_waits_for_a_lock(owner)
        )
        with pytest.raises(PostgresUnavailable):
            await posting
    assert [row.trial for row in await book.load_balances(keys)] == [100, 100, 100]
    assert await book.recent(keys[0]) == []
    assert differences(await reconciler.run()) == {}
    assert [row.trial for row in await book.post_outcomes(events)] == [90, 90, 90]
    assert differences(await reconciler.run()) == {}


async def _post_until_acknowledged(book: Book, server: PostgresServer, events: bytes) -> int:
    """Posts the same batch again and again, starting the server when it is dead; how often."""
    for attempt in range(1, 11):
        try:
            await book.post_outcomes(events)
            return attempt
        except PostgresUnavailable:
            await server.wait_dead()
            await server.start()
    raise AssertionError("never acknowledged")


async def test_acknowledged_charges_survive_kills_of_the_server_exactly_once(
    own_server: PostgresServer,
) -> None:
    port = Postgres(own_server.dsn)
    book = Book(port, load_queries())
    made = await book.mint(1, b"k", "abcd", None, 1_000, 0)
    assert isinstance(made, BalanceRow)
    attempts = 0
    for number in range(1, 121):
        if number % 25 == 0 and number <= 100:
            # Somewhere in the middle of the next batch or two.
            asyncio.get_running_loop().call_later(
                0.001 * (number // 25), os.kill, own_server.pid, signal.SIGKILL
            )
        attempts += await _post_until_acknowledged(
            book, own_server, batch(charge(request_id(number), 1, 1, number))
        )
    assert attempts >= 124
    row = await book.load_balance(1)
    assert row is not None
    assert row.trial == 1_000 - 120
    await book.beat_instance(INSTANCE, 121, [], False, False)
    assert differences(await Reconciler(port, load_queries()).run()) == {}
    await port.close()
