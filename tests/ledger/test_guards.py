"""What the database refuses whoever asks: the gateway's role, and mostly its owner too."""

import asyncpg
import pytest

from gateway.ledger.book import Book
from gateway.postgres import Postgres, PostgresRefused
from tests.ledger.conftest import Mint, Owner
from tests.ledger.events import batch, charge, request_id

REFUSED_BY_TRIGGER = "SL003"
NO_PERMISSION = "42501"


@pytest.fixture
async def key_id(book: Book, mint: Mint) -> int:
    key = (await mint(1_000)).key_id
    await book.post_outcomes(batch(charge(request_id(1), key, 10)))
    return key


@pytest.mark.parametrize("table", ["transfer", "outcome"])
@pytest.mark.parametrize(
    "statement", ["update {} set kind = kind", "delete from {}", "truncate {}"]
)
async def test_books_are_append_only_even_for_their_owner(
    owner: Owner, key_id: int, table: str, statement: str
) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await owner.execute(statement.format(table))
    assert refused.value.sqlstate == REFUSED_BY_TRIGGER


@pytest.mark.parametrize("statement", ["delete from {}", "truncate {}"])
async def test_partition_made_on_demand_is_append_only_too(
    book: Book, owner: Owner, key_id: int, statement: str
) -> None:
    await book.post_outcomes(batch(charge(request_id(1, at_ms=1_740_000_000_000), key_id, 1)))
    with pytest.raises(asyncpg.PostgresError) as refused:
        await owner.execute(statement.format("outcome_y2025m02"))
    assert refused.value.sqlstate == REFUSED_BY_TRIGGER


@pytest.mark.parametrize(
    "statement",
    [
        "update key_balance set status = 'active', version = version + 1",
        "update key_balance set status = 'suspended', version = version + 1",
    ],
)
async def test_revoked_is_terminal_even_for_the_owner(
    book: Book, owner: Owner, key_id: int, statement: str
) -> None:
    await book.revoke(key_id)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await owner.execute(statement)
    assert refused.value.sqlstate == REFUSED_BY_TRIGGER


@pytest.mark.parametrize(
    "change",
    [
        "trial = trial + 1",
        "trial = trial + 1, version = version + 1",
        "seq = seq + 1, version = version + 1",
        "tier = 'premium'",
        "version = version + 2",
    ],
)
async def test_balance_moves_only_with_the_next_version_and_seq(
    owner: Owner, key_id: int, change: str
) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await owner.execute(f"update key_balance set {change}")
    assert refused.value.sqlstate == REFUSED_BY_TRIGGER


async def test_balance_is_never_deleted(owner: Owner, key_id: int) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await owner.execute("delete from key_balance")
    assert refused.value.sqlstate == REFUSED_BY_TRIGGER


@pytest.mark.parametrize(
    "statement",
    [
        "update key_balance set trial = trial + 1, seq = seq + 1, version = version + 1",
        "insert into key_balance (key_id) values (99)",
        "insert into transfer (kind, ref, tokens, debit_account, credit_account)"
        " values ('writeoff', 'x', 1, 'forfeit', 'writeoff')",
        "delete from outcome",
        "delete from balance_outbox",
        "update api_key set owner = 'me'",
        "select post_transfer('grant', 'x', 1, 'grant_source', null, 'key_trial', 1)",
        "select note_change(1)",
        "select ensure_outcome_month('2030-01-01')",
        "create table mine (a int)",
        "drop table contradiction",
    ],
)
async def test_role_of_the_gateway_writes_only_through_the_functions(
    postgres: Postgres, key_id: int, statement: str
) -> None:
    with pytest.raises(PostgresRefused) as refused:
        await postgres.rows(statement)
    assert refused.value.sqlstate == NO_PERMISSION


@pytest.mark.parametrize(
    ("columns", "values", "constraint"),
    [
        (
            "cost_tokens, from_trial, seq, trial_after, paid_after",
            "10, 9, 1, 0, 0",
            "outcome_sum",
        ),
        ("cost_tokens, from_trial", "-1, -1", "outcome_not_negative"),
        (
            "cost_tokens, from_paid, seq, trial_after, paid_after",
            "5, 5, 1, 1, 1",
            "outcome_trial_before_paid",
        ),
        (
            "cost_tokens, shortfall, trial_after, paid_after",
            "5, 5, 0, 1",
            "outcome_short_only_when_empty",
        ),
        ("cost_tokens, from_trial, trial_after, paid_after", "5, 5, 0, 0", "outcome_seq_iff_moved"),
        ("cost_tokens, seq", "0, 1", "outcome_seq_iff_moved"),
        ("cost_tokens, from_trial, seq", "5, 5, 1", "outcome_after_iff_cost"),
    ],
)
async def test_outcome_that_does_not_add_up_cannot_be_written(
    owner: Owner, columns: str, values: str, constraint: str
) -> None:
    request = request_id(1)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await owner.execute(
            "insert into outcome (request_id, month, key_id, http_status, held_tokens,"
            " admission_no, admitted_ms, decided_ms, kind, product, outcome, rule, instance,"
            f" {columns}) values ('{request}', outcome_month('{request}'), 1, 200, 0, 1, 0, 0,"
            f" 'charge', 'p', 'o', 'r', 'i', {values})"
        )
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(
    "debit_and_credit",
    [
        "'key_trial', null, 'forfeit', null",
        "'forfeit', null, 'forfeit', null",
        "'forfeit', 1, 'writeoff', null",
        "'key_trial', 1, 'key_paid', 1",
    ],
)
async def test_transfer_names_two_accounts_and_a_key_exactly_where_it_needs_one(
    owner: Owner, key_id: int, debit_and_credit: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute(
            "insert into transfer (kind, ref, tokens, debit_account, debit_key, credit_account,"
            f" credit_key) values ('writeoff', 'x', 1, {debit_and_credit})"
        )
