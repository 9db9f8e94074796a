"""Top-ups, refunds, disputes, charges, transfers and revocations at once: the books hold."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from gateway.billing.till import Till
from gateway.edge.request_ids import new_request_id
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.postgres import Postgres
from gateway.sql import load_queries
from tests.billing.event_orders import (
    LOST,
    REFUNDS,
    TOKENS,
    WON,
    apply,
    fresh_key,
    fresh_order,
    spend,
)

KEYS = 4
WORKERS = 8
ACTS = 25
GRANTED = (TOKENS - TOKENS * 123 // 500, 0, TOKENS - TOKENS * 100 // 500)


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Postgres]:
    port = Postgres(database, pool_size=WORKERS, command_deadline_ms=30_000)
    yield port
    await port.close()


async def test_eight_workers_on_four_keys_keep_the_books(postgres: Postgres) -> None:
    queries = load_queries()
    till, book = Till(postgres, queries), Book(postgres, queries)
    keys = [await fresh_key(book) for _ in range(KEYS)]
    orders = {key: [await fresh_order(till, key) for _ in range(3)] for key in keys}
    stories = (WON, LOST, REFUNDS)

    async def work(number: int) -> None:
        chance = random.Random(number)
        for act in range(ACTS):
            key = chance.choice(keys)
            place = chance.randrange(3)
            what = chance.random()
            if what < 0.6:
                await apply(till, orders[key][place], chance.choice(stories[place]))
            elif what < 0.75:
                await spend(till, key)
            elif what < 0.9:
                other = chance.choice(keys)
                tokens = chance.choice((None, 1_000))
                ref = new_request_id()
                await book.transfer(key, other, tokens, 10**15, ref=ref, name=None)
            elif what < 0.95:
                await book.set_status(key, chance.choice(("active", "suspended")))
            elif act > ACTS * 3 // 4 and key == keys[0]:
                await book.revoke(key)

    await asyncio.gather(*map(work, range(WORKERS)))
    # Whatever was said last, in the end everything has been said.
    for key in keys:
        for place, story in enumerate(stories):
            await apply(till, orders[key][place], story[-1])
    checks = await Reconciler(postgres, queries).run()
    assert [check for check in checks if check.differences] == []
    for key in keys:
        for place, order_id in enumerate(orders[key]):
            order = await till.order(order_id)
            assert order is not None
            assert order.topped_up != order.return_due
            assert order.granted_tokens == (GRANTED[place] if order.topped_up else 0)
