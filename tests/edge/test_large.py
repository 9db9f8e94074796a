"""A hundred megabytes in either direction: through the gateway, never into it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.edge.client import Wire, head
from tests.edge.conftest import free_port
from tests.edge.door import API, READER, TRIAL, Door, Key
from tests.edge.paying import Cost, paid
from tests.edge.process import MB, GatewayProcess, gateway_process
from tests.edge.scripts import HEADER
from tests.edge.stub import SSE, Stub, Turn, used

PIECE = b"x" * 100_000
PIECES = 1_000
GROWTH_BYTES = 5 * MB
# What the kernel's buffers and ours may hold of a stream that nobody reads: a few megabytes.
HELD_UP_BYTES = 20 * MB


@pytest.fixture
async def process(
    environ: dict[str, str], door: Door, tmp_path: Path
) -> AsyncIterator[GatewayProcess]:
    """A worker that has served before, so that what it keeps anyway is not counted."""
    async with gateway_process(environ, free_port(), tmp_path) as running:
        yield running


async def read(wire: Wire, size: int) -> None:
    """Read so many bytes."""
    came = 0
    while came < size:
        piece = await asyncio.wait_for(wire.reader.read(min(1 << 20, size - came)), 60)
        assert piece, "the answer is cut"
        came += len(piece)


def get(key: Key) -> bytes:
    return head("GET", "/https://a.example/", [("host", READER), key.bearer])


@pytest.mark.parametrize("kind", ["text/plain", SSE, "application/json"])
async def test_a_large_answer_to_a_slow_client_does_not_grow_the_gateway(
    door: Door, key: Key, reader: Stub, process: GatewayProcess, kind: str
) -> None:
    sent = 0

    async def script(turn: Turn) -> None:
        nonlocal sent
        await turn.begin(headers=HEADER, kind=kind)
        piece = b"data: %b\n\n" % PIECE[:99_992] if kind == SSE else PIECE
        for _ in range(PIECES):
            await turn.chunk(piece)
            sent += len(piece)
        await turn.end()

    async def warm_up() -> None:
        async with await process.wire() as wire:
            await wire.send(get(await door.key()))
            await wire.reply_head()
            await read(wire, 20 * MB)

    reader.script = script
    await warm_up()
    sent, before, end = 0, process.resident_bytes, asyncio.Event()
    weighing = asyncio.create_task(process.most_resident(end))
    async with await process.wire(small_window=True) as wire:
        await wire.send(get(key))
        found = await wire.reply_head()
        assert found["transfer-encoding"] == "chunked" or found["content-length"]
        await asyncio.sleep(0.3)
        assert sent < HELD_UP_BYTES, "back-pressure reaches the service"
        await read(wire, PIECES * len(PIECE))
    end.set()
    assert await weighing - before < GROWTH_BYTES


async def test_a_large_upload_to_a_slow_service_does_not_grow_the_gateway(
    door: Door, key: Key, reader: Stub, process: GatewayProcess
) -> None:
    """Up to the cap of the product, with the client held up while the service is."""
    goes_on, size = asyncio.Event(), 102 * MB
    got = sent = 0

    async def script(turn: Turn) -> None:
        nonlocal got
        await goes_on.wait()
        async for piece in turn.pieces():
            got += len(piece)
        turn.was_read = True
        await turn.reply(used(7))

    reader.script = script
    lines = [("host", READER), key.bearer, ("content-length", str(size))]
    before, end = process.resident_bytes, asyncio.Event()
    weighing = asyncio.create_task(process.most_resident(end))
    async with await process.wire() as wire:

        async def send() -> None:
            nonlocal sent
            wire.writer.write(head("POST", "/", lines))
            for _ in range(size // len(PIECE)):
                wire.writer.write(PIECE)
                await wire.writer.drain()
                sent += len(PIECE)

        sending = asyncio.create_task(send())
        await asyncio.sleep(0.3)
        assert sent < HELD_UP_BYTES, "back-pressure reaches the client"
        goes_on.set()
        await sending
        reply = await wire.reply()
    end.set()
    assert (reply.status, got) == (200, size)
    # The first request of a process costs it a little by itself.
    assert await weighing - before < GROWTH_BYTES + 3 * MB


def chunks(key: Key, target: str, size: int) -> list[bytes]:
    """A request whose body tells no length."""
    lines = [("host", API), key.bearer, ("transfer-encoding", "chunked")]
    framed = b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
    return [head("POST", target, lines), *[framed] * (size // len(PIECE)), b"0\r\n\r\n"]


async def upload(
    door: Door, key: Key, size: int, target: str = "/v1/embeddings"
) -> tuple[int, str, str]:
    """Status, code and request id of a chunked upload."""
    async with await door.wire() as wire:
        reading = asyncio.create_task(wire.reply())
        for piece in chunks(key, target, size):
            if reading.done():
                break
            wire.writer.write(piece)
            await wire.writer.drain()
        reply = await reading
    code = "" if reply.status == 200 else str(reply.json()["code"])
    return reply.status, code, reply.request_id


@pytest.mark.parametrize("size", [3 * MB, 6 * MB])
async def test_a_body_of_unknown_length_is_let_in_with_a_trial_key(
    door: Door, key: Key, embeddings: Stub, size: int
) -> None:
    """Holding the longest body that the product takes would need 67 million tokens."""
    status, _, request_id = await upload(door, key, size)
    assert status == 200
    assert len((await embeddings.turn()).body) == size
    row = await paid(door, key, request_id, Cost("complete", 7, 7, 7))
    assert row.held_tokens == (size if size < 4 * MB else TRIAL)


async def test_a_body_of_unknown_length_may_be_no_longer_than_the_balance(
    door: Door, key: Key, embeddings: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.read_body()

    embeddings.script = script
    status, code, request_id = await upload(door, key, 12 * MB)
    assert (status, code) == (402, "AUTHZ_INSUFFICIENT_BALANCE")
    await paid(door, key, request_id, Cost("client_body_failed", status=402))
    poor = await door.key(trial=3 * MB)
    status, code, _ = await upload(door, poor, 6 * MB)
    assert (status, code) == (402, "AUTHZ_INSUFFICIENT_BALANCE")
    assert len(embeddings.turns) == 1, "the second was known to be too long before"
    assert await door.rows(poor) == []


async def test_a_body_of_unknown_length_may_be_no_longer_than_the_cap(
    door: Door, rerank: Stub
) -> None:
    """Which is 6 MB for rerank in this catalogue."""

    async def script(turn: Turn) -> None:
        await turn.read_body()

    rerank.script = script
    rich = await door.key(paid=10**9)
    status, code, _ = await upload(door, rich, 7 * MB, "/v1/rerank")
    assert (status, code) == (413, "REQUEST_TOO_LARGE")
    await door.at_rest(rich.subject, "rerank")
    (row,) = await door.rows(rich)
    assert (row.outcome, row.cost_tokens) == ("client_body_failed", 0)
