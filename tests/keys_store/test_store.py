"""The key store: one look-up per key, none for typos, and a bounded memory without status."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from gateway.errors import PostgresUnavailable
from gateway.keys import store as module
from gateway.keys.format import RANDOM_BYTES, make_key
from gateway.keys.store import KeyStore
from gateway.ledger.book import Book
from gateway.postgres import Postgres
from gateway.sql import load_queries

PEPPER = b"a pepper of the tests"


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Postgres]:
    port = Postgres(database, command_deadline_ms=5_000)
    yield port
    await port.close()


@pytest.fixture
def book(postgres: Postgres) -> Book:
    return Book(postgres, load_queries())


@pytest.fixture
def keys(book: Book) -> KeyStore:
    return KeyStore(book, PEPPER, "sluice_")


def _key() -> str:
    return make_key(os.urandom(RANDOM_BYTES), "sluice_")


async def _mint(book: Book, keys: KeyStore, key: str, key_id: int) -> None:
    await book.mint(key_id, keys.hash(key), key[-4:], None, 0, 0)


async def test_a_key_is_looked_up_once_however_many_ask_at_once(
    book: Book, keys: KeyStore, postgres: Postgres
) -> None:
    key = _key()
    await _mint(book, keys, key, 7)
    assert keys.known(key) is None
    before = postgres.queries
    assert await asyncio.gather(*(keys.find(key) for _ in range(50))) == [7] * 50
    assert keys.known(key) == 7
    assert await keys.find(key) == 7
    assert postgres.queries - before <= 2


async def test_what_cannot_be_a_key_is_refused_without_a_query(
    keys: KeyStore, postgres: Postgres
) -> None:
    key = _key()
    other = "A" if key[30] != "A" else "B"
    wrong = [
        "",
        "sluice_",
        key[:-1],
        key + "x",
        key.upper(),
        key[:30] + other + key[31:],
        "acme_" + key.removeprefix("sluice_"),
        key.replace(key[10], "é", 1),
        "\udcff" * len(key),
        "sluice_" + "\x00" * 60,
    ]
    for text in wrong:
        assert keys.known(text) is None
        assert await keys.find(text) is None
    assert postgres.queries == 0


async def test_an_unknown_key_is_asked_for_again_only_after_a_while(
    book: Book, keys: KeyStore, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_UNKNOWN_S", 1.0)
    key = _key()
    for _ in range(20):
        assert await keys.find(key) is None
    assert postgres.queries == 1
    await _mint(book, keys, key, 9)
    await asyncio.sleep(1.05)
    assert await keys.find(key) == 9


async def test_a_client_that_leaves_takes_the_look_up_from_nobody(
    book: Book, keys: KeyStore
) -> None:
    key = _key()
    await _mint(book, keys, key, 3)
    first = asyncio.create_task(keys.find(key))
    second = asyncio.create_task(keys.find(key))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 3
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_fault_is_told_to_all_who_asked_and_not_remembered(
    database: str, postgres: Postgres, keys: KeyStore
) -> None:
    key = _key()
    await postgres.close()
    for told in await asyncio.gather(*(keys.find(key) for _ in range(3)), return_exceptions=True):
        assert isinstance(told, PostgresUnavailable)
    again = Postgres(database)
    try:
        fresh = KeyStore(Book(again, load_queries()), PEPPER, "sluice_")
        assert await fresh.find(key) is None
    finally:
        await again.close()


async def test_nobody_left_to_hear_of_a_fault_is_no_unheard_exception(
    postgres: Postgres, keys: KeyStore
) -> None:
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: unheard.append(told))
    await postgres.close()
    asked = asyncio.create_task(keys.find(_key()))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    await asyncio.sleep(0.05)
    assert unheard == []


async def test_memory_is_bounded_and_forgets_the_oldest(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_CACHED", 100)
    several = [_key() for _ in range(150)]
    for number, key in enumerate(several, 1):
        keys.remember(keys.hash(key), number)
    known = [keys.known(key) for key in several]
    assert sum(each is not None for each in known) <= 100
    assert known[-1] == 150
    assert known[0] is None


def test_keys_and_status_are_in_no_attribute(keys: KeyStore) -> None:
    key = _key()
    keys.remember(keys.hash(key), 5)
    assert key not in repr(vars(keys))
    assert vars(keys)["_known"] == {keys.hash(key): 5}
