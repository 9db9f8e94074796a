"""Minting, crediting, suspending, limiting and revoking: once each, and told to Redis."""

import asyncio
import os
from datetime import timedelta

import pytest

from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow, MintRefused, Refusal
from gateway.postgres import Postgres, PostgresRefused
from tests.ledger.conftest import GRANT_TOKENS, Mint, Owner, differences

ADDRESS = b"a" * 32


async def mint_at(book: Book, key_id: int, limit: int = 5) -> BalanceRow | MintRefused:
    return await book.mint(key_id, key_id.to_bytes(32, "big"), "wxyz", ADDRESS, GRANT_TOKENS, limit)


async def test_minted_key_has_its_grant_from_the_ledger(
    book: Book, postgres: Postgres, reconciler: Reconciler
) -> None:
    made = await mint_at(book, 7)
    assert made == BalanceRow(7, 1, GRANT_TOKENS, 0, "active", "key", {})
    grant = await postgres.row("select kind, tokens, debit_account, credit_key from transfer")
    assert grant is not None
    assert tuple(grant.values()) == ("grant", GRANT_TOKENS, "grant_source", 7)
    assert differences(await reconciler.run()) == {}


async def test_mint_again_with_the_same_key_answers_it_and_grants_nothing(book: Book) -> None:
    assert await mint_at(book, 7, limit=1) == await mint_at(book, 7, limit=1)


async def test_mint_without_grant_makes_an_empty_key(mint: Mint, reconciler: Reconciler) -> None:
    assert (await mint(0)).trial == 0
    assert differences(await reconciler.run()) == {}


async def test_address_mints_its_limit_and_not_one_more_at_the_same_time(book: Book) -> None:
    made = await asyncio.gather(*(mint_at(book, key_id) for key_id in range(1, 21)))
    assert sum(isinstance(row, BalanceRow) for row in made) == 5


async def test_refused_mint_names_the_wait_until_the_oldest_key_is_a_day_old(
    book: Book, owner: Owner
) -> None:
    for key_id in (1, 2, 3):
        await mint_at(book, key_id)
    await owner.execute("alter table api_key disable trigger all")
    for key_id, hours in ((1, 23), (2, 20), (3, 1)):
        await owner.execute(
            "update api_key set created_at = now() - $2::interval where key_id = $1",
            key_id,
            timedelta(hours=hours),
        )
    refused = await mint_at(book, 4, limit=3)
    assert isinstance(refused, MintRefused)
    assert 3_595 <= refused.retry_after_s <= 3_600
    refused = await mint_at(book, 4, limit=2)
    assert isinstance(refused, MintRefused)
    assert 4 * 3_600 - 5 <= refused.retry_after_s <= 4 * 3_600
    assert isinstance(await mint_at(book, 4, limit=4), BalanceRow)


async def test_key_of_exactly_a_day_ago_no_longer_counts(book: Book, owner: Owner) -> None:
    await mint_at(book, 1, limit=1)
    await owner.execute("alter table api_key disable trigger all")
    await owner.execute("update api_key set created_at = now() - interval '24 hours'")
    assert isinstance(await mint_at(book, 2, limit=1), BalanceRow)


async def test_limit_of_zero_refuses_every_mint(book: Book) -> None:
    assert await mint_at(book, 1, limit=0) == MintRefused(86_400)


async def test_addresses_do_not_share_a_limit(book: Book) -> None:
    await mint_at(book, 1, limit=1)
    other = await book.mint(2, os.urandom(32), "wxyz", b"b" * 32, GRANT_TOKENS, 1)
    assert isinstance(other, BalanceRow)


async def test_found_key_is_only_what_never_changes(book: Book) -> None:
    await mint_at(book, 7)
    found = await book.find_key((7).to_bytes(32, "big"))
    assert found is not None
    assert found.key_id == 7
    assert await book.find_key(b"x" * 32) is None
    assert await book.load_balance(8) is None


async def test_credit_counts_once_per_ref(book: Book, mint: Mint, reconciler: Reconciler) -> None:
    key = (await mint(100)).key_id
    rows = await asyncio.gather(*(book.credit(key, 50, "trial", "gift") for _ in range(8)))
    assert {row.trial for row in rows if isinstance(row, BalanceRow)} == {150}
    assert differences(await reconciler.run()) == {}


@pytest.mark.parametrize(("tokens", "bucket"), [(51, "paid"), (50, "trial")])
async def test_credit_with_a_used_ref_and_other_numbers_is_refused_by_name(
    book: Book, mint: Mint, tokens: int, bucket: str
) -> None:
    key = (await mint(100)).key_id
    await book.credit(key, 50, "paid", "order-1")
    assert await book.credit(key, tokens, bucket, "order-1") is Refusal.REF_USED_OTHERWISE
    other = (await mint(100)).key_id
    assert await book.credit(other, 50, "paid", "order-1") is Refusal.REF_USED_OTHERWISE


async def test_paid_credit_makes_premium_and_trial_credit_does_not(book: Book, mint: Mint) -> None:
    key = (await mint(100)).key_id
    trial = await book.credit(key, 1, "trial", "a")
    paid = await book.credit(key, 1, "paid", "b")
    assert isinstance(trial, BalanceRow)
    assert isinstance(paid, BalanceRow)
    assert (trial.tier, paid.tier) == ("key", "premium")


async def test_credit_beyond_what_is_exact_in_redis_is_refused(book: Book, mint: Mint) -> None:
    key = (await mint(100)).key_id
    assert await book.credit(key, 2**53 - 100, "paid", "a") is Refusal.TOO_MUCH
    assert isinstance(await book.credit(key, 2**53 - 101, "paid", "a"), BalanceRow)


@pytest.mark.parametrize("tokens", [0, -5])
async def test_credit_of_nothing_or_less_is_a_bug_that_the_database_stops(
    book: Book, mint: Mint, tokens: int
) -> None:
    key = (await mint(100)).key_id
    with pytest.raises(PostgresRefused):
        await book.credit(key, tokens, "paid", "a")


async def test_unknown_key_is_refused_by_every_change(book: Book) -> None:
    assert await book.credit(9, 1, "paid", "a") is Refusal.UNKNOWN_KEY
    assert await book.revoke(9) is Refusal.UNKNOWN_KEY
    assert await book.set_status(9, "active") is Refusal.UNKNOWN_KEY
    assert await book.set_limits(9, None) is Refusal.UNKNOWN_KEY


async def test_revoked_key_forfeits_the_rest_and_takes_no_change_any_more(
    book: Book, mint: Mint, reconciler: Reconciler
) -> None:
    key = (await mint(100)).key_id
    await book.credit(key, 50, "paid", "a")
    row = await book.revoke(key)
    assert isinstance(row, BalanceRow)
    assert (row.trial, row.paid, row.status) == (0, 0, "revoked")
    assert await book.revoke(key) == row
    assert await book.credit(key, 1, "paid", "b") is Refusal.REVOKED
    assert await book.set_status(key, "active") is Refusal.REVOKED
    assert await book.set_limits(key, None) is Refusal.REVOKED
    assert (await book.account_sums())["forfeit"] == 150
    assert differences(await reconciler.run()) == {}


async def test_status_goes_to_suspended_and_back(book: Book, mint: Mint) -> None:
    key = await mint(100)
    suspended = await book.set_status(key.key_id, "suspended")
    active = await book.set_status(key.key_id, "active")
    assert isinstance(suspended, BalanceRow)
    assert isinstance(active, BalanceRow)
    assert (suspended.status, suspended.version) == ("suspended", key.version + 1)
    assert (active.status, active.version) == ("active", key.version + 2)
    assert await book.set_status(key.key_id, "active") == active
    assert await book.set_status(key.key_id, "revoked") is Refusal.NOT_A_STATUS


async def test_limits_are_replaced_per_product_and_none_resets(book: Book, mint: Mint) -> None:
    key = (await mint(100)).key_id
    ten: dict[str, int | None] = {"rpm": 10, "tpm": None}
    await book.set_limits(key, {"embeddings": ten, "rerank": {"rpm": 1}})
    row = await book.set_limits(key, {"rerank": None, "search": {"concurrency": 2}})
    assert isinstance(row, BalanceRow)
    assert row.limits == {"embeddings": ten, "search": {"concurrency": 2}}
    row = await book.set_limits(key, None)
    assert isinstance(row, BalanceRow)
    assert row.limits == {}


async def test_every_change_waits_in_the_outbox_until_its_version_is_cleared(
    book: Book, mint: Mint
) -> None:
    key = (await mint(100)).key_id
    assert await book.take_outbox() == []
    await book.set_status(key, "suspended")
    taken = await book.take_outbox()
    assert [(row.key_id, row.status) for row in taken] == [(key, "suspended")]
    await book.set_limits(key, {"search": {"rpm": 1}})
    assert await book.clear_outbox(taken) == 0
    taken = await book.take_outbox()
    assert [row.limits for row in taken] == [{"search": {"rpm": 1}}]
    assert await book.clear_outbox(taken) == 1
    assert await book.take_outbox() == []


async def test_what_redis_could_not_be_told_is_noted_with_its_newest_version(
    book: Book, mint: Mint
) -> None:
    one, other = await mint(100), await mint(100)
    await book.note_balances([other.key_id, one.key_id, 999_999_999])
    assert await book.take_outbox() == sorted([one, other], key=lambda row: row.key_id)
    newer = await book.credit(one.key_id, 1, "trial", "a")
    await book.note_balances([one.key_id])
    assert await book.clear_outbox([one, other]) == 1
    assert await book.take_outbox() == [newer]


@pytest.mark.parametrize("change", ["credit", "revoke", "set_status", "set_limits"])
async def test_change_is_noted_for_redis_in_its_own_transaction(
    book: Book, mint: Mint, change: str
) -> None:
    key = (await mint(100)).key_id
    row = {
        "credit": lambda: book.credit(key, 1, "trial", "a"),
        "revoke": lambda: book.revoke(key),
        "set_status": lambda: book.set_status(key, "suspended"),
        "set_limits": lambda: book.set_limits(key, {"search": {"rpm": 1}}),
    }
    answered = await row[change]()
    assert await book.take_outbox() == [answered]
