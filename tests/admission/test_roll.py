"""Among how many a limit is divided; reads of balances that are never older than the request."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.admission.reads import MOST_AT_ONCE, BalanceReads
from gateway.admission.roll import Roll
from gateway.errors import PostgresUnavailable
from gateway.ledger.rows import BalanceRow
from tests.admission.asking import row
from tests.crash.house import until


class Beats:
    """The instances that PostgreSQL knows of; None: it is away."""

    def __init__(self) -> None:
        self.count: int | None = 1
        self.now_s = 1_000.0

    async def __call__(self, _alive_s: int) -> int:
        if self.count is None:
            raise PostgresUnavailable("away")
        return self.count

    def roll(self, workers: int = 1) -> Roll:
        return Roll(self, workers, lambda: self.now_s)


async def test_a_share_is_handed_on_only_when_it_has_left_every_window() -> None:
    beats = Beats()
    roll = beats.roll(2)
    assert roll.parts == 2
    for wait_s, count, parts in (
        (0, 5, 5),
        (1, 3, 5),
        (30, 4, 5),
        (29, 4, 5),
        (2, 1, 4),
        (58, 1, 4),
        (3, 1, 2),
        (1, 9, 9),
    ):
        beats.now_s += wait_s
        beats.count = count
        await roll.run_once()
        assert roll.parts == parts


async def test_what_another_query_has_found_out_need_not_be_found_out_again() -> None:
    why = [""]
    roll = Roll(Beats(), 1, lambda: 0.0, lambda: why[0])
    await roll.run_once()
    found = []
    for why[0] in ("", "connection refused", ""):
        found.append(roll.is_there)
    assert found == [True, False, True]


async def test_who_has_not_beaten_yet_since_postgresql_is_back_is_not_forgotten() -> None:
    """All were silent while it was away; the first count finds those that beat already."""
    beats = Beats()
    roll = beats.roll()
    beats.count = 8
    await roll.run_once()
    for silence_s in (20, 3_600):
        beats.count = None
        beats.now_s += silence_s
        with pytest.raises(PostgresUnavailable):
            await roll.run_once()
        beats.count = 1
        for _ in range(50):
            await roll.run_once()
            assert roll.parts == 8
            beats.now_s += 1
    beats.now_s += 11
    await roll.run_once()
    assert roll.parts == 1


async def test_postgresql_is_there_once_it_has_answered_and_away_after_two_failures() -> None:
    beats = Beats()
    roll = beats.roll()
    beats.count = None
    assert roll.is_there is False
    with pytest.raises(PostgresUnavailable):
        await roll.run_once()
    beats.count = 7
    await roll.run_once()
    states = [(roll.is_there, roll.parts)]
    beats.count = None
    for _ in range(3):
        with pytest.raises(PostgresUnavailable):
            await roll.run_once()
        states.append((roll.is_there, roll.parts))
    roll.seen()
    assert [*states, (roll.is_there, 7)] == [
        (True, 7),
        (True, 7),
        (False, 7),
        (False, 7),
        (True, 7),
    ]


class Ledger:
    """Rows that change, behind a query that answers when the test says so."""

    def __init__(self) -> None:
        self.version = 1
        self.queries: list[tuple[list[int], asyncio.Event]] = []
        self.is_away = False

    async def load(self, key_ids: Sequence[int]) -> list[BalanceRow]:
        seen = [row(key_id, self.version) for key_id in key_ids if key_id != 404]
        answer = asyncio.Event()
        self.queries.append((list(key_ids), answer))
        await answer.wait()
        if self.is_away:
            raise PostgresUnavailable("away")
        return seen

    async def asked(self, times: int) -> None:
        async def enough() -> bool:
            return len(self.queries) >= times

        await until(enough)


def reads_of(ledger: Ledger) -> BalanceReads:
    return BalanceReads(ledger.load, Beats().roll(), 10_000)


async def test_who_comes_while_a_query_runs_gets_the_row_of_a_later_one() -> None:
    ledger = Ledger()
    reads = reads_of(ledger)
    first = [asyncio.create_task(reads.read(1)) for _ in range(3)]
    await ledger.asked(1)
    ledger.version = 2
    later = [asyncio.create_task(reads.read(1)) for _ in range(3)]
    await ledger.asked(2)
    for _, answer in ledger.queries:
        answer.set()
    assert {found.version for found in await asyncio.gather(*first) if found} == {1}
    assert {found.version for found in await asyncio.gather(*later) if found} == {2}
    assert [asked for asked, _ in ledger.queries] == [[1], [1]]


async def test_many_keys_wait_for_few_queries_and_a_key_that_is_none_is_told() -> None:
    ledger = Ledger()
    reads = reads_of(ledger)
    tasks = []
    for key_id in (1, 2, *range(10, 200), 404):
        tasks.append(asyncio.create_task(reads.read(key_id)))
        await asyncio.sleep(0)
    await ledger.asked(MOST_AT_ONCE)
    assert len(ledger.queries) == MOST_AT_ONCE
    for _ in range(2):
        for _, answer in ledger.queries:
            answer.set()
        await ledger.asked(MOST_AT_ONCE + 1)
    found = await asyncio.gather(*tasks)
    assert [each.key_id for each in found if each] == [1, 2, *range(10, 200)]
    assert found[-1] is None
    assert len(ledger.queries) == MOST_AT_ONCE + 1


async def test_whoever_leaves_takes_nobody_with_him_and_a_fault_is_told_to_all() -> None:
    ledger = Ledger()
    reads = reads_of(ledger)
    leaver, stayer = (asyncio.create_task(reads.read(1)) for _ in range(2))
    await ledger.asked(1)
    leaver.cancel()
    ledger.queries[0][1].set()
    assert (await stayer) == row(1, 1)
    ledger.is_away = True
    lost = [asyncio.create_task(reads.read(1)) for _ in range(2)]
    await ledger.asked(2)
    ledger.queries[1][1].set()
    for task in lost:
        with pytest.raises(PostgresUnavailable):
            await task


async def test_a_query_that_never_answers_is_not_waited_for_longer_than_the_deadline() -> None:
    ledger = Ledger()
    reads = BalanceReads(ledger.load, Beats().roll(), 20)
    with pytest.raises(PostgresUnavailable):
        await reads.read(1)
    await reads.close()
