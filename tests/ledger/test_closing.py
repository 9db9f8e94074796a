"""Closed days: what is closed never changes, and a customer proves his export with the digests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ledger.book import Book
from gateway.ledger.closing import Closer, Exports
from gateway.ledger.digests import NOTHING, ClosedDay, KeyDay
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.verify import verify
from gateway.postgres import Postgres
from gateway.sql import load_queries
from tests.ledger.conftest import Mint, Owner, differences
from tests.ledger.events import batch, charge, now_ms, request_id, void

TODAY = datetime.now(UTC).date()
EVER = (date(2000, 1, 1), TODAY)
# What the database has of a key, by the chain itself and by no view of the export.
BY_THE_CHAIN = """
select -coalesce(sum(trial_step + paid_step), 0)::bigint from key_move
where key_id = $1 and (source like 'outcome %' or source in (
    select 'transfer ' || transfer_id from transfer where kind = 'undelivered'))
"""


@pytest.fixture
def closer(postgres: Postgres) -> Closer:
    return Closer(postgres, load_queries())


@pytest.fixture
def exports(postgres: Postgres) -> Exports:
    return Exports(postgres, load_queries())


async def _put_back(owner: Owner, day: date) -> None:
    """What was posted in the last minutes was posted on this day, at the same time of day."""
    await owner.execute("set session_replication_role = replica")
    for table in ("outcome", "transfer"):
        await owner.execute(
            f"update {table} set posted_at = $1::date + (posted_at at time zone 'UTC')::time"
            " at time zone 'UTC' where posted_at > now() - interval '1 hour'",
            day,
        )
    await owner.execute(
        "update api_key set created_at = least(created_at, $1::date + interval '1 hour')", day
    )


async def _close_all(closer: Closer) -> list[date]:
    closed = []
    while (day := await closer.close_next()) is not None:
        closed.append(day)
    return closed


async def _lines(exports: Exports, key_id: int, span: tuple[date, date] = EVER) -> list[str]:
    return [line async for page in exports.pages(key_id, *span, page_lines=3) for line in page]


def _tokens(lines: Sequence[str]) -> int:
    return sum(int(line.split("\t")[6]) for line in lines)


@dataclass(frozen=True, slots=True)
class Closed:
    """What a customer holds: his lines, his days, and what is published."""

    key_id: int
    lines: list[str]
    days: list[KeyDay]
    published: list[ClosedDay]

    def differences(self, lines: Sequence[str] | None = None) -> list[str]:
        given = self.lines if lines is None else lines
        return verify(self.key_id, given, self.days, self.published).differences


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
        await _put_back(owner, TODAY - timedelta(days=day))
    await _close_all(closer)
    return Closed(
        mine,
        await _lines(exports, mine),
        await exports.key_days(mine, *EVER),
        await exports.closed_days(*EVER),
    )


async def test_days_are_closed_in_order_once_and_only_when_over(
    book: Book, mint: Mint, owner: Owner, closer: Closer, postgres: Postgres
) -> None:
    assert await closer.close_next() is None
    key_id = (await mint()).key_id
    await book.post_outcomes(batch(charge(request_id(1), key_id, 5)))
    assert await closer.close_next() is None
    await _put_back(owner, TODAY - timedelta(days=2))
    assert await _close_all(closer) == [TODAY - timedelta(days=2), TODAY - timedelta(days=1)]
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
    await _put_back(owner, TODAY - timedelta(days=1))
    late = Closer(postgres, load_queries(), grace=timedelta(hours=25))
    assert await late.close_next() is None


async def test_what_is_posted_late_belongs_to_a_later_day_and_changes_no_closed_one(
    book: Book, mint: Mint, owner: Owner, closer: Closer, exports: Exports, reconciler: Reconciler
) -> None:
    key_id, day = (await mint()).key_id, TODAY - timedelta(days=2)
    await book.post_outcomes(batch(charge(request_id(1), key_id, 5, 1)))
    await _put_back(owner, day)
    assert await closer.close_next() == day
    before = await exports.key_days(key_id, *EVER)
    await book.post_outcomes(batch(charge(request_id(2), key_id, 7, 2)))
    # As if its transaction had been under way for all that time, or a clock been wrong.
    await _put_back(owner, day)
    assert await _lines(exports, key_id, (day, day)) == (await _lines(exports, key_id))[:1]
    assert await closer.close_next() == day + timedelta(days=1)
    first, second = await exports.key_days(key_id, *EVER)
    assert [first] == [replace(before[0], path=first.path)]
    assert (first.tokens, second.tokens) == (5, 7)
    assert (second.day, second.after_seq) == (str(day + timedelta(days=1)), first.upto_seq)
    assert differences(await reconciler.run()) == {}


async def test_customer_proves_his_export(closed: Closed, reconciler: Reconciler) -> None:
    verdict = verify(closed.key_id, closed.lines, closed.days, closed.published)
    assert verdict.differences == []
    assert (verdict.days, verdict.lines_not_closed) == (3, 0)
    assert verdict.lines == len(closed.lines) == 11
    assert verdict.tokens == _tokens(closed.lines)
    assert len(closed.days[0].path) == 2
    assert closed.published[0].previous == closed.days[0].previous == NOTHING
    kinds = [line.split("\t")[1] for line in closed.lines]
    assert kinds.count("refund") == 2
    assert differences(await reconciler.run()) == {}


async def test_export_of_some_days_is_whole_and_proves_itself(
    closed: Closed, exports: Exports
) -> None:
    span = (TODAY - timedelta(days=2), TODAY - timedelta(days=2))
    lines = await _lines(exports, closed.key_id, span)
    days = await exports.key_days(closed.key_id, *span)
    assert verify(closed.key_id, lines, days, closed.published).differences == []
    assert lines == [line for line in closed.lines if line in lines]
    assert 0 < len(lines) < len(closed.lines)


async def test_lines_of_today_are_exported_and_counted_as_not_closed(
    closed: Closed, book: Book, exports: Exports
) -> None:
    await book.post_outcomes(batch(charge(request_id(900), closed.key_id, 3, 90)))
    lines = await _lines(exports, closed.key_id)
    verdict = verify(closed.key_id, lines, closed.days, closed.published)
    assert (verdict.differences, verdict.lines_not_closed) == ([], 1)
    assert len(await _lines(exports, closed.key_id, (TODAY, TODAY))) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_every_change_of_the_export_is_found(closed: Closed, data: st.DataObject) -> None:
    """One character of one line, another order, a line left out or twice."""
    lines = list(closed.lines)
    place = data.draw(st.integers(0, len(lines) - 1))
    what = data.draw(st.sampled_from(("character", "swap", "omit", "twice", "cut")))
    if what == "character":
        at = data.draw(st.integers(0, len(lines[place]) - 1))
        other = data.draw(st.sampled_from("0189az \t").filter(lambda c: c != lines[place][at]))
        lines[place] = lines[place][:at] + other + lines[place][at + 1 :]
    elif what == "swap":
        other_place = data.draw(st.integers(0, len(lines) - 1).filter(lambda p: p != place))
        lines[place], lines[other_place] = lines[other_place], lines[place]
    elif what == "omit":
        del lines[place]
    elif what == "cut":
        del lines[place:]
    else:
        lines.insert(data.draw(st.integers(0, len(lines))), lines[place])
    assert closed.differences(lines) != []


async def test_every_change_of_the_digests_is_found(closed: Closed) -> None:
    def found(days: list[KeyDay], published: list[ClosedDay]) -> bool:
        return bool(verify(closed.key_id, closed.lines, days, published).differences)

    days, published = closed.days, closed.published
    assert not found(days, published)
    other = bytes(31) + b"\x01"
    for changed in (
        replace(days[1], digest=other),
        replace(days[1], previous=other),
        replace(days[1], path=days[0].path),
        replace(days[1], tokens=days[1].tokens + 1),
        replace(days[1], lines=days[1].lines - 1),
        replace(days[1], day=days[2].day),
    ):
        assert found([days[0], changed, days[2]], published)
    for rewritten in (
        replace(published[1], root=other),
        replace(published[1], previous=other),
        replace(published[1], digest=other),
    ):
        assert found(days, [published[0], rewritten, *published[2:]])
    assert found(days, published[1:])
    assert verify(closed.key_id + 1, closed.lines, days, published).differences


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
            await _put_back(owner, TODAY - timedelta(days=4 - amount % 3))
            if days_left > 1:
                days_left -= int(await closer.close_next() is not None)
    await _put_back(owner, TODAY - timedelta(days=1))
    await _close_all(closer)
    published = await exports.closed_days(*EVER)
    for key_id in keys:
        lines = await _lines(exports, key_id)
        assert _tokens(lines) == await owner.fetchval(BY_THE_CHAIN, key_id)
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
