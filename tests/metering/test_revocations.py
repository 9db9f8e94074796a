"""The journal of revocations: whole or not at all, done by anybody, taken back where untold."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.admission.gate import Gate
from gateway.admission.tombs import Tombs
from gateway.conditions import Conditions
from gateway.errors import PostgresUnavailable, RedisUnavailable, SpoolUnavailable
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow
from gateway.metering.revocation_files import RevocationFiles, Wanted
from gateway.metering.revocations import MAX_PER_RUN, Revocations, Taken
from gateway.postgres import Postgres
from gateway.redis_link import RedisLink
from gateway.sql import load_queries

AWAY = "postgresql://postgres@/sluice?host=/nowhere"


class LosesReplies(Tombs):
    """What it was asked is done, and nobody hears of it."""

    lost = True

    async def bury(self, key_id: int, name: str) -> str:
        before = await super().bury(key_id, name)
        if self.lost:
            raise RedisUnavailable("the reply is lost")
        return before


@dataclass
class House:
    """One machine: its journal, both stores, and both with PostgreSQL away."""

    folder: Path
    files: RevocationFiles
    link: RedisLink
    tombs: LosesReplies
    gate: Gate
    book: Book
    here: Revocations
    away: Revocations
    conditions: Conditions

    async def mint(self) -> int:
        key_id = uuid4().int & (2**62 - 1)
        made = await self.book.mint(key_id, os.urandom(32), "abcd", None, 100, 0)
        assert isinstance(made, BalanceRow)
        await self.gate.put_balance(made)
        return key_id

    async def status(self, key_id: int) -> tuple[str, str]:
        """Of the ledger and of Redis."""
        row = await self.book.load_balance(key_id)
        assert row is not None
        return row.status, (await self.gate.peek(f"k:{key_id}", ())).status


@pytest.fixture
async def house(tmp_path: Path, database: str, redis_url: str) -> AsyncIterator[House]:
    link = RedisLink(redis_url, deadline_ms=2_000)
    gate, tombs = Gate(link), LosesReplies(link)
    tombs.lost = False
    await link.open()
    postgres, nowhere = Postgres(database), Postgres(AWAY)
    book, lost = Book(postgres, load_queries()), Book(nowhere, load_queries())
    files, conditions = RevocationFiles(tmp_path / "revocations"), Conditions()
    parts = [
        Revocations(files, tombs, each, gate, conditions, lambda: str(uuid4()))
        for each in (book, lost)
    ]
    yield House(files.folder, files, link, tombs, gate, book, parts[0], parts[1], conditions)
    await postgres.close()
    await nowhere.close()
    await link.close()


async def test_one_is_out_at_once_and_done_once_by_whoever_comes(house: House) -> None:
    key_id = await house.mint()
    assert await house.away.take(key_id) is Taken.NOW
    assert await house.status(key_id) == ("active", "revoked")
    assert await house.away.is_ended(key_id)
    # Who reads the ledger instead of Redis is told so on this machine before the ledger knows.
    (row,) = await house.here.over(house.book.load_balances)([key_id])
    assert row.status == "revoked"
    with pytest.raises(PostgresUnavailable):
        await house.away.run_once()
    assert house.conditions.now()["revocations_waiting"] == "1 in the journal"
    assert await house.away.take(key_id) is Taken.BEFORE
    done = await asyncio.gather(house.here.run_once(), house.here.run_once())
    assert sum(done) >= 1
    assert await house.status(key_id) == ("revoked", "revoked")
    assert not house.files.all()
    assert await house.here.run_once() == 0
    assert house.conditions.now() == {}


async def test_a_crash_after_any_step_leaves_all_of_it_or_nothing(house: House) -> None:
    # Before the file has its name: nobody was told anything, nothing is done.
    unnamed, named, applied = [await house.mint() for _ in range(3)]
    house.folder.mkdir()
    left = house.folder / f"{unnamed}-0-1.fresh"
    left.write_text("0-1")
    assert await house.here.run_once() == 0
    assert await house.status(unnamed) == ("active", "active")
    os.utime(left, (time.time() - 120, time.time() - 120))
    await house.here.run_once()
    assert not left.exists()
    # Named, and nobody was told: it is wanted, so it is done. The tombstone comes first if need be.
    house.files.write(named, "0-2")
    with pytest.raises(PostgresUnavailable):
        await house.away.run_once()
    assert await house.status(named) == ("active", "revoked")
    await house.here.run_once()
    assert await house.status(named) == ("revoked", "revoked")
    # Done, and the file stays: done again.
    wanted = house.files.write(applied, "0-3")
    await house.here.run_once()
    house.files.write(applied, "0-3")
    await house.here.run_once()
    assert await house.status(applied) == ("revoked", "revoked")
    assert not wanted.path.exists()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe torn", b"x" * 100_000])
async def test_what_a_file_holds_does_not_matter_its_name_does(
    house: House, content: bytes
) -> None:
    key_id = await house.mint()
    house.folder.mkdir()
    (house.folder / f"{key_id}.revoke").write_bytes(content)
    (house.folder / "note.txt").write_text("of a person")
    with pytest.raises(PostgresUnavailable):
        await house.away.run_once()
    assert await house.status(key_id) == ("active", "revoked")
    await house.here.run_once()
    assert await house.status(key_id) == ("revoked", "revoked")
    assert (house.folder / "note.txt").exists()


async def test_one_whose_reply_is_lost_is_taken_back_with_its_tombstone(house: House) -> None:
    key_id = await house.mint()
    house.tombs.lost = True
    with pytest.raises(RedisUnavailable):
        await house.away.take(key_id)
    assert [(each.key_id, each.is_lift) for each in house.files.all()] == [(key_id, True)]
    house.tombs.lost = False
    assert await house.here.run_once() == 1
    assert await house.status(key_id) == ("active", "active")
    # Asked again it is a revocation like any other; the older wish to lift finds another name.
    house.tombs.lost = True
    with pytest.raises(RedisUnavailable):
        await house.away.take(key_id)
    house.tombs.lost = False
    assert await house.away.take(key_id) is Taken.BEFORE
    with pytest.raises(PostgresUnavailable):
        await house.away.run_once()
    assert await house.status(key_id) == ("active", "revoked")
    await house.here.run_once()
    assert await house.status(key_id) == ("revoked", "revoked")


async def test_a_second_one_that_fails_takes_nothing_from_the_first(house: House) -> None:
    key_id = await house.mint()
    assert await house.away.take(key_id) is Taken.NOW
    house.tombs.lost = True
    with pytest.raises(RedisUnavailable):
        await house.away.take(key_id)
    assert [each.is_lift for each in house.files.all()] == [False]
    # Nor does one that began before it and fails after it.
    other = await house.mint()
    first = house.files.write(other, "0-1")
    house.files.write(other, "0-2")
    house.files.withdraw(first)
    assert [each.key_id for each in house.files.all() if not each.is_lift] == sorted(
        [key_id, other]
    )


async def test_who_saw_it_before_it_was_taken_back_buries_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the machine has read the folder, and the ledger makes it wait."""
    key_id = await house.mint()
    wanted = house.files.write(key_id, str(uuid4()))
    seen = house.files.all()
    house.files.withdraw(wanted)
    with monkeypatch.context() as patched:
        patched.setattr(house.files, "all", lambda: seen)
        await house.away._bury_again(seen)
        await house.here.run_once()
    await house.here.run_once()
    assert await house.status(key_id) == ("active", "active")
    assert not house.files.all()


async def test_a_tombstone_that_comes_after_it_was_lifted_is_void(house: House) -> None:
    """It was written on a connection that was given up, and the kernel went on sending it."""
    known, unknown = await house.mint(), uuid4().int & (2**62 - 1)
    for key_id in (known, unknown):
        assert await house.tombs.lift(key_id, "late") is False
        with pytest.raises(RedisUnavailable, match="lifted before"):
            await house.tombs.bury(key_id, "late")
        assert not await house.tombs.is_revoked(key_id)
        await house.tombs.bury(key_id, "another")
        assert await house.tombs.is_revoked(key_id)


async def test_lifting_one_leaves_what_others_have_buried(house: House) -> None:
    """Two machines were asked, and the one that failed had come last."""
    key_id = await house.mint()
    for name in ("answered", "failed", "answered"):
        await house.tombs.bury(key_id, name)
    assert await house.tombs.lift(key_id, "failed") is True
    assert await house.tombs.is_revoked(key_id)
    assert await house.tombs.lift(key_id, "answered") is True
    assert not await house.tombs.is_revoked(key_id)


async def test_a_folder_that_was_made_for_it_outlives_a_power_cut_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda fd: synced.add(os.fstat(fd).st_ino))
    house.files.write(await house.mint(), "0-1")
    for folder in (house.folder, house.folder.parent):
        assert folder.stat().st_ino in synced


async def test_without_a_disk_nothing_is_done(house: House) -> None:
    key_id = await house.mint()
    house.folder.parent.joinpath("revocations").write_text("a file where the folder should be")
    with pytest.raises(SpoolUnavailable):
        await house.away.take(key_id)
    assert await house.status(key_id) == ("active", "active")


async def test_without_redis_nothing_is_written(house: House) -> None:
    key_id = await house.mint()
    await house.link.close()
    with pytest.raises(RedisUnavailable):
        await house.away.take(key_id)
    assert not house.files.all()


async def test_a_key_that_the_ledger_never_had_holds_nobody_up(house: House) -> None:
    key_id = await house.mint()
    for wanted in (7, key_id):
        house.files.write(wanted, str(uuid4()))
    assert await house.here.run_once() == 2
    assert (await house.status(key_id))[0] == "revoked"
    assert not house.files.all()


async def test_a_journal_of_thousands_is_worked_off_in_parts(house: House) -> None:
    keys = [await house.mint() for _ in range(3)]
    house.folder.mkdir()
    many = 2 * MAX_PER_RUN
    for number in range(1, many + 1):
        (house.folder / f"{number}.revoke").touch()
    for key_id in keys:
        house.files.write(key_id, str(uuid4()))
    # Its tombstones are put part by part; the newest are not forgotten.
    for _ in range(3):
        with pytest.raises(PostgresUnavailable):
            await house.away.run_once()
    assert [await house.status(key_id) for key_id in keys] == [("active", "revoked")] * 3
    left: list[Wanted] = list(house.files.all())
    assert len(left) == many + 3


async def test_a_topup_that_came_meanwhile_is_forfeited_and_the_proof_holds(house: House) -> None:
    key_id = await house.mint()
    assert await house.away.take(key_id) is Taken.NOW
    row = await house.book.credit(key_id, 50, "paid", "late")
    assert isinstance(row, BalanceRow)
    await house.gate.put_balance(row)
    assert await house.status(key_id) == ("active", "revoked")
    await house.here.run_once()
    ended = await house.book.load_balance(key_id)
    assert ended is not None
    assert (ended.status, ended.trial, ended.paid) == ("revoked", 0, 0)
