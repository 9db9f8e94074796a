"""Limits and balances through the whole path: what is refused, when, and what that costs."""

import asyncio
import math

import pytest

from gateway.ledger.rows import BalanceRow
from tests.edge.client import Reply
from tests.edge.door import READER, Door, Key, running
from tests.edge.paying import BODY, embed
from tests.edge.scripts import answering
from tests.edge.stub import Stub, Turn, used


async def set_limits(door: Door, key: Key, **limits: int) -> None:
    """As the admin API does it: in the ledger, then in Redis."""

    async def change() -> None:
        row = await door.node.ground.book.set_limits(key.key_id, {"embeddings": limits})
        assert isinstance(row, BalanceRow)
        await door.node.ground.gate.put_balance(row)

    await door.run(change())


def is_429(reply: Reply, code: str) -> int:
    """A 429 as every client needs it; the exact wait in ms."""
    assert reply.status == 429
    found = reply.json()
    assert found["code"] == code
    assert found["retry_after_ms"] > 0
    assert reply["retry-after"] == str(math.ceil(found["retry_after_ms"] / 1_000))
    assert reply["x-usage-tokens"] == "0"
    wait: int = found["retry_after_ms"]
    return wait


async def test_ten_of_a_hundred_parallel_requests_pass_a_limit_of_ten(
    door: Door, embeddings: Stub
) -> None:
    key = await door.key(embeddings={"rpm": 10})
    replies = await asyncio.gather(*(embed(door, key) for _ in range(100)))
    assert sorted(reply.status for reply in replies) == [200] * 10 + [429] * 90
    assert len(embeddings.turns) == 10
    for reply in replies:
        if reply.status == 429:
            assert 50_000 < is_429(reply, "RATE_REQUEST_LIMIT_EXCEEDED") <= 60_000
            assert reply["x-ratelimit-remaining-requests"] == "0"
            assert reply["ratelimit"].startswith('"rpm";r=0;t=')


async def test_places_are_limited_and_free_again_when_a_request_ends(
    door: Door, embeddings: Stub
) -> None:
    key = await door.key(embeddings={"concurrency": 2})
    goes_on = asyncio.Event()

    async def script(turn: Turn) -> None:
        await goes_on.wait()
        await turn.reply(used(7))

    embeddings.script = script
    two = [asyncio.create_task(embed(door, key)) for _ in range(2)]
    await embeddings.turn(2)
    assert is_429(await embed(door, key), "RATE_CONCURRENCY_LIMIT_EXCEEDED") == 1_000
    goes_on.set()
    assert [(await each).status for each in two] == [200, 200]
    assert (await embed(door, key)).status == 200, "at once, not when the ledger knows"


async def test_a_report_above_the_hold_limits_the_next_request(
    door: Door, embeddings: Stub
) -> None:
    key = await door.key(embeddings={"tpm": 1_000})
    embeddings.script = answering(used(970))
    assert (await embed(door, key)).status == 200
    is_429(await embed(door, key), "RATE_TOKEN_LIMIT_EXCEEDED")
    small = await embed(door, key, b"{}")
    assert small.status == 200, "2 tokens still fit"


async def test_a_report_below_the_hold_gives_back_at_once(door: Door, embeddings: Stub) -> None:
    """Every request holds almost all of the limit and costs one token of it."""
    key = await door.key(embeddings={"tpm": len(BODY) + 10})
    embeddings.script = answering(used(1))
    for done in range(10):
        reply = await embed(door, key)
        assert (reply.status, reply["x-ratelimit-remaining-tokens"]) == (200, str(10 - done))
    is_429(await embed(door, key, BODY + b" "), "RATE_TOKEN_LIMIT_EXCEEDED")


async def test_a_failure_gives_its_tokens_back_and_not_its_request(
    door: Door, embeddings: Stub
) -> None:
    key = await door.key(embeddings={"tpm": len(BODY) + 1, "rpm": 4})
    embeddings.script = answering(b"{}", status=500)
    for _ in range(3):
        assert (await embed(door, key)).status == 502
    embeddings.script = answering(used(1))
    assert (await embed(door, key)).status == 200
    is_429(await embed(door, key), "RATE_REQUEST_LIMIT_EXCEEDED")


async def test_a_job_larger_than_the_token_limit_runs_in_an_empty_window(
    door: Door, embeddings: Stub
) -> None:
    key = await door.key(embeddings={"tpm": 20})
    embeddings.script = answering(used(15))
    assert (await embed(door, key)).status == 200
    assert is_429(await embed(door, key), "RATE_TOKEN_LIMIT_EXCEEDED") > 50_000


async def test_limits_of_a_key_hold_from_the_next_request_on(door: Door, embeddings: Stub) -> None:
    key = await door.key()
    assert (await embed(door, key))["x-ratelimit-limit-requests"] == "500"
    await set_limits(door, key, rpm=2, tpm=2_000)
    second = await embed(door, key)
    assert (second.status, second["x-ratelimit-limit-requests"]) == (200, "2")
    assert second["x-ratelimit-limit-tokens"] == "2000"
    is_429(await embed(door, key), "RATE_REQUEST_LIMIT_EXCEEDED")
    await set_limits(door, key, rpm=3)
    await asyncio.sleep(1.05)  # as long as a node may remember a refusal
    assert (await embed(door, key)).status == 200


async def test_a_revoked_and_a_suspended_key_are_refused_at_the_next_request(
    door: Door, embeddings: Stub
) -> None:
    book, gate = door.node.ground.book, door.node.ground.gate

    async def change(key: Key, status: str) -> None:
        done = (
            await book.revoke(key.key_id)
            if status == "revoked"
            else await book.set_status(key.key_id, status)
        )
        assert isinstance(done, BalanceRow)
        await gate.put_balance(done)

    for status, code, http in (
        ("suspended", "AUTHZ_KEY_SUSPENDED", 402),
        ("revoked", "AUTH_API_KEY_REVOKED", 401),
    ):
        key = await door.key()
        assert (await embed(door, key)).status == 200
        await door.run(change(key, status))
        reply = await embed(door, key)
        assert (reply.status, reply.json()["code"]) == (http, code)
        assert "ratelimit" not in reply.names
    assert len(embeddings.turns) == 2


async def test_a_balance_below_the_hold_is_refused_with_both_numbers(
    door: Door, embeddings: Stub
) -> None:
    key = await door.key(trial=len(BODY) - 1)
    reply = await embed(door, key)
    assert (reply.status, reply["x-usage-tokens"]) == (402, "0")
    found = reply.json()
    assert found["code"] == "AUTHZ_INSUFFICIENT_BALANCE"
    assert (found["balance_tokens"], found["hold_tokens"]) == (len(BODY) - 1, len(BODY))
    assert embeddings.turns == []
    assert (await embed(door, key, b"{}")).status == 200


async def test_two_requests_cannot_spend_the_same_tokens(door: Door, embeddings: Stub) -> None:
    key = await door.key(trial=2 * len(BODY) - 1)
    goes_on = asyncio.Event()

    async def script(turn: Turn) -> None:
        await goes_on.wait()
        await turn.reply(used(len(BODY)))

    embeddings.script = script
    first = asyncio.create_task(embed(door, key))
    await embeddings.turn()
    assert (await embed(door, key)).status == 402
    goes_on.set()
    assert (await first).status == 200
    await door.at_rest(key.subject)
    assert await door.balance(key) == len(BODY) - 1
    assert (await embed(door, key)).status == 402


async def test_addresses_are_limited_by_themselves_and_ipv6_by_its_64(
    door: Door, reader: Stub
) -> None:
    async def read(address: str) -> int:
        header = [("x-forwarded-for", address)]
        reply = await door.ask("GET", "/https://a.example/", host=READER, headers=header)
        return reply.status

    network = f"2001:db8:{id(reader) & 0xFFFF:x}"
    for number in range(20):
        assert await read(f"{network}:1::{number:x}") == 200
    assert await read(f"{network}:1:ffff::1") == 429
    assert await read(f"{network}:2::1") == 200


async def test_a_forwarded_address_is_believed_of_trusted_proxies_only(
    environ: dict[str, str], reader: Stub
) -> None:
    with running(environ, SLUICE_TRUSTED_PROXIES="10.0.0.0/8") as door:
        header = [("x-forwarded-for", "1.2.3.4")]
        await door.ask("GET", "/https://a.example/", host=READER, headers=header)
    assert (await reader.turn()).get("x-sluice-subject") == "a:127.0.0.1"


@pytest.mark.parametrize(
    ("body", "product", "limit"),
    [
        (b'{"model": "m", "labels": ["a", "b"], "input": ["x"]}', "classify_zero_shot", "200"),
        (b'{"input": ["labels"], "classifier_id": "c"}', "classify_few_shot", "20"),
        (b'{"labels": null, "classifier_id": "c", "input": "x"}', "classify_few_shot", "20"),
        (b'{"input": {"classifier_id": 1}, "labels": ["a"]}', "classify_zero_shot", "200"),
    ],
)
async def test_zero_shot_and_few_shot_are_told_apart_by_the_body(
    door: Door, key: Key, classifier: Stub, body: bytes, product: str, limit: str
) -> None:
    classifier.script = answering(used(5))
    reply = await door.ask("POST", "/v1/classify", key=key, body=body)
    assert (reply.status, reply["x-ratelimit-limit-requests"]) == (200, limit)
    await door.at_rest(key.subject, product)
    (row,) = await door.rows(key)
    assert (row.product, row.cost_tokens) == (product, 5)


async def test_a_classification_that_is_neither_is_a_422(
    door: Door, key: Key, classifier: Stub
) -> None:
    reply = await door.ask("POST", "/v1/classify", key=key, body=b'{"input": "x"}')
    assert reply.status == 422
    assert reply.json()["detail"][0]["loc"] == ["body", "labels"]
    reply = await door.ask("POST", "/v1/classify", key=key, body=b"not json")
    assert reply.status == 400
    assert classifier.turns == []
    assert await door.rows(key) == []
