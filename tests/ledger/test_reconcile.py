"""The proof finds what it says it finds: each fault is made by hand, behind the guards' back."""

import asyncio
import time
from dataclasses import replace

import orjson
import pytest

from gateway.errors import PostgresUnavailable
from gateway.ledger.book import Book
from gateway.ledger.closing import Closer
from gateway.ledger.reconcile import CHECKS, COPIES_CHECK, Reconciler
from gateway.postgres import Postgres
from gateway.sql import load_queries
from tests.ledger.conftest import Mint, Owner, differences
from tests.ledger.events import INSTANCE, batch, charge, now_ms, request_id, void

COPY_OF_THE_SECOND_CHARGE = """
insert into outcome select (jsonb_populate_record(o, jsonb_build_object(
    'request_id', overlay(o.request_id::text placing 'ffff' from 33), {}))).*
from outcome o where seq = 3
"""

FAULTS = [
    ("chain_has_no_gap", "delete from outcome where seq = 3"),
    ("chain_has_no_gap", "delete from transfer where kind = 'grant'"),
    ("chain_has_no_fork", COPY_OF_THE_SECOND_CHARGE.format("'admission_no', 90")),
    (
        "chain_steps_are_right",
        "update outcome set trial_after = trial_after + 1 where key_id = 1 and seq = 3",
    ),
    ("chain_steps_are_right", "update transfer set tokens = tokens + 1 where kind = 'grant'"),
    ("head_of_chain_is_projection", "update key_balance set trial = trial + 1"),
    ("head_of_chain_is_projection", "update key_balance set seq = seq + 1"),
    ("head_of_chain_is_projection", "delete from key_balance where key_id = 1"),
    (
        "sums_are_projection",
        "update key_balance set trial = trial - 1, paid = paid + 1 where key_id = 1",
    ),
    ("sums_are_projection", "delete from transfer where kind = 'credit'"),
    ("debits_are_credits", "update key_balance set paid = paid + 1"),
    ("debits_are_credits", "delete from outcome where seq = 3"),
    ("outcomes_have_known_keys", "update outcome set key_id = 999 where kind = 'void'"),
    ("admissions_are_not_lost", "delete from outcome where kind = 'void'"),
    ("admissions_end_once", "update outcome set admission_no = 1 where kind = 'void'"),
    ("admissions_end_once", COPY_OF_THE_SECOND_CHARGE.format("'seq', 4")),
    (
        "grants_are_unique",
        "insert into transfer overriding system value select (jsonb_populate_record(t,"
        ' \'{"transfer_id": 900, "ref": "again", "credit_seq": 90}\')).*'
        " from transfer t where kind = 'grant' and credit_key = 1",
    ),
    ("given_back_was_taken", "update transfer set tokens = 1 where kind = 'undelivered'"),
    ("given_back_was_taken", "delete from outcome where seq = 2"),
    ("usage_is_outcomes", "update usage_day set tokens = tokens + 1"),
    ("usage_is_outcomes", "delete from usage_day"),
    ("usage_is_outcomes", "delete from outcome where kind = 'void'"),
    ("closed_days_recompute", "update outcome set rule = 'other' where seq = 2"),
    ("closed_days_recompute", "delete from outcome where seq = 3"),
    ("closed_days_recompute", "update transfer set tokens = 11 where kind = 'undelivered'"),
    ("closed_days_recompute", "update closed_key_day set digest = sha256('x')"),
    ("closed_days_are_chained", "update closed_key_day set digest = sha256('x')"),
    ("closed_days_are_chained", "update closed_key_day set previous = sha256('x')"),
    ("closed_days_are_chained", "update closed_key_day set day = day - 1"),
    ("closed_days_are_chained", "update closed_node set hash = sha256('x')"),
    ("closed_days_are_chained", "delete from closed_node"),
    ("closed_days_are_chained", "delete from closed_key_day"),
    ("closed_days_are_chained", "update closed_day set root = sha256('x')"),
    ("closed_days_are_chained", "update closed_day set previous = sha256('x')"),
    ("orders_are_transfers", "delete from transfer where kind = 'topup'"),
    ("orders_are_transfers", "delete from topup_order"),
    ("orders_are_transfers", "update topup_order set granted_tokens = 1"),
    ("orders_are_transfers", "update topup_order set disputed_minor = 250"),
    ("orders_are_transfers", "update topup_order set state = 'awaiting'"),
    ("orders_are_transfers", "update topup_order set key_id = 1"),
    ("orders_are_transfers", "update transfer set tokens = tokens - 1 where kind = 'dispute'"),
    ("debts_are_owner_debt", "update key_debt set tokens = tokens - 1"),
    ("debts_are_owner_debt", "delete from key_debt"),
    ("debts_are_owner_debt", "delete from transfer where debit_account = 'owner_debt'"),
    ("statuses_have_causes", "update key_balance set status = 'active'"),
    ("statuses_have_causes", "update key_suspension set ended_at = now()"),
    ("statuses_have_causes", "insert into revocation (key_id) values (1)"),
]

ORDER = "00000000-0000-7000-8000-00000000000a"
PAID = {"state": "paid", "paid_minor": 500, "bad_disputes": [], "won_disputes": []}
DISPUTED = {**PAID, "state": "disputed", "disputed_minor": 500, "bad_disputes": ["dp_1"]}


@pytest.fixture
async def key_id(book: Book, mint: Mint, owner: Owner, postgres: Postgres) -> int:
    """A key with a grant (seq 1), charges (2, 3), a void, a refund of the first, and a credit.

    Another key bought 1,000 tokens, spent 600 of them, and disputes the payment. All of it was
    yesterday, which is closed.
    """
    key = (await mint(1_000)).key_id
    requests = [request_id(number) for number in (1, 2, 4)]
    await book.post_outcomes(
        batch(
            charge(requests[0], key, 10, 1),
            charge(requests[1], key, 20, 2),
            void(requests[2], key, 4),
        )
    )
    await book.refund_undelivered([requests[0]])
    await book.credit(key, 5, "paid", "order-1")
    await book.beat_instance(INSTANCE, 5, [3], False, False)
    await _buy_spend_and_dispute(book, postgres, (await mint(10)).key_id)
    await owner.execute("set session_replication_role = replica")
    for change in (
        "update outcome set posted_at = posted_at - interval '24 hours'",
        "update transfer set posted_at = posted_at - interval '24 hours'",
        "update api_key set created_at = created_at - interval '24 hours'",
    ):
        await owner.execute(change)
    await owner.execute("set session_replication_role = origin")
    assert await Closer(postgres, load_queries()).close_next() is not None
    return key


async def _buy_spend_and_dispute(book: Book, postgres: Postgres, key_id: int) -> None:
    sql = (
        "select begin_order($1::text::uuid, $2, 'k', 'd', 'p', 1000, 'usd', 500, false, '{}', 9, 9)"
    )
    assert await postgres.value(sql, ORDER, key_id) == "NEW"
    settle = "select (settle_order($1::text::uuid, $2, $3::text::jsonb)).refusal"
    assert await postgres.value(settle, ORDER, 0, orjson.dumps(PAID).decode()) is None
    spent = charge(request_id(7), key_id, 610, 900)
    await book.post_outcomes(batch(spent))
    assert await postgres.value(settle, ORDER, 1, orjson.dumps(DISPUTED).decode()) is None


async def test_sound_books_have_no_difference(reconciler: Reconciler, key_id: int) -> None:
    checks = await reconciler.run()
    assert tuple(check.name for check in checks) == CHECKS
    assert differences(checks) == {}
    assert differences(await reconciler.run(since_ms=now_ms() - 60_000)) == {}


@pytest.mark.parametrize(("name", "fault"), FAULTS)
async def test_fault_made_behind_the_guards_is_found(
    reconciler: Reconciler, owner: Owner, key_id: int, name: str, fault: str
) -> None:
    await owner.execute("set session_replication_role = replica")
    assert await owner.execute(fault) not in ("DELETE 0", "UPDATE 0", "INSERT 0 0")
    found = {check.name: check for check in await reconciler.run()}
    assert found[name].differences > 0
    assert len(found[name].sample) == min(found[name].differences, 10)


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {name for name, _ in FAULTS} == set(CHECKS)


async def test_lost_admissions_are_named_with_their_numbers(
    book: Book, reconciler: Reconciler, key_id: int
) -> None:
    await book.beat_instance(INSTANCE, 9, [6], False, False)
    (check,) = [c for c in await reconciler.run() if c.differences]
    assert check.name == "admissions_are_not_lost"
    assert check.sample == (
        {"instance": INSTANCE, "first_number": 3, "last_number": 3},
        {"instance": INSTANCE, "first_number": 5, "last_number": 5},
        {"instance": INSTANCE, "first_number": 7, "last_number": 8},
    )


async def test_number_given_back_and_used_later_is_no_difference(
    book: Book, reconciler: Reconciler, key_id: int
) -> None:
    await book.post_outcomes(batch(void(request_id(3), key_id, 3)))
    assert differences(await reconciler.run()) == {}
    await book.beat_instance(INSTANCE, 5, [], True, True)
    assert differences(await reconciler.run()) == {}


async def test_adopter_of_a_dead_instance_does_not_take_back_its_word(
    book: Book, reconciler: Reconciler, postgres: Postgres, key_id: int
) -> None:
    await book.beat_instance(INSTANCE, 1, [], True, True)
    row = await postgres.row("select complete_below, unused::text, drained from instance")
    assert row is not None
    assert tuple(row.values()) == (5, "{[3,4)}", True)
    await book.post_outcomes(batch(void(request_id(9), key_id, 9)))
    assert differences(await reconciler.run()) == {}
    assert await book.list_instances() == []


async def test_living_instance_may_lower_its_mark(
    book: Book, reconciler: Reconciler, key_id: int
) -> None:
    await book.beat_instance(INSTANCE, 3, [], False, False)
    (instance,) = await book.list_instances()
    assert instance.complete_below == 3
    assert differences(await reconciler.run()) == {}


async def test_proof_of_today_sees_no_torn_chain_and_finds_todays_fault(
    book: Book, reconciler: Reconciler, owner: Owner, postgres: Postgres, key_id: int
) -> None:
    for number in range(10, 20):
        await book.post_outcomes(batch(charge(request_id(number), key_id, 1, number)))
        moment = await postgres.value(
            "select (extract(epoch from clock_timestamp()) * 1000)::bigint"
        )
        assert differences(await reconciler.run(since_ms=moment)) == {}
    last_ms: int = await postgres.value(
        "select (extract(epoch from max(posted_at)) * 1000)::bigint from outcome"
    )
    await owner.execute("set session_replication_role = replica")
    await owner.execute("update key_balance set trial = trial + 1")
    found = differences(await reconciler.run(since_ms=last_ms - 1))
    assert set(found) == {"head_of_chain_is_projection"}


async def test_a_check_that_takes_too_long_is_given_up_and_the_others_go_on(
    reconciler: Reconciler, owner: Owner, postgres: Postgres, key_id: int
) -> None:
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute("lock table usage_day in access exclusive mode")
    checks = {check.name: check for check in await reconciler.run(deadline_ms=1_500)}
    assert [name for name, check in checks.items() if not check.holds] == ["usage_is_outcomes"]
    assert "1500 ms" in checks["usage_is_outcomes"].fault
    await transaction.rollback()
    # The database has given it up as well.
    sql = "select count(*) from pg_stat_activity where query like '%usage_day%' and pid <> $1"
    own = "select pg_backend_pid()"
    for _ in range(1_000):
        if not await owner.fetchval(f"{sql} and state = 'active'", await owner.fetchval(own)):
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("it still runs")
    await postgres.close()
    with pytest.raises(PostgresUnavailable):
        await reconciler.run()


async def test_proof_of_today_compares_todays_usage(
    book: Book, reconciler: Reconciler, owner: Owner, key_id: int
) -> None:
    await owner.execute("update usage_day set tokens = tokens + 1")
    assert differences(await reconciler.run(since_ms=now_ms())) == {"usage_is_outcomes": 2}
    await owner.execute("update usage_day set day = day - 9")
    assert differences(await reconciler.run(since_ms=now_ms())) == {"usage_is_outcomes": 2}
    await owner.execute("delete from usage_day")
    assert differences(await reconciler.run(since_ms=now_ms() + 86_400_000)) == {}


async def test_copies_of_redis_may_be_late_but_not_different(
    book: Book, reconciler: Reconciler, key_id: int, mint: Mint
) -> None:
    row = await book.load_balance(key_id)
    assert row is not None
    late = replace(row, version=row.version - 1, trial=row.trial + 10)
    assert (await reconciler.compare_copies([row, late])).differences == 0
    wrong = [
        replace(row, trial=row.trial + 1),
        replace(row, status="suspended"),
        replace(row, version=row.version + 1),
        replace(row, key_id=999),
    ]
    check = await reconciler.compare_copies([row, *wrong])
    assert (check.name, check.differences) == (COPIES_CHECK, 4)
    assert [line["key_id"] for line in check.sample] == [key_id, key_id, key_id, 999]


async def test_proof_of_ten_thousand_charges_ends_within_its_minute(
    book: Book, reconciler: Reconciler, mint: Mint
) -> None:
    keys = [(await mint()).key_id for _ in range(20)]
    for start in range(0, 10_000, 500):
        await book.post_outcomes(
            batch(
                *(charge(request_id(n), keys[n % 20], 1, n + 1) for n in range(start, start + 500))
            )
        )
    await book.beat_instance(INSTANCE, 10_001, [], False, False)
    began = time.monotonic()
    assert differences(await reconciler.run()) == {}
    assert time.monotonic() - began < 60
