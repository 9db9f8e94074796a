"""Any order and any number of repeats of what Stripe tells end in the same balance."""

from collections.abc import AsyncIterator, Sequence
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.billing.facts import (
    Dispute,
    Facts,
    Payment,
    Refund,
    decode,
    encode,
    merge,
    standing,
)
from gateway.billing.till import Till
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.postgres import Postgres
from gateway.sql import load_queries
from tests.billing.event_orders import (
    LOST,
    OWED,
    REFUNDS,
    TOKENS,
    WON,
    Ended,
    plans,
    run_all,
)

names = st.sampled_from(["a", "b", "c"])
amounts = st.integers(0, 500)
all_facts = st.builds(
    Facts,
    st.sampled_from(Payment),
    amounts,
    st.sampled_from(["", "price is 3"]),
    st.dictionaries(names, st.tuples(amounts, st.sampled_from(Refund))),
    st.dictionaries(names, st.tuples(amounts, st.sampled_from(Dispute))),
)
EXAMPLES = settings(max_examples=50, deadline=None, database=None)


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Postgres]:
    port = Postgres(database, pool_size=8, command_deadline_ms=20_000)
    yield port
    await port.close()


@EXAMPLES
@given(st.lists(all_facts, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_merging_knows_no_order_and_no_repeats(told: list[Facts], chance: object) -> None:
    shuffled = [*told, *told]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert reduce(merge, shuffled) == reduce(merge, told)
    assert merge(told[0], Facts()) == merge(told[0], told[0])


@pytest.mark.parametrize("story", [WON, LOST, REFUNDS], ids=["won", "lost", "refunds"])
def test_all_360_orders_and_repeats_give_the_same_facts(story: Sequence[Facts]) -> None:
    assert len(plans()) == 360
    for order, repetitions in plans():
        told = [story[place] for place in order for _ in range(repetitions)]
        assert reduce(merge, told) == story[-1]


@EXAMPLES
@given(all_facts)
def test_facts_survive_the_row(facts: Facts) -> None:
    assert decode(encode(facts)) == facts
    assert decode({}) == Facts()


@EXAMPLES
@given(all_facts, all_facts)
def test_money_that_came_is_never_unseen(one: Facts, other: Facts) -> None:
    before = standing(merge(Facts(Payment.PAID, 500), one), asked=True)
    after = standing(merge(Facts(Payment.PAID, 500), merge(one, other)), asked=True)
    assert (before.paid_minor is None) <= (after.paid_minor is None)
    assert after.state not in ("created", "awaiting", "pending", "expired", "failed")


@pytest.mark.parametrize(
    ("story", "end"),
    [
        (
            WON,
            Ended(
                0, TOKENS - OWED - TOKENS * 123 // 500, "active", "premium", 0, "partly_refunded"
            ),
        ),
        (LOST, Ended(0, 0, "suspended", "premium", OWED, "dispute_lost")),
        (
            REFUNDS,
            Ended(
                0, TOKENS - OWED - TOKENS * 100 // 500, "active", "premium", 0, "partly_refunded"
            ),
        ),
    ],
    ids=["won", "lost", "refunds"],
)
async def test_all_orders_of_five_events_end_in_the_same_balance(
    postgres: Postgres, story: Sequence[Facts], end: Ended
) -> None:
    queries = load_queries()
    till, book = Till(postgres, queries), Book(postgres, queries)
    # Each order once, with one, two or three of each event in turn; all 360 of every story are
    # run by `make bench-money`.
    turns = [plan for number, plan in enumerate(plans()) if number // 3 % 3 == number % 3]
    assert len(turns) == 120
    some = turns[::5] if story is WON else turns[::20]
    assert await run_all(till, book, story, some) == {end}
    checks = await Reconciler(postgres, queries).run()
    assert [check for check in checks if check.differences] == []
