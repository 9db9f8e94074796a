"""post_outcomes: what a charge takes, and what a repeat, a stranger or a month does to it."""

import asyncio
from datetime import UTC, datetime

import pytest

from gateway.errors import PostgresUnavailable
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow, OutcomesRefused
from gateway.metering import event
from gateway.postgres import Postgres
from gateway.sql import migration_files
from tests.ledger.conftest import Mint, Owner, differences
from tests.ledger.events import INSTANCE, batch, charge, request_id, void


def money(row: BalanceRow | None) -> tuple[int, int]:
    assert row is not None
    return row.trial, row.paid


async def test_charge_takes_trial_before_paid_and_the_rest_is_shortfall(
    book: Book, mint: Mint, reconciler: Reconciler
) -> None:
    key = (await mint(100)).key_id
    await book.credit(key, 50, "paid", "order-1")
    ids = [request_id(n) for n in range(4)]
    (row,) = await book.post_outcomes(
        batch(*(charge(i, key, 60, n + 1) for n, i in enumerate(ids)))
    )
    assert money(row) == (0, 0)
    found = [await book.request(key, i) for i in ids]
    assert [(r.from_trial, r.from_paid, r.shortfall) for r in found if r] == [
        (60, 0, 0),
        (40, 20, 0),
        (0, 30, 30),
        (0, 0, 60),
    ]
    assert (await book.figures()).shortfall_tokens == 90
    # What usage says is what the balance lost: 100 of the trial and the 50 that were credited.
    assert [(row.requests, row.tokens) for row in await book.usage(key)] == [(4, 150)]
    assert differences(await reconciler.run()) == {}


async def test_event_of_the_spool_is_read_at_the_positions_of_the_contract(
    book: Book, mint: Mint
) -> None:
    key = (await mint()).key_id
    sent = event.Event(
        request_id(7), "charge", key, "rerank", 11, 12, 13, "complete", "r", 201, 14, 15, 16, "n/9"
    )
    await book.post_outcomes(b"[" + sent.encode() + b"]")
    row = await book.request(key, sent.request_id)
    assert row is not None
    assert (row.product, row.cost_tokens, row.reported_tokens, row.held_tokens) == (
        "rerank",
        11,
        12,
        13,
    )
    assert (row.outcome, row.rule, row.http_status) == ("complete", "r", 201)
    assert (row.admitted_ms, row.decided_ms) == (15, 16)


async def test_replay_changes_nothing_and_answers_the_newest_row(book: Book, mint: Mint) -> None:
    key = (await mint(1_000)).key_id
    events = batch(charge(request_id(1), key, 10, 1), charge(request_id(2), key, 20, 2))
    first = await book.post_outcomes(events)
    assert await book.post_outcomes(events) == first
    await book.credit(key, 5, "paid", "order-1")
    (row,) = await book.post_outcomes(events)
    assert (money(row), row.tier) == ((970, 5), "premium")


async def test_duplicate_within_a_batch_is_charged_once(book: Book, mint: Mint) -> None:
    key = (await mint(100)).key_id
    same = charge(request_id(1), key, 30)
    (row,) = await book.post_outcomes(batch(same, same, same))
    assert money(row) == (70, 0)


async def test_request_is_never_both_charged_and_void(book: Book, mint: Mint) -> None:
    key = (await mint(100)).key_id
    request = request_id(1)
    await book.post_outcomes(batch(void(request, key)))
    (row,) = await book.post_outcomes(batch(charge(request, key, 30)))
    assert money(row) == (100, 0)
    stored = await book.request(key, request)
    assert stored is not None
    assert stored.kind == "void"
    assert (await book.figures()).contradictions == 1


async def test_first_of_two_outcomes_in_one_batch_stands(book: Book, mint: Mint) -> None:
    key = (await mint(100)).key_id
    request = request_id(1)
    (row,) = await book.post_outcomes(batch(charge(request, key, 30), void(request, key)))
    assert money(row) == (70, 0)
    assert (await book.figures()).contradictions == 1


async def test_unknown_key_refuses_the_whole_batch_by_name(book: Book, mint: Mint) -> None:
    key = (await mint(100)).key_id
    with pytest.raises(OutcomesRefused, match="4711") as refused:
        await book.post_outcomes(
            batch(charge(request_id(1), key, 10), charge(request_id(2), 4711, 10))
        )
    assert refused.value.sqlstate == "SL001"
    assert money(await book.load_balance(key)) == (100, 0)
    assert await book.recent(key) == []


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (event.REQUEST_ID, "no uuid"),
        (event.KIND, "gift"),
        (event.KIND, "void"),
        (event.COST_TOKENS, -1),
        (event.COST_TOKENS, 2**53),
        (event.COST_TOKENS, None),
        (event.HELD_TOKENS, -1),
        (event.PRODUCT, None),
        (event.ADMISSION_NO, "x"),
        (event.INSTANCE, None),
    ],
)
async def test_malformed_event_is_refused_and_nothing_of_its_batch_posted(
    book: Book, mint: Mint, position: int, value: int | str | None
) -> None:
    key = (await mint(100)).key_id
    bad = charge(request_id(2), key, 10)
    bad[position] = value
    with pytest.raises(OutcomesRefused):
        await book.post_outcomes(batch(charge(request_id(1), key, 10), bad))
    assert money(await book.load_balance(key)) == (100, 0)


async def test_anonymous_outcome_is_recorded_and_moves_nothing(
    book: Book, postgres: Postgres, reconciler: Reconciler
) -> None:
    same = void(request_id(1), None)
    assert await book.post_outcomes(batch(same)) == []
    assert await book.post_outcomes(batch(same, same)) == []
    assert await postgres.value("select count(*) from outcome where key_id is null") == 1
    assert differences(await reconciler.run()) == {}


async def test_two_writers_of_one_anonymous_outcome_both_succeed(
    book: Book, postgres: Postgres
) -> None:
    for number in range(10):
        same = batch(void(request_id(number), None, number + 1))
        await asyncio.gather(*(book.post_outcomes(same) for _ in range(4)))
    assert await postgres.value("select count(*) from outcome") == 10


async def test_charge_of_a_revoked_key_becomes_shortfall(
    book: Book, mint: Mint, reconciler: Reconciler
) -> None:
    key = (await mint(100)).key_id
    await book.revoke(key)
    request = request_id(1)
    (row,) = await book.post_outcomes(batch(charge(request, key, 40)))
    assert (money(row), row.status) == ((0, 0), "revoked")
    stored = await book.request(key, request)
    assert stored is not None
    assert stored.shortfall == 40
    assert differences(await reconciler.run()) == {}


async def test_month_comes_from_the_request_id_on_both_sides_of_its_boundary(
    book: Book, mint: Mint, postgres: Postgres, reconciler: Reconciler
) -> None:
    key = (await mint(100)).key_id
    start_ms = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp() * 1_000)
    last, first = request_id(1, at_ms=start_ms - 1), request_id(1, at_ms=start_ms)
    assert await postgres.value("select to_regclass('outcome_y2025m02')::text") is None
    events = batch(charge(last, key, 10, 1), charge(first, key, 20, 2))
    await book.post_outcomes(events)
    (row,) = await book.post_outcomes(events)
    assert money(row) == (70, 0)
    found = await postgres.rows(
        "select tableoid::regclass::text as part, month::text from outcome order by month"
    )
    assert [tuple(r.values()) for r in found] == [
        ("outcome_y2025m02", "2025-02-01"),
        ("outcome_y2025m03", "2025-03-01"),
    ]
    assert differences(await reconciler.run()) == {}


async def test_missing_month_is_made_once_by_writers_at_the_same_time(
    book: Book, mint: Mint, postgres: Postgres
) -> None:
    keys = [(await mint(100)).key_id for _ in range(6)]
    at_ms = int(datetime(2025, 7, 9, tzinfo=UTC).timestamp() * 1_000)
    await asyncio.gather(
        *(
            book.post_outcomes(batch(charge(request_id(n, at_ms=at_ms), key, 10, n + 1)))
            for n, key in enumerate(keys)
        )
    )
    assert await postgres.value("select count(*) from outcome where month = '2025-07-01'") == 6


async def test_month_that_cannot_be_is_refused(book: Book, mint: Mint) -> None:
    key = (await mint(100)).key_id
    with pytest.raises(OutcomesRefused) as refused:
        await book.post_outcomes(batch(charge(request_id(1, at_ms=0), key, 1)))
    assert refused.value.sqlstate == "SL002"


async def test_partitions_of_the_months_ahead_are_there(book: Book) -> None:
    assert await book.ensure_months(3) == 0
    assert await book.ensure_months(5) == 2


async def test_usage_of_before_loses_its_shortfalls_with_the_migration(
    book: Book, mint: Mint, owner: Owner, reconciler: Reconciler
) -> None:
    key = (await mint(100)).key_id
    await book.post_outcomes(
        batch(charge(request_id(1), key, 60, 1), charge(request_id(2), key, 71, 2))
    )
    await owner.execute("update usage_day set tokens = 131")
    (path,) = [path for path in migration_files() if path.name.startswith("0011_")]
    await owner.execute(path.read_text(encoding="utf-8"))
    assert [row.tokens for row in await book.usage(key)] == [100]
    assert differences(await reconciler.run()) == {}


async def test_missing_right_is_an_outage_and_no_fault_of_the_outcomes(
    book: Book, mint: Mint, owner: Owner
) -> None:
    key = (await mint(100)).key_id
    events = batch(charge(request_id(1), key, 30))
    await owner.execute("revoke execute on function post_outcomes(jsonb) from sluice_runtime")
    with pytest.raises(PostgresUnavailable, match="permission"):
        await book.post_outcomes(events)
    await owner.execute("grant execute on function post_outcomes(jsonb) to sluice_runtime")
    (row,) = await book.post_outcomes(events)
    assert money(row) == (70, 0)


async def test_instance_is_known_from_its_first_outcome(book: Book, mint: Mint) -> None:
    key = (await mint(100)).key_id
    await book.post_outcomes(batch(charge(request_id(1), key, 1)))
    (instance,) = await book.list_instances()
    assert (instance.instance, instance.complete_below) == (INSTANCE, 1)
