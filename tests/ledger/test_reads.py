"""Usage, requests and the look-up of keys: the owner's own, by UTC days, never without a bound."""

from datetime import UTC, datetime, timedelta

from gateway.ledger.book import Book
from gateway.ledger.rows import UsageRow
from tests.ledger.conftest import Mint, Owner
from tests.ledger.events import batch, charge, request_id, void

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)


async def _spend(book: Book, key: int) -> None:
    yesterday_end = _ms(TODAY) - 1
    await book.post_outcomes(
        batch(
            charge(request_id(1), key, 10, 1, decided_ms=_ms(TODAY)),
            charge(request_id(2), key, 5, 2, decided_ms=_ms(TODAY), product="rerank"),
            void(request_id(3), key, 3, decided_ms=_ms(TODAY)),
            charge(request_id(4), key, 7, 4, decided_ms=yesterday_end),
            charge(request_id(5), key, 1, 5, decided_ms=_ms(TODAY - timedelta(days=40))),
        )
    )


async def test_usage_is_by_utc_day_of_the_decision_and_product(book: Book, mint: Mint) -> None:
    key = (await mint()).key_id
    await _spend(book, key)
    today, yesterday = TODAY.date().isoformat(), (TODAY - timedelta(days=1)).date().isoformat()
    assert await book.usage(key, 30) == [
        UsageRow(today, "embeddings", 2, 10),
        UsageRow(today, "rerank", 1, 5),
        UsageRow(yesterday, "embeddings", 1, 7),
    ]
    assert await book.usage(key, 1, by_product=False) == [UsageRow(today, None, 3, 15)]
    assert await book.usage(key, 366, by_day=False) == [
        UsageRow(None, "embeddings", 4, 18),
        UsageRow(None, "rerank", 1, 5),
    ]
    assert await book.usage(key, 2, by_day=False, by_product=False) == [UsageRow(None, None, 4, 22)]


async def test_usage_without_a_request_is_empty(book: Book, mint: Mint) -> None:
    key = (await mint()).key_id
    assert await book.usage(key) == []
    assert await book.usage(key, 10**6, by_day=False, by_product=False) == []


async def test_recent_requests_are_the_newest_of_this_key_only(book: Book, mint: Mint) -> None:
    key, other = (await mint()).key_id, (await mint()).key_id
    await book.post_outcomes(
        batch(*(charge(request_id(n, at_ms=_ms(TODAY) + n), key, 1, n) for n in range(1, 6)))
    )
    await book.post_outcomes(batch(charge(request_id(99), other, 1, 6)))
    assert [row.request_id for row in await book.recent(key, 2)] == [
        request_id(5, at_ms=_ms(TODAY) + 5),
        request_id(4, at_ms=_ms(TODAY) + 4),
    ]
    assert len(await book.recent(key, 10**9)) == 5


async def test_request_is_shown_to_its_owner_only(book: Book, mint: Mint) -> None:
    key, other = (await mint()).key_id, (await mint()).key_id
    request = request_id(1)
    await book.post_outcomes(batch(charge(request, key, 10)))
    assert await book.request(key, request) is not None
    assert await book.request(other, request) is None
    assert await book.request(key, request_id(2)) is None
    assert await book.request(key, "not-an-id'--") is None


async def test_keys_are_found_by_id_owner_or_last_characters(
    book: Book, mint: Mint, owner: Owner
) -> None:
    first, second = (await mint()).key_id, (await mint()).key_id
    await owner.execute("update api_key set owner = 'Ann_@example.com' where key_id = $1", second)
    assert [view.key_id for view in await book.find_keys("abcd")] == [second, first]
    assert [view.key_id for view in await book.find_keys("abcd", limit=1)] == [second]
    assert [view.key_id for view in await book.find_keys("key_x", key_id=first)] == [first]
    assert [view.key_id for view in await book.find_keys("ann_@")] == [second]
    assert await book.find_keys("annx@") == []
    assert await book.find_keys("%") == []
    assert await book.find_keys("") == []


async def test_view_of_a_key_has_its_balance_and_no_secret(book: Book, mint: Mint) -> None:
    made = await mint()
    view = await book.key_view(made.key_id)
    assert view is not None
    assert (view.balance, view.last_characters, view.owner) == (made, "abcd", "")
    assert await book.key_view(10**9) is None
