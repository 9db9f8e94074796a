"""Every way to end, with a key and without: who pays is what the table says."""

import asyncio
import random

import pytest

from gateway.metering.meter import Passage, Verdict
from gateway.metering.outcomes import Outcome, may_charge
from tests.metering.shop import GRANT, PRODUCT, Shop, complete


@pytest.mark.parametrize("keyed", [True, False])
async def test_every_ending_is_taken_by_the_ledger_and_costs_what_the_table_says(
    shop: Shop, keyed: bool
) -> None:
    key_id = await shop.mint()
    paying = [outcome for outcome in Outcome if may_charge(outcome)]
    passages = {}
    for outcome in Outcome:
        passages[outcome] = await shop.admit(key_id if keyed else None)
        shop.meter.decide(passages[outcome], Verdict(outcome, 200, 40, 40, "reported"))
        shop.meter.delivered(passages[outcome])
    await asyncio.sleep(0.05)
    await shop.close()
    assert shop.telemetry.set_aside.value == 0
    assert list(shop.root.iterdir()) == []
    assert await shop.gate.holds(passages[Outcome.COMPLETE].subject) == (0, 0)
    assert await shop.trial(key_id) == GRANT - (40 * len(paying) if keyed else 0)
    for outcome, passage in passages.items():
        row = await shop.book.request(key_id, passage.request_id) if keyed else None
        if row is not None:
            pays = may_charge(outcome)
            assert (row.kind, row.cost_tokens) == (("charge", 40) if pays else ("void", 0))
            assert row.outcome == outcome.value
    assert await shop.proof() == {}


async def test_a_request_ends_once(shop: Shop) -> None:
    passage = await shop.admit(await shop.mint())
    shop.meter.decide(passage, complete(1))
    with pytest.raises(AssertionError, match="ends exactly once"):
        shop.meter.decide(passage, complete(1))


async def test_a_cancelled_client_task_accounts_all_the_same(shop: Shop) -> None:
    key_id = await shop.mint()
    passage = await shop.admit(key_id)
    task = asyncio.create_task(shop.meter.settle_now(passage, complete(30)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    shop.meter.delivered(passage)
    await shop.close()
    assert await shop.trial(key_id) == GRANT - 30
    assert await shop.proof() == {}


async def test_more_than_was_held_is_known_to_the_window_before_the_client_can_ask_again(
    shop: Shop,
) -> None:
    key_id = await shop.mint()
    passage = await shop.admit(key_id)
    await shop.meter.settle_now(passage, complete(99_950))
    assert len(shop.gate.riders) == 0
    _, decision = await shop.ask(key_id, 100)
    assert decision.code.name == "TPM"
    shop.meter.delivered(passage)
    await shop.close()
    assert await shop.proof() == {}


async def test_what_a_key_has_here_is_what_a_look_at_all_that_runs_would_find(shop: Shop) -> None:
    """However requests of several keys begin, grow and end among each other."""
    keys = [await shop.mint() for _ in range(3)]
    chance, running = random.Random(20_261), list[Passage]()
    for step in range(120):
        if not running or chance.random() < 0.55:
            running.append(await shop.admit(chance.choice(keys), 10 + step))
        elif chance.random() < 0.3:
            chance.choice(running).held_tokens += 5
        else:
            ended = running.pop(chance.randrange(len(running)))
            shop.meter.decide(ended, complete(3))
            shop.meter.delivered(ended)
        for key_id in keys:
            subject = f"k:{key_id}"
            of_key = [each for each in running if each.subject == subject]
            tokens = sum(each.held_tokens for each in of_key) + shop.meter.unposted.tokens(subject)
            found = shop.meter.own(subject, PRODUCT)
            assert (found.open_requests, found.tokens) == (len(of_key), tokens)
            assert shop.meter.own(subject, "another").open_requests == 0
