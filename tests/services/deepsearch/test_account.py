"""One account: every token once, within the budget but for one step, whatever runs at once."""

import asyncio
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from services.deepsearch.account import STEPS_MOST, Account
from services.deepsearch.tools import BudgetSpent

FAR_S = time.monotonic() + 3_600
COSTS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 100)), max_size=40)


def account(budget: int, kept: int = 0) -> Account:
    return Account(budget, FAR_S, kept_tokens=kept)


@settings(max_examples=60, deadline=None)
@given(COSTS, st.integers(1, 3_000), st.integers(1, 6))
def test_steps_at_once_pass_the_budget_by_less_than_one_of_them(
    costs: list[tuple[int, int]], budget: int, crew: int
) -> None:
    book = account(budget)
    waiting = list(costs)

    async def worker() -> None:
        while waiting:
            prompt, completion = waiting.pop()
            try:
                async with book.step("work", "", prompt + completion) as step:
                    await asyncio.sleep(0)
                    step.cost(prompt, completion)
            except BudgetSpent:
                return

    async def run() -> None:
        await asyncio.gather(*(worker() for _ in range(crew)))

    asyncio.run(run())
    largest = max((prompt + completion for prompt, completion in costs), default=0)
    assert book.total_tokens < budget + max(largest, 1)
    assert sum(step.tokens for step in book.steps) == book.total_tokens
    assert sum(step.prompt_tokens for step in book.steps) == book.prompt_tokens
    if book.total_tokens < budget:
        assert book.total_tokens == sum(p + c for p, c in costs)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=STEPS_MOST - 5, max_size=STEPS_MOST + 60))
def test_account_of_many_steps_stays_short_and_its_sum_right(tokens: list[int]) -> None:
    book = account(10**9)
    for each in tokens:
        book.spend("small", each, 1)
    assert len(book.steps) <= STEPS_MOST + 1
    assert sum(step.tokens for step in book.steps) == book.total_tokens == sum(tokens) + len(tokens)


async def test_step_that_is_cancelled_keeps_what_it_has_cost() -> None:
    book = account(1_000)

    async def work() -> None:
        async with book.step("model", "", 500) as step:
            step.cost(70, 5)
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert book.total_tokens == 75
    assert book.steps[0].outcome == "cancelled"


async def test_last_answer_may_begin_when_nothing_is_left_for_anything_else() -> None:
    book = account(100, kept=40)
    book.spend("read", 60, 0)
    assert book.remaining_tokens() == 0
    assert book.left_tokens == 40
    async with book.step("answer", "", 40, final=True) as step:
        step.cost(30, 10)
    assert book.total_tokens == 100


async def test_time_that_is_up_is_a_budget_that_is_spent() -> None:
    book = Account(1_000, time.monotonic() - 1)
    spent = False
    try:
        async with book.step("search", "", 1):
            pass
    except BudgetSpent:
        spent = True
    assert spent
