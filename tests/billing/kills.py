"""Tells one story under a kill at every step, and how each of them ends."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from gateway.admission.gate import Gate
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow
from gateway.postgres import Postgres
from gateway.sql import load_queries
from tests.billing.lives import AFTER, Life, Story
from tests.stripe_standin import StandIn

Fresh = Callable[[], AbstractAsyncContextManager[str]]


@dataclass(frozen=True)
class End:
    """What is there when a story is over: at the key, at Stripe, in the books."""

    trial: int
    paid: int
    status: str
    tier: str
    debt: int
    orders: tuple[tuple[str, str, int], ...]
    charges: int
    refunds: int
    sessions: int


async def tell(dsn: str, gate: Gate, life: Life, *, revoked: bool = False) -> End:
    """One story on a fresh key and a Stripe of its own."""
    postgres = Postgres(dsn, command_deadline_ms=20_000)
    key_id = int.from_bytes(os.urandom(7), "big") + 1
    book = Book(postgres, load_queries())
    assert isinstance(await book.mint(key_id, os.urandom(32), "abcd", None, 5, 0), BalanceRow)
    async with StandIn() as stripe:
        story = Story(dsn, stripe, gate, key_id, life, revoked)
        try:
            await story.told()
        finally:
            await story.close()
        row = await book.load_balance(key_id)
        orders = await postgres.rows(
            "select origin, state, granted_tokens from topup_order where key_id = $1 order by 1",
            key_id,
        )
        debt = await postgres.value("select sum(tokens) from key_debt where key_id = $1", key_id)
        await postgres.close()
        assert row is not None
        every = stripe.desk.world.all
        return End(
            row.trial,
            row.paid,
            row.status,
            row.tier,
            debt or 0,
            tuple((o["origin"], o["state"], o["granted_tokens"]) for o in orders),
            len(every("charge")),
            len(every("refund")),
            len(every("checkout.session")),
        )


async def ends(
    fresh: Fresh,
    gate: Gate,
    some: list[tuple[int, str]],
    *,
    revoked: bool = False,
    at_once: int = 3,
) -> dict[tuple[int, str], End]:
    """How each of these kills ends: (step, before or after it). Each has a database of its own:
    a worker takes all that it finds. Books that do not hold are an assertion."""
    room = asyncio.Semaphore(at_once)

    async def one(step: int, how: str) -> End:
        async with room, fresh() as dsn:
            end = await tell(dsn, gate, Life(step, how), revoked=revoked)
            await _proven(dsn)
            return end

    found = await asyncio.gather(*(one(step, how) for step, how in some))
    return dict(zip(some, found, strict=True))


async def steps_of_a_story(fresh: Fresh, gate: Gate, *, revoked: bool = False) -> tuple[int, End]:
    """How many steps there are when nobody is killed, and the end that every story must have."""
    life = Life(how=AFTER)
    async with fresh() as dsn:
        end = await tell(dsn, gate, life, revoked=revoked)
    return life.done, end


async def _proven(dsn: str) -> None:
    postgres = Postgres(dsn, command_deadline_ms=20_000)
    checks = await Reconciler(postgres, load_queries()).run()
    await postgres.close()
    assert [check for check in checks if check.differences] == []
