"""Paid tokens between keys, in the ledger: all or nothing, once per name, in any order at once."""

import asyncio
import itertools

import pytest

from gateway.errors import PostgresUnavailable
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import Deed, DeedRefusal
from gateway.postgres import Postgres
from tests.ledger.closed import Owner
from tests.ledger.conftest import Mint, differences
from tests.ledger.test_crashes import _until_somebody_waits_for_a_lock

PLENTY = 2**53 - 1


@pytest.fixture
async def keys(book: Book, mint: Mint) -> list[int]:
    """Three premium keys with 100 trial and 1,000 paid tokens each."""
    made = [(await mint(100)).key_id for _ in range(3)]
    for key in made:
        await book.credit(key, 1_000, "paid", f"first {key}")
    return made


async def paid(book: Book, keys: list[int]) -> list[int]:
    rows = {row.key_id: row for row in await book.load_balances(keys)}
    assert {row.trial for row in rows.values() if row.status != "revoked"} <= {100}
    return [rows[key].paid for key in keys]


async def move(
    book: Book,
    sender: int,
    receiver: int,
    tokens: int | None,
    *,
    most: int = PLENTY,
    ref: str = "ref",
    name: str | None = None,
) -> Deed | DeedRefusal:
    return await book.transfer(sender, receiver, tokens, most, ref=ref, name=name)


async def test_a_transfer_is_one_row_with_one_debit_and_one_credit(
    book: Book, postgres: Postgres, keys: list[int], reconciler: Reconciler
) -> None:
    one, other, _ = keys
    done = await move(book, one, other, 300)
    assert isinstance(done, Deed)
    assert (done.tokens, done.forfeited, done.again) == (300, 0, False)
    assert [done.sender, done.receiver] == [await book.load_balance(key) for key in (one, other)]
    rows = await postgres.rows("select * from transfer where kind = 'transfer'")
    (row,) = [dict(row) for row in rows]
    assert (row["debit_key"], row["credit_key"], row["tokens"]) == (one, other, 300)
    assert (row["debit_paid_after"], row["credit_paid_after"]) == (700, 1_300)
    assert {row.key_id for row in await book.take_outbox()} >= {one, other}
    assert differences(await reconciler.run()) == {}


async def test_no_more_than_may_move_moves(book: Book, keys: list[int]) -> None:
    one, other, _ = keys
    done = await move(book, one, other, None, most=250)
    assert isinstance(done, Deed)
    assert done.tokens == 250
    assert await move(book, one, other, 251, most=250, ref="b") is DeedRefusal.NOT_ENOUGH
    assert await move(book, one, other, 751, ref="c") is DeedRefusal.NOT_ENOUGH
    assert await move(book, one, other, None, most=0, ref="d") is DeedRefusal.NOTHING_TO_MOVE
    assert await move(book, one, other, 0, ref="e") is DeedRefusal.NOTHING_TO_MOVE
    assert await move(book, one, other, -1, ref="f") is DeedRefusal.NOTHING_TO_MOVE
    assert await paid(book, keys) == [750, 1_250, 1_000]


async def test_a_receiver_that_cannot_hold_it_gets_nothing(book: Book, keys: list[int]) -> None:
    one, other, _ = keys
    await book.credit(other, PLENTY - 2_000, "paid", "a fortune")
    assert await move(book, one, other, 901) is DeedRefusal.TOO_MUCH
    assert isinstance(await move(book, one, other, 900), Deed)


async def test_a_name_answers_the_same_for_ever(
    book: Book, keys: list[int], reconciler: Reconciler
) -> None:
    one, other, third = keys
    first = await move(book, one, other, None, name="n", ref="1")
    assert isinstance(first, Deed)
    await move(book, other, third, 500, ref="2")
    again = await move(book, one, other, None, most=0, name="n", ref="3")
    assert isinstance(again, Deed)
    assert again.again
    assert (again.sender, again.receiver) == (first.sender, first.receiver)
    refused = await move(book, one, other, 1_000, name="n", ref="4")
    assert refused is DeedRefusal.REF_USED_OTHERWISE
    assert await paid(book, keys) == [0, 1_500, 1_500]
    assert differences(await reconciler.run()) == {}


async def test_a_preview_is_what_then_happens_and_writes_nothing(
    book: Book, keys: list[int]
) -> None:
    one, other, _ = keys
    before = await book.load_balances(keys)
    seen = await book.preview_transfer(one, other, None, 400)
    assert isinstance(seen, Deed)
    assert seen.tokens == 400
    assert [row for row in before if row.key_id == one] == [seen.sender]
    assert await book.preview_transfer(one, one, None, 400) is DeedRefusal.SAME_KEY
    assert await book.preview_transfer(one, 999_999, 5, 400) is DeedRefusal.UNKNOWN_KEY
    assert await book.load_balances(keys) == before


async def test_transfers_in_a_circle_at_once_neither_lock_up_nor_lose_anything(
    book: Book, keys: list[int], reconciler: Reconciler
) -> None:
    ways = list(itertools.permutations(keys, 2)) * 8
    done = await asyncio.gather(
        *(move(book, a, b, 7, ref=f"{number}") for number, (a, b) in enumerate(ways)),
        *(move(book, a, b, None, most=50, ref=f"x{n}") for n, (a, b) in enumerate(ways)),
    )
    assert all(isinstance(each, Deed) for each in done)
    assert await paid(book, keys) == [1_000] * 3
    assert differences(await reconciler.run()) == {}


async def test_a_name_that_comes_many_times_at_once_moves_once(book: Book, keys: list[int]) -> None:
    one, other, _ = keys
    done = await asyncio.gather(
        *(move(book, one, other, 400, name="n", ref=f"{number}") for number in range(8))
    )
    found = [each for each in done if isinstance(each, Deed)]
    assert len(found) == 8
    assert sorted(each.again for each in found) == [False] + [True] * 7
    assert await paid(book, keys) == [600, 1_400, 1_000]


async def test_a_revocation_saves_what_may_move_and_forfeits_the_rest(
    book: Book, keys: list[int], reconciler: Reconciler
) -> None:
    one, other, third = keys
    done = await book.end_key(one, other, 600)
    assert isinstance(done, Deed)
    assert (done.tokens, done.forfeited) == (600, 500)
    assert done.sender.status == "revoked"
    again = await book.end_key(one, third, PLENTY)
    assert isinstance(again, Deed)
    assert (again.tokens, again.forfeited, again.sender) == (0, 0, done.sender)
    assert await paid(book, keys) == [0, 1_600, 1_000]
    assert await move(book, one, other, None) is DeedRefusal.REVOKED
    assert await move(book, other, one, None) is DeedRefusal.RECEIVER_NOT_ACTIVE
    assert await book.end_key(other, one, PLENTY) is DeedRefusal.RECEIVER_NOT_ACTIVE
    assert [row.key_id for row in await book.recently_revoked(7, 0, 10)] == [one]
    assert await book.recently_revoked(7, one, 10) == []
    assert differences(await reconciler.run()) == {}


@pytest.mark.parametrize(
    "blocked",
    [
        "select from key_balance where key_id = {one} for update",
        "select from key_balance where key_id = {other} for update",
        "lock table transfer in exclusive mode",
        "lock table balance_outbox in exclusive mode",
        "lock table {last} in exclusive mode",
    ],
)
@pytest.mark.parametrize("what", ["transfer", "revocation"])
async def test_a_line_that_is_cut_at_any_statement_leaves_nothing_half_done(
    book: Book, keys: list[int], owner: Owner, reconciler: Reconciler, blocked: str, what: str
) -> None:
    one, other, _ = keys

    async def act() -> Deed | DeedRefusal:
        if what == "transfer":
            return await move(book, one, other, 300, name="n")
        return await book.end_key(one, other, PLENTY)

    last = "deed" if what == "transfer" else "revocation"
    async with owner.transaction():
        await owner.execute(blocked.format(one=one, other=other, last=last))
        acting = asyncio.create_task(act())
        await owner.execute(
            "select pg_terminate_backend($1)", await _until_somebody_waits_for_a_lock(owner)
        )
        with pytest.raises(PostgresUnavailable):
            await acting
    assert await paid(book, keys) == [1_000] * 3
    assert differences(await reconciler.run()) == {}
    done = await act()
    assert isinstance(done, Deed)
    moved = 300 if what == "transfer" else 1_000
    assert await paid(book, keys) == [1_000 - moved, 1_000 + moved, 1_000]
    assert differences(await reconciler.run()) == {}
