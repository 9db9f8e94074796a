"""Any order of charges, voids, repeats, credits, refunds and revocations keeps the books."""

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow
from gateway.postgres import Postgres
from tests.ledger.conftest import Mint, differences
from tests.ledger.events import Event, batch, charge, now_ms, request_id, void
from tests.ledger.model import Model, ModelKey

GRANTS = (0, 150, 600)
NUMBERS = 15
# All examples of a test share one database: the books of the earlier ones must stay true.
EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

# A request is known by its number, its key is number % 3: so repeats happen all the time.
# (number, cost), where a cost of None is a void.
outcomes = st.tuples(
    st.integers(0, NUMBERS - 1), st.one_of(st.none(), st.integers(0, 60), st.integers(100, 400))
)
batches = st.tuples(st.just("post"), st.lists(outcomes, min_size=1, max_size=12))
refunds = st.tuples(
    st.just("refund"), st.lists(st.integers(0, NUMBERS - 1), min_size=1, max_size=4)
)
credits_ = st.tuples(
    st.just("credit"), st.tuples(st.integers(0, 2), st.sampled_from(["trial", "paid"]))
)
transfers = st.tuples(
    st.just("transfer"), st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 120))
)
revocations = st.tuples(st.just("revoke"), st.integers(0, 2))
steps = st.lists(
    st.one_of(batches, batches, batches, refunds, credits_, credits_, transfers, revocations),
    min_size=1,
    max_size=12,
)


@dataclass(slots=True)
class Stage:
    """Three keys, request ids that no other example has, and the model beside the book."""

    book: Book
    keys: list[int]
    first: int
    began_ms: int
    model: Model

    def request(self, number: int) -> str:
        return request_id(self.first + number, at_ms=self.began_ms)

    def event(self, number: int, cost: int | None) -> Event:
        key = self.keys[number % 3]
        admission_no = self.first + number + 1
        if cost is None:
            return void(self.request(number), key, admission_no)
        return charge(self.request(number), key, cost, admission_no)

    def act(self, what: str, how: Any) -> Coroutine[Any, Any, object]:
        """The step on the book."""
        if what == "post":
            return self.book.post_outcomes(batch(*(self.event(*outcome) for outcome in how)))
        if what == "refund":
            return self.book.refund_undelivered([self.request(number) for number in how])
        if what == "credit":
            place, bucket = how
            return self.book.credit(self.keys[place], 100, bucket, f"{self.keys[place]}-{bucket}")
        if what == "transfer":
            sender, receiver, tokens = how
            name = f"{self.keys[sender]} {self.keys[receiver]}"
            return self.book.transfer(
                self.keys[sender], self.keys[receiver], tokens, tokens, ref=name, name=name
            )
        return self.book.revoke(self.keys[how])

    def imagine(self, what: str, how: Any) -> None:
        """The same step on the model."""
        if what == "post":
            for number, cost in how:
                self.model.post(self.request(number), self.keys[number % 3], cost or 0)
        elif what == "refund":
            for number in how:
                self.model.give_back(self.request(number))
        elif what == "credit":
            place, bucket = how
            self.model.credit(self.keys[place], 100, bucket, f"{self.keys[place]}-{bucket}")
        elif what == "transfer":
            sender, receiver, tokens = how
            one, other = self.keys[sender], self.keys[receiver]
            self.model.transfer(one, other, tokens, f"{one} {other}")
        else:
            self.model.revoke(self.keys[how])


@pytest.fixture
def firsts() -> Iterator[int]:
    return itertools.count(0, NUMBERS)


async def _stage(book: Book, mint: Mint, firsts: Iterator[int]) -> Stage:
    keys = [(await mint(grant)).key_id for grant in GRANTS]
    model = Model({key: ModelKey(grant) for key, grant in zip(keys, GRANTS, strict=True)})
    return Stage(book, keys, next(firsts), now_ms(), model)


async def _rows(stage: Stage) -> dict[int, BalanceRow]:
    return {row.key_id: row for row in await stage.book.load_balances(stage.keys)}


@EXAMPLES
@given(plan=steps)
async def test_book_agrees_with_the_model_after_every_step(
    book: Book, mint: Mint, reconciler: Reconciler, firsts: Iterator[int], plan: list[Any]
) -> None:
    stage = await _stage(book, mint, firsts)
    for what, how in plan:
        await stage.act(what, how)
        stage.imagine(what, how)
        rows = await _rows(stage)
        assert {
            key: ModelKey(row.trial, row.paid, row.status, row.tier) for key, row in rows.items()
        } == stage.model.keys
    assert differences(await reconciler.run()) == {}


@EXAMPLES
@given(plan=steps)
async def test_steps_of_several_connections_at_once_keep_the_books(
    book: Book,
    mint: Mint,
    reconciler: Reconciler,
    postgres: Postgres,
    firsts: Iterator[int],
    plan: list[Any],
) -> None:
    stage = await _stage(book, mint, firsts)

    await asyncio.gather(*(stage.act(what, how) for what, how in [*plan, *plan]))
    assert differences(await reconciler.run()) == {}
    posted = {number for what, how in plan if what == "post" for number, _ in how}
    assert await postgres.value(
        "select count(*) from outcome where request_id = any ($1::uuid[])",
        [stage.request(number) for number in range(NUMBERS)],
    ) == len(posted)
    revoked = {stage.keys[how] for what, how in plan if what == "revoke"}
    for key, row in (await _rows(stage)).items():
        assert (row.status == "revoked") == (key in revoked)


@EXAMPLES
@given(
    costs=st.lists(st.integers(0, 80), min_size=NUMBERS, max_size=NUMBERS),
    deliveries=st.lists(
        st.lists(st.integers(0, NUMBERS - 1), min_size=1, max_size=NUMBERS), max_size=8
    ),
)
async def test_charges_delivered_often_and_at_once_take_each_cost_once(
    book: Book,
    mint: Mint,
    reconciler: Reconciler,
    firsts: Iterator[int],
    costs: list[int],
    deliveries: list[list[int]],
) -> None:
    stage = await _stage(book, mint, firsts)
    shipments = [*deliveries, list(range(NUMBERS))]
    await asyncio.gather(
        *(stage.act("post", [(number, costs[number]) for number in some]) for some in shipments)
    )
    rows = await _rows(stage)
    for place, (key, grant) in enumerate(zip(stage.keys, GRANTS, strict=True)):
        assert rows[key].trial == max(0, grant - sum(costs[place::3]))
    assert differences(await reconciler.run()) == {}
