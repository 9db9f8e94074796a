"""What is known of a name, state by state: the table of ops/decisions/idempotency.md."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from gateway.ledger.answers import Answers, Claim, Claimed, KeptAnswer, Known
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.postgres import Postgres
from gateway.sql import load_queries
from tests.ledger.closed import Owner
from tests.ledger.conftest import GRANT_TOKENS, Mint, differences
from tests.ledger.events import INSTANCE, batch, charge, request_id, void

DIGEST, OTHER = b"1" * 32, b"2" * 32
ANSWER = KeptAnswer(200, b"content-type: text/plain\r\n", b"a page")
LIVES_MS = 60_000


class Desk:
    """Asks for the name `a` of one key, each time as another request."""

    def __init__(self, answers: Answers, book: Book, key: int) -> None:
        self.answers = answers
        self.book = book
        self.key = key
        self._numbers = itertools.count(1)
        self._admissions = itertools.count(1)

    def claim(self) -> Claim:
        return Claim(self.key, "a", request_id(next(self._numbers)))

    async def ask(
        self, claim: Claim, *, digest: bytes = DIGEST, lives_ms: int = LIVES_MS
    ) -> Claimed:
        return await self.answers.claim(claim, digest, INSTANCE, lives_ms)

    async def taken(self, *, lives_ms: int = LIVES_MS) -> Claim:
        """A request that has the name."""
        claim = self.claim()
        assert (await self.ask(claim, lives_ms=lives_ms)).known is Known.CLAIMED
        return claim

    async def known(self, *, digest: bytes = DIGEST) -> Known:
        """What another request is told."""
        return (await self.ask(self.claim(), digest=digest)).known

    async def charged(self, claim: Claim, cost: int = 10) -> None:
        number = next(self._admissions)
        await self.book.post_outcomes(batch(charge(claim.request_id, self.key, cost, number)))

    async def beat(self, *, drained: bool) -> None:
        await self.book.beat_instance(INSTANCE, 1, (), stopped=drained, drained=drained)

    async def left(self) -> int:
        row = await self.book.load_balance(self.key)
        assert row is not None
        return row.trial + row.paid


@pytest.fixture
async def desk(postgres: Postgres, book: Book, mint: Mint) -> Desk:
    return Desk(Answers(postgres, load_queries()), book, (await mint()).key_id)


async def test_a_name_is_taken_once_until_its_request_has_ended(desk: Desk) -> None:
    first = await desk.taken()
    # The same call again, as its reply was lost.
    assert (await desk.ask(first)).known is Known.CLAIMED
    assert await desk.known() is Known.RUNNING
    assert await desk.known(digest=OTHER) is Known.OTHER
    assert await desk.answers.keep(first, ANSWER)
    told = await desk.ask(desk.claim())
    assert (told.known, told.request_id, told.answer) == (Known.KEPT, first.request_id, ANSWER)
    assert await desk.known(digest=OTHER) is Known.OTHER


async def test_of_many_at_once_one_has_it(desk: Desk) -> None:
    found = await asyncio.gather(*(desk.known() for _ in range(12)))
    assert sorted(found) == [Known.CLAIMED, *[Known.RUNNING] * 11]


async def test_what_ended_without_a_charge_is_free_and_what_was_charged_is_not(
    desk: Desk,
) -> None:
    first = await desk.taken()
    await desk.answers.end(first, charged=False)
    second = await desk.taken()
    # Who had it before cannot end or keep it for who has it now.
    await desk.answers.end(first, charged=False)
    assert not await desk.answers.keep(first, ANSWER)
    assert await desk.known() is Known.RUNNING
    await desk.answers.end(second, charged=True)
    assert await desk.known() is Known.NOT_KEPT
    assert not await desk.answers.keep(second, ANSWER)


async def test_who_died_before_he_was_charged_leaves_a_free_name(desk: Desk) -> None:
    first = await desk.taken()
    await desk.beat(drained=False)
    assert await desk.known() is Known.RUNNING
    await desk.book.post_outcomes(batch(void(first.request_id, desk.key)))
    assert await desk.known() is Known.CLAIMED


async def test_who_died_and_is_drained_without_an_outcome_leaves_a_free_name(desk: Desk) -> None:
    await desk.taken()
    await desk.beat(drained=True)
    assert await desk.known() is Known.CLAIMED


@pytest.mark.parametrize("given_back", [False, True])
async def test_a_charge_whose_answer_was_lost_is_given_back_once_and_the_name_is_free(
    desk: Desk, reconciler: Reconciler, given_back: bool
) -> None:
    first = await desk.taken()
    await desk.charged(first)
    await desk.beat(drained=False)
    assert await desk.known() is Known.RUNNING, "its gateway lives: the answer may be kept yet"
    assert await desk.left() == GRANT_TOKENS - 10
    if given_back:
        await desk.book.refund_undelivered([first.request_id])
    await desk.beat(drained=True)
    again = await desk.taken()
    assert await desk.left() == GRANT_TOKENS
    await desk.charged(again, 12)
    assert await desk.left() == GRANT_TOKENS - 12
    assert differences(await reconciler.run()) == {}


async def test_a_request_that_is_long_over_is_not_waited_for(desk: Desk) -> None:
    first = await desk.taken(lives_ms=0)
    await desk.beat(drained=False)
    assert await desk.known() is Known.RUNNING, "its outcome may wait in the spool"
    await desk.charged(first)
    assert await desk.known() is Known.CLAIMED
    assert await desk.left() == GRANT_TOKENS


async def test_a_kept_answer_that_was_given_back_is_done_again(desk: Desk) -> None:
    """Its gateway died between keeping it and its last byte."""
    first = await desk.taken()
    await desk.charged(first)
    assert await desk.answers.keep(first, ANSWER)
    await desk.beat(drained=True)
    assert await desk.known() is Known.KEPT
    await desk.book.refund_undelivered([first.request_id])
    assert await desk.known() is Known.CLAIMED


async def test_a_kept_answer_of_a_silent_gateway_waits_until_it_is_drained(
    desk: Desk, owner: Owner
) -> None:
    first = await desk.taken()
    assert await desk.answers.keep(first, ANSWER)
    await desk.beat(drained=False)
    assert await desk.known() is Known.KEPT
    await owner.execute("update instance set beat_at = now() - interval '6 s'")
    assert await desk.known() is Known.RUNNING
    await desk.beat(drained=True)
    assert await desk.known() is Known.KEPT


async def test_a_name_is_free_after_a_day_and_then_forgotten(desk: Desk, owner: Owner) -> None:
    first = await desk.taken()
    assert await desk.answers.keep(first, ANSWER)
    await owner.execute("update kept_answer set claimed_at = claimed_at - interval '23.9 hours'")
    assert await desk.known(digest=OTHER) is Known.OTHER
    assert await desk.answers.forget() == 0
    await owner.execute("update kept_answer set claimed_at = claimed_at - interval '0.2 hours'")
    assert await desk.known(digest=OTHER) is Known.CLAIMED
    await owner.execute("update kept_answer set claimed_at = claimed_at - interval '24 hours'")
    assert await desk.answers.forget() == 1
    assert await desk.answers.forget() == 0


async def test_a_key_that_may_have_nothing_is_told_nothing(desk: Desk) -> None:
    first = await desk.taken()
    assert await desk.answers.keep(first, ANSWER)
    await desk.book.set_status(desk.key, "suspended")
    assert await desk.known() is Known.SUSPENDED
    await desk.book.revoke(desk.key)
    told = await desk.ask(desk.claim())
    assert (told.known, told.answer) == (Known.REVOKED, None)
    assert await desk.answers.forget() == 1
    assert (await desk.ask(replace(desk.claim(), key_id=999_999))).known is Known.REVOKED


async def room(postgres: Postgres) -> tuple[int, int]:
    """What is written down as taken, and what is."""
    row = await postgres.row(
        "select (select coalesce(sum(bytes), 0)::bigint from kept_room) as noted, "
        "(select coalesce(sum(kept_bytes), 0)::bigint from kept_answer) as taken"
    )
    assert row is not None
    return row["noted"], row["taken"]


async def test_a_key_that_has_no_room_left_loses_its_oldest_answers_and_no_name(
    desk: Desk, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ledger.answers.ROOM_BYTES", 20_000)
    large = replace(ANSWER, body=b"x" * 4_000)
    claims = [replace(desk.claim(), name=f"{number}") for number in range(8)]
    for claim in claims:
        assert (await desk.ask(claim)).known is Known.CLAIMED
        assert await desk.answers.keep(claim, large)
        # The reply was lost: again it is the same.
        assert await desk.answers.keep(claim, large)
        noted, taken = await room(postgres)
        assert noted == taken <= 20_000
    told = [(await desk.ask(replace(desk.claim(), name=each.name))).known for each in claims]
    assert told == [Known.NOT_KEPT] * 5 + [Known.KEPT] * 3


async def test_many_who_keep_free_and_forget_at_once_leave_the_room_right(
    desk: Desk, postgres: Postgres, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ledger.answers.ROOM_BYTES", 9_000)

    async def use(number: int) -> None:
        claim = replace(desk.claim(), name=f"{number % 5}")
        if (await desk.ask(claim)).known is Known.CLAIMED:
            if number % 3:
                await desk.answers.keep(claim, replace(ANSWER, body=b"x" * 1_000))
            else:
                await desk.answers.end(claim, charged=False)
        if number % 4 == 0:
            await owner_ages()
            await desk.answers.forget()

    lock = asyncio.Lock()

    async def owner_ages() -> None:
        async with lock, owner.transaction():
            await owner.execute("select from kept_room for update")
            await owner.execute(
                "update kept_answer set claimed_at = claimed_at - interval '25 hours' "
                "where name in ('1', '2')"
            )

    # There is a row to lock from the beginning.
    await use(1)
    for _ in range(3):
        await asyncio.gather(*(use(number) for number in range(24)))
        noted, taken = await room(postgres)
        assert noted == taken
