"""Hundreds of hostile connections on one gateway process: others are served, memory is bounded.

`ops/bench/hostile.py` does the same with 5,000 and says what it costs.
"""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from gateway.edge.server import Bounds, Server
from ops.bench import hostile_attacks as attacks
from tests.edge.client import Wire, head
from tests.edge.conftest import free_port
from tests.edge.door import API, Door, Key, running, until
from tests.edge.paying import BODY
from tests.edge.process import GatewayProcess, gateway_process
from tests.edge.stub import Stub

MANY = 400
# Half a head of 60 KB is the most that one connection can keep: bytes, and what the parser makes.
MOST_EACH_BYTES = 250_000


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def _served(process: GatewayProcess, key: Key, stop: asyncio.Event) -> int:
    """One request after another, some on new connections; each must be answered well."""
    lines = [("host", API), key.bearer, ("content-length", str(len(BODY)))]
    request = head("POST", "/v1/embeddings", lines) + BODY
    answered = 0
    while not stop.is_set():
        async with await process.wire() as wire:
            for _ in range(5):
                assert (await wire.ask(request)).status == 200
                answered += 1
                await asyncio.sleep(0.01)
    return answered


async def test_others_are_served_and_memory_is_bounded_under_every_attack_at_once(
    door: Door, environ: dict[str, str], tmp_path: Path, embeddings: Stub
) -> None:
    """Also while a service is away: nobody listens where rerank should be."""
    key = await door.key(embeddings={"rpm": 100_000, "tpm": 10**9, "concurrency": 100})
    stop = asyncio.Event()
    async with gateway_process(environ, free_port(), tmp_path) as process, AsyncExitStack() as held:
        clients = [asyncio.create_task(_served(process, key, stop)) for _ in range(3)]
        before, number = process.resident_bytes, 0
        for begin in (attacks.idle, attacks.kept, attacks.heads, attacks.floods, attacks.bodies):
            pairs = await begin(process.port, MANY)
            number += len(pairs)
            for _, writer in pairs:
                held.push_async_callback(_end, writer)
            async with await process.wire() as wire:
                await wire.ask(
                    head("POST", "/v1/rerank", [("host", API), key.bearer, ("content-length", "2")])
                    + b"{}"
                )
        await asyncio.sleep(0.5)
        grown = process.resident_bytes - before
        stop.set()
        assert sum(await asyncio.gather(*clients)) > 15
        assert grown < number * MOST_EACH_BYTES


@pytest.mark.parametrize("quiet_s", [0.0, 60.0])
async def test_when_all_places_are_taken_quiet_clients_make_room_and_no_others(
    environ: dict[str, str], quiet_s: float
) -> None:
    """Who has asked a moment ago, and who is in the middle of a head, stay."""
    with running(environ, SLUICE_MAX_CONNECTIONS="4") as door:
        server: Server = door.node.server
        server._places._quiet_s = quiet_s
        assert Bounds().quiet_s == 5.0
        async with AsyncExitStack() as stack:
            quiet = [await _kept(door, stack) for _ in range(3)]
            half = await stack.enter_async_context(await door.wire())
            await half.send(b"GET /health HTTP/1.1\r\nhost: x\r\n")

            async def four() -> bool:
                return len(server.connections) == 4

            await until(four)
            newcomer = await stack.enter_async_context(await door.wire())
            if quiet_s:
                assert (await newcomer.reply()).status == 503
            else:
                assert (await newcomer.ask(head("GET", "/health", [("host", API)]))).status == 200
                assert await newcomer.is_open()
            assert (await half.ask(b"\r\n")).status == 200
            left = [await wire.is_open() for wire in quiet]
            assert left.count(False) == (0 if quiet_s else 3)


async def _kept(door: Door, stack: AsyncExitStack) -> Wire:
    wire = await stack.enter_async_context(await door.wire())
    assert (await wire.ask(head("GET", "/health", [("host", API)]))).status == 200
    return wire


async def test_half_heads_have_one_room_and_give_it_back(door: Door) -> None:
    """When it is full a long head is refused; short ones, and whole ones, go on."""
    room, half = door.node.server.head_room, b"GET /health HTTP/1.1\r\nhost: x\r\nx-a: "

    async def empty() -> bool:
        return room.bytes == 0

    await until(empty)
    async with await door.wire() as long, await door.wire() as short:
        await long.send(half + b"y" * 8_000)
        await short.send(half)

        async def both() -> bool:
            return room.bytes == 2 * len(half) + 8_000

        await until(both)
        room.bytes += 64 * 1024 * 1024
        reply = await long.ask(b"y")
        assert (reply.status, reply.json()["code"]) == (503, "SERVICE_OVERLOADED")
        assert await long.ended() == b""
        assert (await short.ask(b"y\r\n\r\n")).status == 200
        room.bytes -= 64 * 1024 * 1024
    await until(empty)


async def test_a_head_that_grows_without_end_is_refused_however_slowly_it_comes(
    door: Door,
) -> None:
    async with await door.wire() as wire:
        await wire.send(b"GET /health HTTP/1.1\r\nhost: x\r\n")
        for number in range(60):
            with suppress(ConnectionError):
                await wire.send(b"x-%d: " % number + b"y" * 2_000 + b"\r\n")
            await asyncio.sleep(0.001)
        reply = await wire.reply()
        assert reply.status == 431
        assert reply.json()["code"] == "HEAD_TOO_LARGE"
        assert await wire.ended() == b""
