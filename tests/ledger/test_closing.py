"""Closed days: closed in order, once, and for ever; their lines add up to what was taken."""

from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ledger.book import Book
from gateway.ledger.closing import Closer, Exports
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.verify import verify
from gateway.postgres import Postgres
from gateway.sql import load_queries
from tests.ledger.closed import EVER, TODAY, Closed, close_all, lines_of, put_back, tokens_of
from tests.ledger.conftest import Mint, Owner, differences
from tests.ledger.events import batch, charge, now_ms, request_id, void

# What the database has of a key, by the chain itself and by no view of the export.
BY_THE_CHAIN = """
select -coalesce(sum(trial_step + paid_step), 0)::bigint from key_move
where key_id = $1 and (source like 'outcome %' or source in (
    select 'transfer ' || transfer_id from transfer where kind = 'undelivered'))
"""


async def test_days_are_closed_in_order_once_and_only_when_over(
    book: Book, mint: Mint, owner: Owner, closer: Closer, postgres: Postgres
) -> None:
    assert await closer.close_next() is None
    key_id = (await mint()).key_id
    await book.post_outcomes(batch(charge(request_id(1), key_id, 5)))
    assert await closer.close_next() is None
    await put_back(owner, TODAY - timedelta(days=2))
    assert await close_all(closer) == [TODAY - timedelta(days=2), TODAY - timedelta(days=1)]
    for day in (TODAY, TODAY + timedelta(days=1), TODAY - timedelta(days=9)):
        with pytest.raises(Exception, match="not the next day"):
            await postgres.value("select close_day($1)", day)
    await postgres.value("select close_day($1)", TODAY - timedelta(days=2))
    rows = await postgres.rows("select day, keys from closed_day order by day")
    assert [tuple(row.values()) for row in rows] == [
        (TODAY - timedelta(days=2), 1),
        (TODAY - timedelta(days=1), 0),
    ]


async def test_day_is_not_closed_before_its_grace_is_over(
    mint: Mint, owner: Owner, postgres: Postgres
) -> None:
    await mint()
    await put_back(owner, TODAY - timedelta(days=1))
    late = Closer(postgres, load_queries(), grace=timedelta(hours=25))
    assert await late.close_next() is None


async def test_what_is_posted_late_belongs_to_a_later_day_and_changes_no_closed_one(
    book: Book, mint: Mint, owner: Owner, closer: Closer, exports: Exports, reconciler: Reconciler
) -> None:
    key_id, day = (await mint()).key_id, TODAY - timedelta(days=2)
    await book.post_outcomes(batch(charge(request_id(1), key_id, 5, 1)))
    await put_back(owner, day)
    assert await closer.close_next() == day
    before = await exports.key_days(key_id, *EVER)
    await book.post_outcomes(batch(charge(request_id(2), key_id, 7, 2)))
    # As if its transaction had been under way for all that time, or a clock been wrong.
    await put_back(owner, day)
    assert await lines_of(exports, key_id, (day, day)) == (await lines_of(exports, key_id))[:1]
    assert await closer.close_next() == day + timedelta(days=1)
    first, second = await exports.key_days(key_id, *EVER)
    assert [first] == [replace(before[0], path=first.path)]
    assert (first.tokens, second.tokens) == (5, 7)
    assert (second.day, second.after_seq) == (str(day + timedelta(days=1)), first.upto_seq)
    assert differences(await reconciler.run()) == {}


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("ccccrvpt"), st.integers(0, 2), st.integers(0, 70)),
        min_size=5,
        max_size=40,
    )
)
async def test_sum_of_the_export_is_what_the_ledger_took(
    book: Book,
    mint: Mint,
    owner: Owner,
    closer: Closer,
    exports: Exports,
    reconciler: Reconciler,
    steps: list[tuple[str, int, int]],
) -> None:
    """Charges, refunds, shortfalls, credits, and days that are closed in between."""
    base = now_ms() % 2**40 * 64
    keys = [(await mint(200)).key_id for _ in range(3)]
    # Each example begins with no closed day.
    await owner.execute("set session_replication_role = replica")
    await owner.execute("truncate closed_day, closed_key_day, closed_node")
    await owner.execute("update api_key set created_at = $1::date - 4", TODAY)
    charged: list[list[str]] = [[], [], []]
    days_left = 4
    for number, (step, who, amount) in enumerate(steps):
        request = request_id(base + number)
        if step == "c":
            await book.post_outcomes(batch(charge(request, keys[who], amount, base + number)))
            charged[who].append(request)
        elif step == "v":
            await book.post_outcomes(batch(void(request, keys[who], base + number)))
        elif step == "r" and charged[who]:
            await book.refund_undelivered([charged[who][amount % len(charged[who])]])
        elif step == "p":
            await book.credit(keys[who], amount + 1, "paid", request)
        elif step == "t":
            await put_back(owner, TODAY - timedelta(days=4 - amount % 3))
            if days_left > 1:
                days_left -= int(await closer.close_next() is not None)
    await put_back(owner, TODAY - timedelta(days=1))
    await close_all(closer)
    published = await exports.closed_days(*EVER)
    for key_id in keys:
        lines = await lines_of(exports, key_id)
        assert tokens_of(lines) == await owner.fetchval(BY_THE_CHAIN, key_id)
        verdict = verify(key_id, lines, await exports.key_days(key_id, *EVER), published)
        assert (verdict.differences, verdict.lines_not_closed) == ([], 0)
    checks = [check for check in await reconciler.run() if check.name.startswith("closed")]
    assert differences(checks) == {}


async def test_closed_days_are_append_only(closed: Closed, owner: Owner) -> None:
    await owner.execute("set session_replication_role = origin")
    for table in ("closed_day", "closed_key_day", "closed_node"):
        for statement in (f"update {table} set day = day", f"delete from {table}"):
            with pytest.raises(asyncpg.PostgresError, match="append-only"):
                await owner.execute(statement)
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await owner.execute(f"truncate {table}")
