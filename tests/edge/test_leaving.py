"""Clients that go away at any moment: each request ends once, its service is told at once."""

import asyncio
import time

import pytest

from gateway.embedded.redis_server import RedisServer
from tests.edge.client import Wire, head
from tests.edge.door import DEEPSEARCH, READER, TRIAL, Door, Key, until
from tests.edge.faults import frozen_redis, frozen_spool
from tests.edge.paying import AT_ONCE_S, only_row, request
from tests.edge.scripts import HEADER, LARGE
from tests.edge.stub import SSE, Stub, Turn


async def leave(wire: Wire, way: str) -> None:
    """Go away as a program that ends, or as one that is killed."""
    if way == "closes":
        await wire.close()
    else:
        wire.reset()


@pytest.mark.parametrize("way", ["closes", "is killed"])
async def test_who_leaves_before_the_first_byte_pays_nothing_and_the_service_is_told(
    door: Door, key: Key, embeddings: Stub, way: str
) -> None:
    hung_up = asyncio.Event()

    async def script(turn: Turn) -> None:
        await turn.read_body()
        await turn.hung_up()
        hung_up.set()

    embeddings.script = script
    wire = await door.wire()
    await wire.send(request(key))
    await embeddings.turn()
    await leave(wire, way)
    await asyncio.wait_for(hung_up.wait(), AT_ONCE_S)
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens, row.kind) == ("client_left_before", 0, "void")
    assert await door.balance(key) == TRIAL
    standing = await door.standing(key.subject, "embeddings")
    left = standing.products["embeddings"]
    assert left.remaining_requests == left.limit_requests - 1
    assert left.remaining_tokens == left.limit_tokens


@pytest.mark.parametrize(
    ("headers", "start", "cost", "rule"),
    [
        (HEADER, b"", 7, "produced"),
        ([], b'{"usage": {"total_tokens": 9}, "data": "', 9, "produced"),
        # Where the input is what counts, all of it was read: our own count stands in.
        ([], b'{"data": "', 3, "produced"),
        ([*HEADER, ("x-charge-rule", "void")], b"", 0, "failed"),
    ],
)
async def test_who_leaves_midway_pays_what_was_produced(
    door: Door,
    key: Key,
    embeddings: Stub,
    headers: list[tuple[str, str]],
    start: bytes,
    cost: int,
    rule: str,
) -> None:
    hung_up = asyncio.Event()

    async def script(turn: Turn) -> None:
        try:
            await turn.begin(headers=headers)
            await turn.chunk(start + b"x" * LARGE)
            await turn.chunk(b"x" * LARGE)
            await turn.hung_up()
        finally:
            hung_up.set()

    embeddings.script = script
    wire = await door.wire()
    await wire.send(request(key))
    assert (await wire.reply_head()).status == 200
    await wire.reader.readexactly(LARGE)
    await wire.close()
    await asyncio.wait_for(hung_up.wait(), AT_ONCE_S)
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens, row.rule) == ("client_left_midway", cost, rule)
    assert (row.shortfall, row.given_back_tokens) == (0, 0)
    assert await door.balance(key) == TRIAL - cost


async def test_who_leaves_a_stream_of_events_pays_what_its_events_have_told(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.begin(kind=SSE)
        for tokens in (100, 250):
            usage = b'"usage": {"total_tokens": %d}' % tokens
            await turn.chunk(b'data: {"choices": [{"delta": {}}], %b}\n\n' % usage)
        await turn.hung_up()

    deepsearch.script = script
    wire = await door.wire()
    await wire.send(request(key, host=DEEPSEARCH, target="/v1/chat/completions"))
    await wire.reply_head()
    await wire.reader.readuntil(b"250}}\n\n")
    await wire.close()
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens) == ("client_left_midway", 250)
    assert await door.balance(key) == TRIAL - 250


async def test_who_leaves_midway_without_a_key_or_of_a_free_product_pays_nothing(
    door: Door, key: Key, reader: Stub, segmenter: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.begin(headers=HEADER)
        await turn.chunk(b" " * 280_000)
        await turn.chunk(b" " * 10_000)
        await turn.hung_up()

    reader.script = segmenter.script = script
    header = door.address()
    ask = head("GET", "/https://a.example/", [("host", READER), header])
    for bytes_of_it in (ask, request(key, target="/v1/segment")):
        wire = await door.wire()
        await wire.send(bytes_of_it)
        await wire.reply_head()
        await wire.reader.readexactly(1_000)
        await wire.close()
    await door.at_rest(f"a:{header[1]}", "reader")
    row = await only_row(door, key)
    assert (row.product, row.outcome, row.cost_tokens) == ("segment", "client_left_midway", 0)
    assert await door.balance(key) == TRIAL


async def test_who_leaves_while_redis_decides_leaves_no_hold(
    door: Door, key: Key, embeddings: Stub, redis_server: RedisServer
) -> None:
    wire = await door.wire()
    with frozen_redis(redis_server):
        await wire.send(request(key))
        await asyncio.sleep(0.05)
        await wire.close()
        await asyncio.sleep(0.05)
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens) == ("client_left_before", 0)
    assert embeddings.turns == []
    assert await door.balance(key) == TRIAL


async def test_who_leaves_while_the_outcome_becomes_durable_gets_his_money_back(
    door: Door, key: Key, embeddings: Stub
) -> None:
    wire = await door.wire()
    with frozen_spool(door):
        await wire.send(request(key))
        await embeddings.turn()
        await asyncio.sleep(0.05)
        await wire.close()
        await asyncio.sleep(0.05)
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens) == ("complete", 7)

    async def whole_again() -> bool:
        return await door.balance(key) == TRIAL

    await until(whole_again)
    row = await only_row(door, key)
    assert row.given_back_tokens == 7


async def test_who_leaves_in_the_middle_of_his_upload_pays_nothing(
    door: Door, key: Key, embeddings: Stub
) -> None:
    """A small body never reaches a service, a large one is cut there at once."""
    wire = await door.wire()
    await wire.send(request(key)[:-5])
    await asyncio.sleep(0.02)
    await wire.close()
    hung_up = asyncio.Event()

    async def script(turn: Turn) -> None:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await turn.read_body()
        hung_up.set()

    embeddings.script = script
    wire = await door.wire()
    await wire.send(request(key, body=b" " * 2_000_000)[:-5])
    await embeddings.turn()
    await wire.close()
    await asyncio.wait_for(hung_up.wait(), AT_ONCE_S)
    row = await only_row(door, key)
    assert (row.outcome, row.cost_tokens) == ("client_left_before", 0)
    assert len(embeddings.turns) == 1
    assert await door.balance(key) == TRIAL


async def test_a_hundred_clients_that_leave_at_any_moment_each_end_once(
    door: Door, embeddings: Stub
) -> None:
    key = await door.key()

    async def script(turn: Turn) -> None:
        await turn.begin(headers=HEADER)
        for _ in range(4):
            await asyncio.sleep(0.005)
            await turn.chunk(b"x" * LARGE)
        await turn.end()

    async def visit(number: int) -> None:
        wire = await door.wire()
        await wire.send(request(key))
        began_s = time.monotonic()
        while time.monotonic() - began_s < number * 0.0005:
            await asyncio.sleep(0)
            if wire.reader.at_eof():
                break
        await leave(wire, "closes" if number % 2 else "is killed")

    embeddings.script = script
    await asyncio.gather(*(visit(number) for number in range(100)))
    await door.at_rest(key.subject)
    rows = await door.rows(key)
    charged = sum(row.cost_tokens - row.given_back_tokens for row in rows)
    assert await door.balance(key) == TRIAL - charged
    assert {row.outcome for row in rows} <= {
        "client_left_before",
        "client_left_midway",
        "complete",
    }
    assert len({row.request_id for row in rows}) == len(rows) <= 100
    for row in rows:
        assert row.cost_tokens == (0 if row.outcome == "client_left_before" else 7)
