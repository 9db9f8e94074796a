"""refund_undelivered: what was taken for answers that never arrived goes back, once."""

from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow
from tests.ledger.conftest import Mint, differences
from tests.ledger.events import batch, charge, request_id, void
from tests.ledger.test_outcomes import money


async def test_undelivered_is_given_back_once_to_the_buckets_it_came_from(
    book: Book, mint: Mint, reconciler: Reconciler
) -> None:
    key = (await mint(100)).key_id
    await book.credit(key, 50, "paid", "order-1")
    request = request_id(1)
    await book.post_outcomes(batch(charge(request, key, 120)))
    for _ in range(2):
        (row,) = await book.refund_undelivered([request])
        assert money(row) == (100, 50)
    stored = await book.request(key, request)
    assert stored is not None
    assert (stored.cost_tokens, stored.given_back_tokens) == (120, 120)
    assert [row.tokens for row in await book.usage(key)] == [0]
    assert differences(await reconciler.run()) == {}


async def test_undelivered_of_a_void_gives_nothing(book: Book, mint: Mint) -> None:
    key = (await mint(100)).key_id
    request = request_id(1)
    await book.post_outcomes(batch(void(request, key)))
    (row,) = await book.refund_undelivered([request])
    assert money(row) == (100, 0)


async def test_undelivered_of_a_revoked_key_goes_to_forfeit(
    book: Book, mint: Mint, reconciler: Reconciler
) -> None:
    key = (await mint(100)).key_id
    request = request_id(1)
    await book.post_outcomes(batch(charge(request, key, 30)))
    await book.revoke(key)
    (row,) = await book.refund_undelivered([request])
    assert money(row) == (0, 0)
    assert (await book.account_sums())["forfeit"] == 100
    assert differences(await reconciler.run()) == {}


async def test_undelivered_that_no_balance_can_hold_is_written_off_and_holds_up_nobody(
    book: Book, mint: Mint, reconciler: Reconciler
) -> None:
    full, other = (await mint(100)).key_id, (await mint(100)).key_id
    requests = [request_id(1), request_id(2)]
    await book.post_outcomes(
        batch(charge(requests[0], full, 30, 1), charge(requests[1], other, 40, 2))
    )
    assert isinstance(await book.credit(full, 2**53 - 1 - 80, "paid", "much"), BalanceRow)
    rows = {row.key_id: money(row) for row in await book.refund_undelivered(requests)}
    assert rows == {full: (70, 2**53 - 1 - 80), other: (100, 0)}
    assert (await book.account_sums())["writeoff"] == 30
    assert differences(await reconciler.run()) == {}


async def test_undelivered_without_a_posted_outcome_gives_nothing_and_leaves_a_trace(
    book: Book, mint: Mint, reconciler: Reconciler
) -> None:
    key = (await mint(100)).key_id
    posted, missing = request_id(1), request_id(2)
    await book.post_outcomes(batch(charge(posted, key, 30)))
    (row,) = await book.refund_undelivered([posted, missing])
    assert money(row) == (100, 0)
    assert await book.refund_undelivered([missing]) == []
    assert (await book.figures()).contradictions == 1
    assert differences(await reconciler.run()) == {}
