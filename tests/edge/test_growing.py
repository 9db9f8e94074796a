"""Running usage: what is held grows before it is used, and a balance that ends ends the stream."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.admission.ask import Hold
from gateway.admission.scripts import copy_key, tag_of
from gateway.embedded.redis_server import RedisServer
from gateway.ledger.rows import BalanceRow
from tests.edge.client import Reply
from tests.edge.door import DEEPSEARCH, TRIAL, Door, Key, until
from tests.edge.faults import frozen_redis
from tests.edge.paying import AT_ONCE_S, Cost, only_row, paid, told
from tests.edge.stage import ASK, BLOCK, THINK, Stage, ended, final, last_event, runs
from tests.edge.stub import SSE, Stub, Turn

Stages = Callable[[Key], Stage]


@pytest.fixture
async def stages(door: Door, deepsearch: Stub) -> AsyncIterator[Stages]:
    """Makes stages; their clients go away at the end."""
    made: list[Stage] = []

    def make(key: Key) -> Stage:
        made.append(Stage(door, key, deepsearch))
        return made[-1]

    yield make
    for stage in made:
        await stage.wire.close()


async def whole(door: Door, key: Key, stub: Stub, *pieces: bytes, body: bytes = ASK) -> Reply:
    """A stream that is sent at once."""

    async def script(turn: Turn) -> None:
        await turn.begin(kind=SSE)
        for piece in pieces:
            await turn.chunk(piece)
        await turn.end()

    stub.script = script
    return await door.ask("POST", "/v1/chat/completions", host=DEEPSEARCH, key=key, body=body)


async def test_the_usage_of_the_final_event_goes_before_running_usage(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    reply = await whole(door, key, deepsearch, runs(10), THINK, runs(900), final(700), runs(800))
    assert b": usage 900\n\n" in reply.body, "it is passed on as any comment"
    assert told(reply) == 700
    await paid(door, key, reply.request_id, Cost("complete", 700, None, 700), "deepsearch")


async def test_without_a_final_usage_the_newest_running_usage_is_the_report(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    """One that falls, or is no number, is not believed."""
    pieces = (runs(10), runs(300), runs(20), b": usage many\n\n", b": usage -5\n\n", THINK)
    reply = await whole(door, key, deepsearch, *pieces)
    await paid(door, key, reply.request_id, Cost("complete", 300, None, 300), "deepsearch")


async def test_who_leaves_pays_the_newest_running_usage(
    door: Door, key: Key, stages: Stages
) -> None:
    stage = stages(key)
    await stage.begin()
    await stage.sees(100)
    await stage.sees(2_345)
    await stage.wire.close()
    await asyncio.wait_for(stage.hung_up.wait(), AT_ONCE_S)
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens, row.rule) == ("client_left_midway", 2_345, "produced")


async def test_a_hold_grows_by_blocks_well_before_it_is_used(
    door: Door, key: Key, stages: Stages
) -> None:
    stage = stages(key)
    await stage.begin()
    await stage.sees(20_000)
    await stage.holds(BLOCK)
    await stage.sees(30_000)
    await stage.holds(2 * BLOCK)
    await stage.sees(74_000)
    await stage.holds(2 * BLOCK)
    await stage.sees(240_000)
    await stage.holds(6 * BLOCK)
    await stage.finish(final(250_000))
    reply_id = (await only_row(door, key)).request_id
    row = await paid(door, key, reply_id, Cost("complete", 250_000, None, 250_000), "deepsearch")
    assert row.held_tokens == 6 * BLOCK


async def test_what_grew_is_released_when_the_client_leaves(
    door: Door, key: Key, stages: Stages
) -> None:
    stage = stages(key)
    await stage.begin()
    await stage.sees(130_000)
    await stage.holds(4 * BLOCK)
    await stage.wire.close()
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens, row.held_tokens) == (
        "client_left_midway",
        130_000,
        4 * BLOCK,
    )
    assert await door.balance(key) == TRIAL - 130_000


async def test_balance_ran_out_in_the_middle_of_a_stream(
    door: Door, deepsearch: Stub, stages: Stages
) -> None:
    """What was produced is paid, the stream ends with a typed reason, the service is told."""
    key = await door.key(trial=120_000)
    stage = stages(key)
    await stage.begin()
    await stage.sees(30_000)
    await stage.holds(2 * BLOCK)
    await stage.sees(80_000)
    await stage.holds(120_000)
    await stage.sees(119_999)
    turn = await stage._ready
    await turn.chunk(runs(131_000))
    reply = await ended(stage)
    await asyncio.wait_for(stage.hung_up.wait(), AT_ONCE_S)
    event = last_event(reply)
    assert event["code"] == "BALANCE_ENDED"
    assert event["choices"] == [
        {
            "index": 0,
            "delta": {
                "content": "The account balance is used up: the 120,000 tokens that could be set "
                "aside for this answer are spent, so it ends here; please recharge",
                "type": "error",
            },
            "finish_reason": "error",
        }
    ]
    usage = event["usage"]
    assert isinstance(usage, dict)
    assert usage["total_tokens"] == 120_000
    assert told(reply) == 120_000
    assert dict(reply.trailers)["x-usage-rule"] == "produced"
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens, row.reported_tokens) == (
        "balance_ended",
        120_000,
        131_000,
    )
    assert (row.held_tokens, row.shortfall, row.rule) == (120_000, 0, "produced")
    assert await door.balance(key) == 0
    assert len(deepsearch.turns) == 1


async def test_a_stream_goes_on_until_what_is_held_is_used_and_never_waits(
    door: Door, stages: Stages
) -> None:
    key = await door.key(trial=BLOCK)
    stage = stages(key)
    await stage.begin()
    for tokens in (30_000, 40_000, 49_999):
        await stage.sees(tokens)
    await stage.finish(final(49_999))
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens, row.held_tokens) == ("complete", 49_999, BLOCK)


async def test_two_streams_never_hold_the_same_tokens(door: Door, stages: Stages) -> None:
    key = await door.key(trial=3 * BLOCK)
    first = stages(key)
    await first.begin()
    second = stages(key)
    await second.begin()
    await first.sees(40_000)
    await first.holds(3 * BLOCK)
    turn = await second._ready
    await turn.chunk(runs(51_000))
    event = last_event(await ended(second))
    assert event["code"] == "BALANCE_ENDED"
    await first.finish(final(90_000))
    await door.at_rest(key.subject, "deepsearch")
    rows = {row.outcome: row.cost_tokens for row in await door.rows(key)}
    assert rows == {"complete": 90_000, "balance_ended": 50_000}
    assert await door.balance(key) == BLOCK - 40_000


async def test_without_redis_a_hold_grows_on_the_ledgers_row_and_redis_is_told_of_it(
    door: Door, key: Key, stages: Stages, redis_server: RedisServer
) -> None:
    stage = stages(key)
    await stage.begin()
    with frozen_redis(redis_server):
        await stage.sees(30_000)

        async def grown() -> bool:
            (hold,) = await door.run(_untold(door))
            return hold.hold_tokens == 2 * BLOCK

        await until(grown)
        await stage.sees(60_000)
    await stage.holds(2 * BLOCK)
    await stage.finish(final(61_000))
    await door.has_redis()
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens) == ("complete", 61_000)


async def _untold(door: Door) -> list[Hold]:
    return door.node.meter.untold_holds() or door.node.meter.open_holds()


async def test_without_redis_a_stream_ends_where_this_process_part_of_the_balance_does(
    door: Door, stages: Stages, redis_server: RedisServer
) -> None:
    """The balance is not used up, so that is not what is said."""
    key = await door.key(BLOCK + 20_000)
    stage = stages(key)
    turn = await stage.begin()
    with frozen_redis(redis_server):
        await stage.sees(30_000)
        await stage.sees(49_000)
        await turn.chunk(runs(50_000))
        event = last_event(await ended(stage))
        assert event["code"] == "BALANCE_ENDED"
        choices = event["choices"]
        assert isinstance(choices, list)
        assert "please try again" in choices[0]["delta"]["content"]
    await door.has_redis()
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens) == ("balance_ended", 50_000)


@pytest.mark.parametrize(
    ("status", "code"),
    [("suspended", "AUTHZ_KEY_SUSPENDED"), ("revoked", "AUTH_API_KEY_REVOKED")],
)
async def test_a_key_that_dies_in_the_middle_gets_no_more_than_is_held(
    door: Door, stages: Stages, status: str, code: str
) -> None:
    """It is seen when more is asked for: at most a block is used after a revocation."""
    key = await door.key()
    stage = stages(key)
    turn = await stage.begin()
    await stage.sees(1_000)

    async def change() -> None:
        book, gate = door.node.ground.book, door.node.ground.gate
        done = await (
            book.revoke(key.key_id) if status == "revoked" else book.set_status(key.key_id, status)
        )
        assert isinstance(done, BalanceRow)
        await gate.put_balance(done)

    await door.run(change())
    await stage.sees(2_000)
    await turn.chunk(runs(26_000))
    assert last_event(await ended(stage))["code"] == code
    await asyncio.wait_for(stage.hung_up.wait(), AT_ONCE_S)
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens) == ("balance_ended", 26_000)
    assert row.shortfall == (26_000 if status == "revoked" else 0)


async def test_a_copy_that_redis_lost_is_loaded_before_more_is_held(
    door: Door, key: Key, stages: Stages
) -> None:
    stage = stages(key)
    await stage.begin()

    async def forget() -> None:
        link = door.node.ground.link
        for node in link.masters:
            await link.call_at(node, "DEL", copy_key(tag_of(key.subject), key.subject))

    await door.run(forget())
    await stage.sees(40_000)
    await stage.holds(2 * BLOCK)
    await stage.finish(final(41_000))
    assert (await only_row(door, key)).cost_tokens == 41_000


async def test_a_given_budget_grows_only_by_what_passes_it(
    door: Door, key: Key, stages: Stages
) -> None:
    body = ASK[:-1] + b', "budget_tokens": 1000}'
    stage = stages(key)
    await stage.begin(body)
    await stage.sees(999)
    await stage.holds(1_000)
    await stage.sees(1_200)
    await stage.holds(1_000 + BLOCK)
    await stage.finish(final(1_300))
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens, row.shortfall) == ("complete", 1_300, 0)


async def test_an_answer_ended_within_an_event_is_cut(door: Door, stages: Stages) -> None:
    key = await door.key(trial=BLOCK)
    stage = stages(key)
    turn = await stage.begin()
    await turn.chunk(runs(60_000) + b'data: {"cho')
    reply = await stage.wire.reply()
    assert not reply.whole
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens) == ("balance_ended", BLOCK)
