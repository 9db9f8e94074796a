"""X-Max-Charge: what surely costs more is not begun, and nothing costs more than was allowed."""

import orjson
import pytest

from tests.edge.client import Reply
from tests.edge.door import DEEPSEARCH, READER, TRIAL, Door, Key
from tests.edge.paying import BODY, Cost, embed, only_row, paid, told
from tests.edge.scripts import LARGE, answering, large
from tests.edge.stage import Stage, ended, final, last_event, runs
from tests.edge.stub import Stub, used

THREE = BODY  # our own count of it is 3
IMAGE = b'{"input": [{"image": "aGVsbG8="}]}'
PAGE = "/https://a.example/"


def cap(tokens: int | str) -> tuple[str, str]:
    return ("X-Max-Charge", str(tokens))


async def capped(door: Door, key: Key | None, tokens: int | str, body: bytes = THREE) -> Reply:
    return await embed(door, key, body, **{"X-Max-Charge": str(tokens)})  # type: ignore[arg-type]


async def read(door: Door, key: Key | None, *headers: tuple[str, str]) -> Reply:
    return await door.ask("GET", PAGE, host=READER, key=key, headers=headers)


@pytest.mark.parametrize("tokens", [0, 2])
async def test_an_input_that_counts_more_is_refused_before_anything_is_admitted(
    door: Door, key: Key, embeddings: Stub, tokens: int
) -> None:
    reply = await capped(door, key, tokens)
    found = reply.json()
    assert (reply.status, found["code"]) == (400, "MAX_CHARGE_TOO_LOW")
    assert (found["needed_tokens"], found["max_charge"]) == (3, tokens)
    assert reply["x-usage-tokens"] == "0"
    assert embeddings.turns == []
    assert await door.rows(key) == []


async def test_a_report_above_the_cap_is_charged_at_the_cap(
    door: Door, key: Key, embeddings: Stub
) -> None:
    embeddings.script = answering(used(9), [("x-usage-tokens", "9")])
    reply = await capped(door, key, 4)
    assert (reply["x-usage-tokens"], reply["x-usage-rule"]) == ("4", "capped")
    row = await paid(door, key, reply.request_id, Cost("complete", 4, 4, 9, "capped", 200))
    assert row.held_tokens == 4


async def test_a_cost_within_the_cap_is_charged_as_it_is(
    door: Door, key: Key, embeddings: Stub
) -> None:
    reply = await capped(door, key, 7)
    await paid(door, key, reply.request_id, Cost("complete", 7, 7, 7, "reported", 200))


async def test_the_price_that_a_streamed_answer_promises_is_capped(
    door: Door, key: Key, embeddings: Stub
) -> None:
    embeddings.script = answering(large(b""), [("x-usage-tokens", "9")])
    reply = await capped(door, key, 5)
    assert len(reply.body) > LARGE
    assert told(reply) == 5
    await paid(door, key, reply.request_id, Cost("complete", 5, 5, 9, "capped", 200))


async def test_a_long_input_is_read_whole_and_counted(
    door: Door, key: Key, embeddings: Stub
) -> None:
    """Above 1 MiB it would be streamed, and nobody could tell what it costs."""
    words = 300_000
    body = b'{"input": "%b"}' % (b"one " * words)
    reply = await capped(door, key, words, body)
    assert (reply.status, reply.json()["needed_tokens"]) == (400, words + 1)
    assert embeddings.turns == []
    assert (await capped(door, key, words + 1, body)).status == 200


async def test_pictures_need_a_cap_of_all_their_bytes(
    door: Door, key: Key, embeddings: Stub
) -> None:
    """What one costs is known when it was looked at, but never more than that."""
    reply = await capped(door, key, len(IMAGE) - 1, IMAGE)
    assert (reply.status, reply.json()["needed_tokens"]) == (400, len(IMAGE))
    assert (await capped(door, key, len(IMAGE), IMAGE)).status == 200


async def test_what_cannot_be_counted_is_left_to_the_service(
    door: Door, key: Key, embeddings: Stub
) -> None:
    embeddings.script = answering(b'{"detail": "no JSON"}', status=422)
    assert (await capped(door, key, 1, b"not json")).status == 422


@pytest.mark.parametrize("bad", ["-1", "1.5", "many", "1e3", "٣", "0x10", "1 2", "9" * 17, "+5"])
async def test_a_cap_that_is_no_number_is_refused(
    door: Door, key: Key, embeddings: Stub, bad: str
) -> None:
    headers = [("x-max-charge", bad)]
    reply = await door.ask("POST", "/v1/embeddings", key=key, body=BODY, headers=headers)
    assert (reply.status, reply.json()["code"]) == (400, "MAX_CHARGE_INVALID")
    assert embeddings.turns == []


async def test_two_caps_that_differ_are_refused_and_the_same_one_twice_is_one(
    door: Door, key: Key, embeddings: Stub
) -> None:
    for second, status in ((4, 400), (900, 200)):
        headers = [cap(900), cap(second)]
        reply = await door.ask("POST", "/v1/embeddings", key=key, body=BODY, headers=headers)
        assert reply.status == status
    assert len(embeddings.turns) == 1


async def test_an_empty_cap_is_an_absent_one(door: Door, key: Key, embeddings: Stub) -> None:
    reply = await capped(door, key, " ")
    assert reply["x-usage-tokens"] == "7"


async def test_the_reader_gets_the_cap_as_its_budget(door: Door, key: Key, reader: Stub) -> None:
    reader.script = answering(b"# A page", [("x-usage-tokens", "600")], kind="text/plain")
    for headers, budget in (
        ([cap(900)], "900"),
        ([cap(900), ("X-Token-Budget", "700")], "700"),
        ([cap(900), ("X-Token-Budget", "5000")], "900"),
        ([cap(900), ("X-Token-Budget", "many")], "900"),
        ([("X-Token-Budget", "5000")], "5000"),
        ([], None),
    ):
        reply = await read(door, key, *headers)
        assert reply["x-usage-tokens"] == "600"
        turn = reader.turns[-1]
        assert turn.get("x-token-budget") == budget
        assert "x-max-charge" not in turn.names
    reply = await read(door, key, cap(500))
    assert (reply["x-usage-tokens"], reply["x-usage-rule"]) == ("500", "capped")
    assert (await read(door, key, cap(0))).json()["reason"] == "MAX_CHARGE_TOO_LOW"


async def test_without_a_key_and_for_free_products_no_cap_is_too_low(
    door: Door, key: Key, reader: Stub, segmenter: Stub
) -> None:
    reader.script = answering(b"# A page", [("x-usage-tokens", "600")], kind="text/plain")
    reply = await read(door, None, cap(0), door.address())
    assert (reply.status, reply["x-usage-tokens"]) == (200, "0")
    assert "x-token-budget" not in reader.turns[0].names
    segmenter.script = answering(b'{"num_tokens": 78, "usage": {"tokens": 78}}')
    reply = await door.ask("POST", "/v1/segment", key=key, body=BODY, headers=[cap(0)])
    assert (reply.status, reply["x-usage-rule"]) == (200, "free")


async def test_services_that_count_an_input_are_told_the_cap(
    door: Door, key: Key, embeddings: Stub, classifier: Stub
) -> None:
    """They refuse what costs more, by the count that they charge by; that is passed on, free."""
    reply = await capped(door, key, 4)
    assert embeddings.turns[0].get("x-token-budget") == "4"
    assert "x-max-charge" not in embeddings.turns[0].names
    # A budget of the client's own is no header of this product, and means nothing.
    await embed(door, key, THREE, **{"X-Max-Charge": "9", "X-Token-Budget": "3"})
    assert embeddings.turns[1].get("x-token-budget") == "9"
    await embed(door, key, THREE)
    assert "x-token-budget" not in embeddings.turns[2].names
    refusal = b'{"detail": "too low", "code": "MAX_CHARGE_TOO_LOW", "needed_tokens": 9}'
    void = [("x-usage-tokens", "0"), ("x-charge-rule", "void")]
    embeddings.script = answering(refusal, void, status=400)
    reply = await capped(door, key, 4)
    assert (reply.status, reply.json()["needed_tokens"]) == (400, 9)
    assert reply["x-usage-tokens"] == "0"
    body = orjson.dumps({"input": ["one"], "labels": ["a", "b"]})
    await door.ask("POST", "/v1/classify", key=key, body=body, headers=[cap(30)])
    assert classifier.turns[0].get("x-token-budget") == "30"


@pytest.mark.parametrize("tokens", [0, 1, 999])
async def test_a_deepsearch_that_may_not_cost_its_first_step_is_refused(
    door: Door, key: Key, deepsearch: Stub, tokens: int
) -> None:
    """Else it would work for a token; how small a budget in the body may be is its own affair."""
    body = b'{"messages": [{"role": "user", "content": "x"}], "budget_tokens": 5}'
    reply = await door.ask(
        "POST", "/v1/chat/completions", host=DEEPSEARCH, key=key, body=body, headers=[cap(tokens)]
    )
    assert (reply.status, b"1,000" in reply.body) == (400, True)
    assert deepsearch.turns == []
    assert await door.rows(key) == []


async def test_a_capped_deepsearch_holds_the_cap_and_is_told_it(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    deepsearch.script = answering(
        b'{"choices": [{"finish_reason": "stop"}], "usage": {"total_tokens": 1200}}'
    )
    body = b'{"messages": [{"role": "user", "content": "x"}]}'
    reply = await door.ask(
        "POST", "/v1/chat/completions", host=DEEPSEARCH, key=key, body=body, headers=[cap(1_000)]
    )
    assert deepsearch.turns[0].get("x-token-budget") == "1000"
    assert (reply["x-usage-tokens"], reply["x-usage-rule"]) == ("1000", "capped")
    row = await only_row(door, key)
    assert (row.held_tokens, row.cost_tokens, row.reported_tokens) == (1_000, 1_000, 1_200)
    assert await door.balance(key) == TRIAL - 1_000


async def test_a_capped_stream_may_pass_its_cap_by_its_last_step_and_not_run_on(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    """The client pays the cap either way."""
    stage = Stage(door, key, deepsearch)
    try:
        await stage.begin(more=cap(1_000))
        await stage.sees(900)
        await stage.sees(1_500)
        await stage.holds(1_000)
        await stage.finish(final(1_600))
        row = await only_row(door, key)
        assert (row.outcome, row.cost_tokens, row.rule) == ("complete", 1_000, "capped")
    finally:
        await stage.wire.close()
    other = await door.key()
    stage = Stage(door, other, deepsearch)
    try:
        turn = await stage.begin(more=cap(60_000))
        await stage.sees(40_000)
        await stage.holds(60_000)
        await stage.sees(109_000)
        await turn.chunk(runs(110_000))
        reply = await ended(stage)
        assert last_event(reply)["code"] == "BALANCE_ENDED"
        assert told(reply) == 60_000
        row = await only_row(door, other)
        assert (row.outcome, row.cost_tokens, row.rule) == ("balance_ended", 60_000, "capped")
    finally:
        await stage.wire.close()


async def test_training_counts_every_iteration_against_the_cap(
    door: Door, key: Key, classifier: Stub
) -> None:
    classifier.script = answering(used(30))
    body = orjson.dumps({"input": [{"text": "one two three", "label": "a"}], "num_iters": 10})
    reply = await door.ask("POST", "/v1/train", key=key, body=body, headers=[cap(29)])
    assert reply.json()["needed_tokens"] == 30
    reply = await door.ask("POST", "/v1/train", key=key, body=body, headers=[cap(30)])
    assert (reply.status, reply["x-usage-tokens"]) == (200, "30")
