"""A paid call under an Idempotency-Key: done and charged once, answered as often as it is asked."""

import asyncio
from typing import Any

import pytest

from gateway.edge import repeat
from gateway.errors import PostgresUnavailable
from gateway.ledger.answers import Answers
from tests.edge.client import Reply, head
from tests.edge.door import API, DEEPSEARCH, READER, TRIAL, Door, Key
from tests.edge.paying import BODY, told
from tests.edge.scripts import HEADER, LARGE, answering, chunked, large
from tests.edge.stub import SSE, Stub, Turn, used
from tests.edge.test_round_trips import Trips, quiet

__all__ = ["quiet"]
EVENT = b'data: {"choices": [{"delta": {"content": "x"}, "finish_reason": null}]}\n\n'
LAST = b'data: {"choices": [{"finish_reason": "stop"}], "usage": {"total_tokens": 11}}\n\n'
DONE = b"data: [DONE]\n\n"


def asked(
    key: Key | None,
    name: str,
    body: bytes = BODY,
    *,
    host: str = API,
    target: str = "/v1/embeddings",
    more: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """The bytes of a request with a name."""
    lines = [("host", host), ("content-length", str(len(body))), ("idempotency-key", name), *more]
    if key is not None:
        lines.append(key.bearer)
    return head("POST", target, lines) + body


async def once(door: Door, key: Key | None, name: str, body: bytes = BODY, **how: Any) -> Reply:
    """One request with a name on a connection of its own."""
    async with await door.wire() as wire:
        return await wire.ask(asked(key, name, body, **how))


def code(reply: Reply) -> str:
    found: str = reply.json()["code"]
    return found


async def charges(door: Door, key: Key) -> list[int]:
    """What every request of the key cost, the first one first, once nothing is held."""
    await door.at_rest(key.subject)
    return [row.cost_tokens for row in reversed(await door.rows(key))]


async def test_the_same_request_is_done_and_charged_once_and_answered_again(
    door: Door, key: Key, embeddings: Stub
) -> None:
    first = await once(door, key, "a")
    again = await once(door, key, "a", more=(("origin", "https://a.example"),))
    assert (first.status, again.status, first.body) == (200, 200, again.body)
    assert len(embeddings.turns) == 1
    assert again["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.names
    for name in ("x-request-id", "x-usage-tokens", "x-usage-rule", "content-type"):
        assert first[name] == again[name]
    assert "ratelimit" in first.names
    assert not [name for name in again.names if "ratelimit" in name]
    assert again["access-control-allow-origin"] == "https://a.example"
    assert await charges(door, key) == [7]
    assert await door.balance(key) == TRIAL - 7


async def test_a_name_stands_for_one_request_and_one_key(
    door: Door, key: Key, embeddings: Stub
) -> None:
    other = await door.key()
    assert (await once(door, key, "a")).status == 200
    for different in (
        await once(door, key, "a", BODY + b" "),
        await once(door, key, "a", more=(("accept", "text/plain"),)),
        await once(door, key, "a", target="/v1/embeddings?x=1"),
    ):
        assert (different.status, code(different)) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert different["x-usage-tokens"] == "0"
    assert (await once(door, other, "a")).status == 200
    assert (await once(door, key, "b")).status == 200
    assert len(embeddings.turns) == 3
    assert await charges(door, key) == [7, 7]


async def test_while_the_first_runs_the_second_is_told_to_wait(
    door: Door, key: Key, embeddings: Stub
) -> None:
    go_on = asyncio.Event()

    async def script(turn: Turn) -> None:
        await turn.read_body()
        await go_on.wait()
        await turn.reply(used(7), headers=HEADER)

    embeddings.script = script
    first = asyncio.create_task(once(door, key, "a"))
    await embeddings.turn()
    waiting = [await once(door, key, "a") for _ in range(3)]
    assert {(each.status, code(each), each["retry-after"]) for each in waiting} == {
        (409, "IDEMPOTENCY_IN_PROGRESS", "1")
    }
    go_on.set()
    assert (await first).status == 200
    assert (await once(door, key, "a"))["idempotent-replayed"] == "true"
    assert await charges(door, key) == [7]


async def test_many_at_once_are_done_once(door: Door, key: Key, embeddings: Stub) -> None:
    replies = await asyncio.gather(*(once(door, key, "a") for _ in range(20)))
    assert {reply.status for reply in replies} <= {200, 409}
    assert len(embeddings.turns) == 1
    assert await charges(door, key) == [7]


async def test_what_cost_nothing_may_be_asked_again_at_once(
    door: Door, key: Key, embeddings: Stub
) -> None:
    for script, status in (
        (answering(b'{"detail": "no"}', status=500), 502),
        (answering(b'{"detail": "no"}', status=422), 422),
        (answering(b"{}", [("x-charge-rule", "void"), *HEADER]), 200),
        (answering(b'{"error": {"message": "x"}}', HEADER), 200),
        (answering(b"cut", [*HEADER, ("content-type", "application/json")]), 502),
    ):
        embeddings.script = script
        failed = await once(door, key, "a")
        assert (failed.status, failed["x-usage-tokens"]) == (status, "0")
    embeddings.script = answering(used(7), HEADER)
    assert (await once(door, key, "a")).status == 200
    assert (await once(door, key, "a"))["idempotent-replayed"] == "true"
    assert await charges(door, key) == [0, 0, 0, 0, 0, 7]


async def test_who_is_not_let_in_keeps_the_name(door: Door, embeddings: Stub) -> None:
    poor = await door.key(trial=1)
    slow = await door.key(embeddings={"rpm": 1})
    for _ in range(2):
        assert (await once(door, poor, "a")).status == 402
    assert (await once(door, slow, "a")).status == 200
    assert (await once(door, slow, "b")).status == 429
    # What was done is told again, whatever the limits say.
    assert (await once(door, slow, "a"))["idempotent-replayed"] == "true"


async def test_a_stream_is_told_again_with_its_price(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    deepsearch.script = chunked([EVENT, EVENT, LAST, DONE], kind=SSE)
    where: dict[str, Any] = {"host": DEEPSEARCH, "target": "/v1/chat/completions"}
    first = await once(door, key, "a", **where)
    again = await once(door, key, "a", **where)
    assert first.body == again.body == EVENT + EVENT + LAST + DONE
    assert again["content-type"] == first["content-type"] == SSE
    assert (told(first), told(again), again["x-usage-rule"]) == (11, 11, "reported")
    assert again["idempotent-replayed"] == "true"
    assert "trailer" not in again.names
    assert first["x-request-id"] == again["x-request-id"]
    await door.at_rest(key.subject, "deepsearch")
    assert await charges(door, key) == [11]


async def test_a_large_answer_of_known_length_is_told_again(
    door: Door, key: Key, embeddings: Stub
) -> None:
    body = large(b'"usage": {"total_tokens": 9}, ')
    embeddings.script = answering(body)
    first, again = await once(door, key, "a"), await once(door, key, "a")
    assert first.body == again.body == body
    assert (told(first), told(again)) == (9, 9)
    assert await charges(door, key) == [9]


async def test_an_answer_beyond_the_cap_is_charged_once_and_that_is_said(
    door: Door, key: Key, embeddings: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeat, "MAX_KEPT_BYTES", LARGE)
    embeddings.script = answering(large(b'"usage": {"total_tokens": 9}, '))
    first = await once(door, key, "a")
    assert (first.status, told(first)) == (200, 9)
    for _ in range(2):
        again = await once(door, key, "a")
        assert (again.status, code(again)) == (409, "IDEMPOTENCY_ANSWER_NOT_KEPT")
        assert again.json()["first_request_id"] == first.request_id
        assert again["x-usage-tokens"] == "0"
    assert len(embeddings.turns) == 1
    assert await charges(door, key) == [9]
    assert door.node.pipeline._parts.repeats.held_bytes == 0


async def test_without_postgresql_only_those_with_a_name_are_refused(
    door: Door, key: Key, embeddings: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise PostgresUnavailable("as a test has it")

    async with await door.wire() as wire:
        monkeypatch.setattr(Answers, "claim", away)
        reply = await wire.ask(asked(key, "a"))
        assert (reply.status, reply["x-usage-tokens"]) == (503, "0")
    assert not embeddings.turns
    assert (await door.ask("POST", "/v1/embeddings", key=key, body=BODY)).status == 200


async def test_a_key_that_may_have_nothing_has_no_kept_answers(
    door: Door, key: Key, embeddings: Stub
) -> None:
    assert (await once(door, key, "a")).status == 200
    await door.at_rest(key.subject)
    book = door.node.ground.book
    await door.run(book.set_status(key.key_id, "suspended"))
    assert (await once(door, key, "a")).status == 402
    await door.run(book.set_status(key.key_id, "active"))
    assert (await once(door, key, "a")).status == 200
    await door.run(book.revoke(key.key_id))
    reply = await once(door, key, "a")
    assert (reply.status, code(reply)) == (401, "AUTH_API_KEY_REVOKED")
    assert await door.run(door.node.ground.answers.forget()) == 1


async def test_a_body_that_is_streamed_through_cannot_have_a_name(
    door: Door, key: Key, rerank: Stub
) -> None:
    body = b'{"query": "' + b"x" * 1_100_000 + b'"}'
    async with await door.wire() as wire:
        reply = await wire.ask(asked(key, "a", body, target="/v1/rerank"))
        assert (reply.status, code(reply)) == (413, "IDEMPOTENCY_BODY_TOO_LARGE")
    assert not rerank.turns


async def test_a_name_without_a_key_is_nothing_and_a_wrong_one_is_told(
    door: Door, key: Key, reader: Stub
) -> None:
    line = ("idempotency-key", "a")
    for count in (1, 2):
        reply = await door.ask(
            "GET", "/https://a.example/", host=READER, headers=[line, door.address()]
        )
        assert reply.status == 200
        assert len(reader.turns) == count
    twice = [line, ("idempotency-key", "b")]
    reply = await door.ask("GET", "/https://a.example/", host=READER, key=key, headers=twice)
    assert (reply.status, reply.json()["reason"]) == (400, "IDEMPOTENCY_KEY_INVALID")


@pytest.fixture
def still(quiet: Door) -> Door:
    """A gateway without its shipper and pulse."""
    return quiet


async def test_a_name_costs_two_queries_and_no_name_costs_none(
    still: Door, embeddings: Stub
) -> None:
    key, keeping = await still.key(), still.node.ground.answers._postgres
    assert (await once(still, key, "warm")).status == 200
    trips, before = Trips(still), keeping.queries
    reply = await still.ask("POST", "/v1/embeddings", key=key, body=BODY)
    assert reply.status == 200
    assert (trips.since(), keeping.queries - before) == ((1, 0), 0)
    assert (await once(still, key, "a")).status == 200
    assert (trips.since(), keeping.queries - before) == ((2, 0), 2)
    assert (await once(still, key, "a")).status == 200
    assert (trips.since(), keeping.queries - before) == ((2, 0), 3)


async def test_a_page_is_read_once_under_a_name_and_its_options_are_part_of_it(
    door: Door, key: Key, reader: Stub
) -> None:
    async def read(*options: tuple[str, str]) -> Reply:
        lines = [("idempotency-key", "a"), *options]
        return await door.ask("GET", "/https://a.example/", host=READER, key=key, headers=lines)

    first, again = await read(), await read()
    assert (again.body, again["idempotent-replayed"]) == (first.body, "true")
    assert len(reader.turns) == 1
    other = await read(("x-respond-with", "html"))
    assert (other.status, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
