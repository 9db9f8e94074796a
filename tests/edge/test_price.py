"""What a request would cost, and whether it would be admitted: told before, nothing is spent."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.admission.scripts import copy_key, deadlines_key, holds_key, tag_of
from tests.edge.client import Reply
from tests.edge.door import API, READER, TRIAL, Door, Key
from tests.edge.paying import BODY, embed
from tests.edge.scripts import answering
from tests.edge.stub import Stub

PREFER = [("prefer", "dry-run")]
DEEP = {"messages": [{"role": "user", "content": "x"}]}


async def price(door: Door, key: Key | None, **question: Any) -> dict[str, Any]:
    reply = await door.ask("POST", "/v1/price", key=key, body=orjson.dumps(question))
    assert (reply.status, reply["x-usage-tokens"]) == (200, "0"), reply.body
    found = reply.json()
    assert isinstance(found, dict)
    return found


async def dry(door: Door, key: Key | None, body: bytes = BODY, *more: tuple[str, str]) -> Reply:
    headers = [*PREFER, *more]
    return await door.ask("POST", "/v1/embeddings", key=key, body=body, headers=headers)


async def stored(door: Door, key: Key) -> list[object]:
    """All that Redis has of a key, byte for byte."""
    tag, subject = tag_of(key.subject), key.subject
    names = [holds_key(tag, subject), copy_key(tag, subject), deadlines_key(tag)]
    names += [f"{tag}{kind}:embeddings:{subject}" for kind in "rt"]
    link = door.node.ground.link

    async def dump() -> list[object]:
        return [await link.call_at(node, "DUMP", n) for node in link.masters for n in names]

    return await door.run(dump())


async def test_a_dry_run_tells_the_price_and_whether_it_would_be_admitted(
    door: Door, key: Key, embeddings: Stub
) -> None:
    reply = await dry(door, key)
    assert (reply.status, reply["preference-applied"]) == (200, "dry-run")
    assert reply["x-usage-tokens"] == "0"
    found = reply.json()
    assert found["product"] == "embeddings"
    # Our own count, and what models add to a text.
    assert (found["expected_tokens"], found["expected_by"]) == (5, "own_count")
    assert (found["worst_tokens"], found["worst_is_sure"]) == (len(BODY), True)
    assert found["hold_tokens"] == len(BODY)
    assert (found["admitted"], found["refusal"]) == (True, None)
    assert found["tier"] == "key"
    assert found["balance"] == {"free_tokens": TRIAL}
    assert found["limits"] == {
        "requests": {"limit": 500, "remaining": 500, "reset_ms": 0},
        "tokens": {"limit": 1_000_000, "remaining": 1_000_000, "reset_ms": 0},
    }
    assert embeddings.turns == []


async def test_asking_for_a_price_writes_nothing_and_takes_no_number(
    door: Door, key: Key, embeddings: Stub
) -> None:
    await embed(door, key)
    await door.at_rest(key.subject)
    before, rows = await stored(door, key), await door.rows(key)
    numbers = door.node.meter.numbers
    taken = numbers.take()
    numbers.give_back(taken)
    for _ in range(5):
        assert (await dry(door, key)).json()["admitted"]
        assert (await price(door, key, product="embeddings", body={"input": ["a"]}))["admitted"]
    assert await stored(door, key) == before
    assert await door.rows(key) == rows
    again = numbers.take()
    numbers.give_back(again)
    assert again == taken
    assert len(embeddings.turns) == 1


@pytest.mark.parametrize(
    "prefer", ["dry-run", "respond-async, dry-run", "Dry-Run;strict", " dry-run "]
)
async def test_the_wish_is_heard_among_others(door: Door, key: Key, prefer: str) -> None:
    headers = [("prefer", prefer)]
    reply = await door.ask("POST", "/v1/embeddings", key=key, body=BODY, headers=headers)
    assert reply["preference-applied"] == "dry-run"


async def test_a_wish_in_a_line_of_its_own_is_heard(door: Door, key: Key, embeddings: Stub) -> None:
    headers = [("prefer", "respond-async"), *PREFER]
    reply = await door.ask("POST", "/v1/embeddings", key=key, body=BODY, headers=headers)
    assert reply["preference-applied"] == "dry-run"
    assert embeddings.turns == []


async def test_another_wish_is_no_dry_run(door: Door, key: Key, embeddings: Stub) -> None:
    headers = [("prefer", "return=minimal, dry-running")]
    reply = await door.ask("POST", "/v1/embeddings", key=key, body=BODY, headers=headers)
    assert (reply.status, reply["x-usage-tokens"]) == (200, "7")


async def test_a_full_window_is_told_with_its_exact_end(
    door: Door, key: Key, embeddings: Stub
) -> None:
    key = await door.key(embeddings={"rpm": 1})
    await embed(door, key)
    found = (await dry(door, key)).json()
    assert found["admitted"] is False
    assert found["refusal"]["code"] == "RATE_REQUEST_LIMIT_EXCEEDED"
    assert 50_000 < found["refusal"]["retry_after_ms"] <= 60_000
    refused = await embed(door, key)
    assert refused.json()["retry_after_ms"] <= found["refusal"]["retry_after_ms"]


async def test_a_balance_too_low_a_dead_key_and_no_service_are_told(door: Door) -> None:
    poor = await door.key(trial=5)
    found = (await dry(door, poor)).json()
    assert (found["admitted"], found["refusal"]["status"]) == (False, 402)
    assert found["balance"] == {"free_tokens": 5}
    key = await door.key()

    async def suspend() -> None:
        row = await door.node.ground.book.set_status(key.key_id, "suspended")
        await door.node.ground.gate.put_balance(row)  # type: ignore[arg-type]

    await door.run(suspend())
    found = (await dry(door, key)).json()
    assert found["refusal"]["code"] == "AUTHZ_KEY_SUSPENDED"
    found = await price(door, await door.key(), product="search")
    assert found["refusal"]["code"] in ("SERVICE_NOT_DEPLOYED", "PATH_NOT_FOUND")


async def test_who_may_not_ask_is_refused_and_what_is_wrong_is_told(door: Door, key: Key) -> None:
    assert (await dry(door, None)).status == 401
    reply = await door.ask("POST", "/v1/train", key=key, body=b'{"num_iters": 0}', headers=PREFER)
    assert (reply.status, reply.json()["refusal"]["code"]) == (200, "INPUT_INVALID")


async def test_a_balance_that_redis_does_not_know_is_loaded(door: Door, key: Key) -> None:
    tag = tag_of(key.subject)

    async def forget() -> None:
        link = door.node.ground.link
        for node in link.masters:
            await link.call_at(node, "DEL", copy_key(tag, key.subject))

    await door.run(forget())
    assert (await dry(door, key)).json()["balance"] == {"free_tokens": TRIAL}


@pytest.mark.parametrize(
    ("question", "product", "expected", "worst"),
    [
        ({"product": "embeddings", "body": BODY.decode()}, "embeddings", 5, len(BODY)),
        ({"path": "/v1/embeddings", "body": {"input": "one"}}, "embeddings", 3, 15),
        ({"path": f"http://{API}:80/v1/rerank", "body": "{}"}, "rerank", 0, 2),
        ({"product": "train", "body": {"input": "one", "num_iters": 5}}, "train", 15, 145),
        ({"path": "/v1/classify", "body": {"classifier_id": "c"}}, "classify_few_shot", 0, 21),
        ({"product": "segment", "body": {"content": "one"}}, "segment", 0, 0),
        ({"product": "deepsearch", "body": DEEP}, "deepsearch", None, 500_000),
        (
            {"product": "deepsearch", "body": {**DEEP, "stream": True, "reasoning_effort": "low"}},
            "deepsearch",
            50_000,
            100_000,
        ),
        (
            {"product": "reader", "headers": {"X-Token-Budget": 4000}},
            "reader",
            4_000,
            4_000,
        ),
        ({"path": f"http://{READER}/https://a.example/"}, "reader", None, 2_000_000),
    ],
)
async def test_the_price_of_a_request_that_is_only_thought_of(
    door: Door, key: Key, question: dict[str, Any], product: str, expected: int | None, worst: int
) -> None:
    found = await price(door, key, **question)
    assert (found["product"], found["worst_tokens"]) == (product, worst)
    # What others have learned in this package's gateway is not known here.
    assert found["expected_tokens"] == expected or expected is None
    assert found["admitted"] is True


async def test_a_cap_bounds_the_worst(door: Door, key: Key) -> None:
    found = await price(
        door, key, product="deepsearch", body=DEEP, headers={"x-max-charge": "1900"}
    )
    assert (found["worst_tokens"], found["hold_tokens"]) == (1_900, 1_900)
    assert found["expected_tokens"] <= 1_900
    assert (found["max_charge"], found["worst_is_sure"]) == (1_900, True)
    question = {"product": "embeddings", "body": {"input": "one two"}}
    found = await price(door, key, **question, headers={"X-Max-Charge": "1"})
    assert found["refusal"]["code"] == "MAX_CHARGE_TOO_LOW"


async def test_the_worst_of_an_object_is_not_sure_as_blanks_are_held_too(
    door: Door, key: Key
) -> None:
    body = {"input": ["one", "two"]}
    for product in ("embeddings", "train"):
        exact = await price(door, key, product=product, body=orjson.dumps(body).decode())
        found = await price(door, key, product=product, body=body)
        assert found["worst_tokens"] == exact["worst_tokens"]
        assert (exact["worst_is_sure"], found["worst_is_sure"]) == (True, False)
    for cap, is_sure in (("10", True), ("900", False)):
        capped = {"headers": {"X-Max-Charge": cap}}
        found = await price(door, key, product="embeddings", body=body, **capped)
        assert found["worst_is_sure"] is is_sure


async def test_what_was_learned_is_what_is_expected(door: Door, key: Key, reader: Stub) -> None:
    """Of pages of about this size, which no other test uploads."""
    reader.script = answering(b"# A page", [("x-usage-tokens", "600")], kind="text/plain")
    page = b'{"html": "%b"}' % (b"x" * 40_000)
    for _ in range(8):
        await door.ask("POST", "/", host=READER, key=key, body=page)
    reply = await door.ask("POST", "/", host=READER, key=key, body=page, headers=PREFER)
    found = reply.json()
    assert found["expected_by"] == "learned"
    assert 600 <= found["expected_tokens"] < 800


async def test_without_a_key_the_address_is_looked_at_and_nothing_is_charged(door: Door) -> None:
    header = door.address()
    reply = await door.ask("GET", "/https://a.example/", host=READER, headers=[*PREFER, header])
    found = reply.json()
    assert (found["tier"], found["expected_tokens"], found["worst_tokens"]) == ("anonymous", 0, 0)
    assert found["limits"]["requests"] == {"limit": 20, "remaining": 20, "reset_ms": 0}
    found = await price(door, None, product="embeddings", body={})
    assert found["refusal"]["code"] == "AUTH_MISSING_API_KEY"


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({}, "product or path"),
        ({"product": "embeddings", "path": "/v1/embeddings"}, "not both"),
        ({"product": "nothing"}, "must be one of"),
        ({"path": 5}, "path must be a text"),
        ({"path": "/v1/keys/me", "method": "GET"}, "costs nothing"),
        ({"product": "embeddings", "headers": []}, "headers must be an object"),
        ({"product": "embeddings", "headers": {"a": None}}, "a must be a text"),
        ({"product": "embeddings", "method": 1}, "method must be a text"),
        ({"product": "embeddings", "bodies": 1}, "bodies is not known"),
        ({"product": "embeddings", "headers": {"X-Max-Charge": "1.5"}}, "X-Max-Charge"),
    ],
)
async def test_a_question_that_is_none_is_refused(
    door: Door, key: Key, question: dict[str, Any], says: str
) -> None:
    reply = await door.ask("POST", "/v1/price", key=key, body=orjson.dumps(question))
    assert reply.status == 400
    assert says in reply.json()["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"x" * 70_000])
async def test_a_question_that_cannot_be_read_is_refused(door: Door, body: bytes) -> None:
    reply = await door.ask("POST", "/v1/price", body=body)
    assert reply.status == (413 if len(body) > 65_536 else 400)


async def test_paths_that_do_not_exist_are_told_as_their_refusal(door: Door, key: Key) -> None:
    found = await price(door, key, path="/v1/nothing")
    assert (found["admitted"], found["refusal"]["status"]) == (False, 404)
    found = await price(door, key, path="/v1/embeddings", method="PUT")
    assert found["refusal"]["status"] == 405


async def test_prices_asked_beside_requests_take_nothing_from_them(
    door: Door, embeddings: Stub
) -> None:
    key = await door.key(embeddings={"rpm": 20})
    asked = [embed(door, key) for _ in range(30)] + [dry(door, key) for _ in range(60)]
    replies = await asyncio.gather(*asked)
    assert sorted(reply.status for reply in replies[:30]) == [200] * 20 + [429] * 10


TEXTS = st.lists(st.text(max_size=30), max_size=4)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(texts=TEXTS, labels=TEXTS, product=st.sampled_from(["embeddings", "classify_zero_shot"]))
def test_no_charge_of_a_counted_input_exceeds_its_worst(
    door: Door, texts: list[str], labels: list[str], product: str
) -> None:
    """What the gateway counts by itself, for a service that reports nothing."""
    document = {"input": texts, "labels": labels} if "zero" in product else {"input": texts}
    body = orjson.dumps(document)

    async def ask() -> dict[str, Any]:
        return await price(door, await door.key(), product=product, body=body.decode())

    found = asyncio.run(ask())
    assert found["expected_tokens"] <= found["worst_tokens"] == len(body)
