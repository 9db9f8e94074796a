"""Services that are dead, failing, full or silent: refused before admission, and only they."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.edge.breaker import State
from tests.edge.client import Reply
from tests.edge.conftest import Places
from tests.edge.door import API, READER, Door, Key, running, until
from tests.edge.paying import BODY, embed
from tests.edge.scripts import raw
from tests.edge.stub import Stub, Turn, listening, seven


async def rerank_of(door: Door, key: Key) -> Reply:
    return await door.ask("POST", "/v1/rerank", key=key, body=BODY)


async def state(door: Door, service: str) -> State:
    pool = door.node.pipeline._parts.forwarder._upstreams.get(service)
    assert pool is not None

    async def look() -> State:
        return pool.breaker.state(asyncio.get_running_loop().time())

    return await door.run(look())


async def opened(door: Door, ask: Callable[[Key], Awaitable[Reply]], code: str) -> Reply:
    """Two keys ask until they are refused at once; every answer before that has this code."""
    keys = [await door.key(), await door.key()]
    for number in range(100):
        reply = await ask(keys[number % 2])
        if "not asked for a while" in reply.json()["message"]:
            return reply
        assert reply.json()["code"] == code
    raise AssertionError("it never opened")


def is_left_alone(reply: Reply, most_s: int = 4) -> None:
    assert reply.status == 503
    assert reply.json()["code"] == "SERVICE_UNAVAILABLE"
    assert 1 <= int(reply["retry-after"]) <= most_s
    assert reply["x-usage-tokens"] == "0"


async def test_a_dead_service_is_left_alone_at_no_cost_and_found_again(
    door: Door, key: Key, places: Places, embeddings: Stub
) -> None:
    """Nobody listens on rerank's port; embeddings beside it go on."""
    is_left_alone(await opened(door, lambda one: rerank_of(door, one), "SERVICE_UNAVAILABLE"))
    assert "rerank" in door.node.ground.conditions.now()["service_breaker"]
    door.node.readiness._known = None
    ready = await door.run(door.node.readiness.look())
    assert ready.http_status == 200
    assert "service_breaker" in ready.told
    assert "service_breaker" not in ready.degraded
    counted = door.node.ground.link.round_trips
    for _ in range(20):
        reply = await rerank_of(door, key)
        if "not asked" not in reply.json()["message"]:
            continue  # a trial
        is_left_alone(reply)
    rows = await door.rows(key)
    assert len(rows) < 5
    assert {row.outcome for row in rows} <= {"service_failed"}
    assert (await embed(door, key)).status == 200
    assert counted <= door.node.ground.link.round_trips
    stub = Stub()
    async with listening(stub, places["rerank"]):

        async def is_back() -> bool:
            return (await rerank_of(door, key)).status == 200

        await until(is_back)
    assert await state(door, "rerank") is State.CLOSED
    assert "service_breaker" not in door.node.ground.conditions.now()


async def test_while_left_alone_no_window_no_hold_and_no_redis_is_touched(
    door: Door, key: Key
) -> None:
    await opened(door, lambda one: rerank_of(door, one), "SERVICE_UNAVAILABLE")
    pool = door.node.pipeline._parts.forwarder._upstreams.get("rerank")
    assert pool is not None
    pool.breaker._retry_s += 60
    asked = door.node.ground.telemetry.admissions
    before = sum(child.value for _, child in asked.series())
    for _ in range(10):
        is_left_alone(await rerank_of(door, key), 64)
    assert sum(child.value for _, child in asked.series()) == before
    assert (await door.standing(key.subject, "rerank")).version is not None
    assert await door.rows(key) == []
    counted = door.node.ground.telemetry.degraded.labels("breaker_open")
    assert counted.value >= 10


async def test_who_is_refused_at_admission_does_not_use_up_the_trial(
    door: Door, places: Places
) -> None:
    """Else one client without a balance that asks without a pause keeps a service closed."""
    await opened(door, lambda one: rerank_of(door, one), "SERVICE_UNAVAILABLE")
    poor, key = await door.key(trial=0), await door.key()
    async with listening(Stub(), places["rerank"]):

        async def may_be_tried() -> bool:
            return await state(door, "rerank") is State.TRYING

        await until(may_be_tried)
        assert (await rerank_of(door, poor)).status == 402
        assert (await rerank_of(door, key)).status == 200
    assert await state(door, "rerank") is State.CLOSED


async def test_a_kept_answer_is_told_again_while_its_service_is_left_alone(
    door: Door, places: Places
) -> None:
    """And a name that was refused meanwhile is free for the request itself."""
    key = await door.key()

    async def named(name: str) -> Reply:
        lines = [("idempotency-key", name)]
        return await door.ask("POST", "/v1/rerank", key=key, body=BODY, headers=lines)

    async def is_back() -> bool:
        return (await named("second")).status == 200

    async with listening(Stub(), places["rerank"]):
        first = await named("first")
        assert first.status == 200
    # What was pooled has ended with its service.
    await opened(door, lambda one: rerank_of(door, one), "SERVICE_UNAVAILABLE")
    assert (await named("second")).status == 503
    again = await named("first")
    assert (again.status, again.body) == (200, first.body)
    async with listening(Stub(), places["rerank"]):
        await until(is_back)


async def test_a_storm_of_5xx_opens_it_and_one_good_answer_closes_it(
    door: Door, embeddings: Stub
) -> None:
    async def failing(turn: Turn) -> None:
        await turn.reply(b"{}", status=500)

    embeddings.script = failing
    is_left_alone(await opened(door, lambda key: embed(door, key), "SERVICE_FAILED"))
    seen = len(embeddings.turns)
    assert seen >= 10
    embeddings.script = seven
    key = await door.key()

    async def is_back() -> bool:
        return (await embed(door, key)).status == 200

    await until(is_back)
    assert await state(door, "embeddings") is State.CLOSED


@pytest.mark.parametrize(
    "script",
    [
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}"),
        raw(b""),
        raw(b"SSH-2.0\r\n\r\n"),
    ],
)
async def test_garbage_and_answers_that_break_off_open_it(
    door: Door, embeddings: Stub, script: Callable[[Turn], Awaitable[None]]
) -> None:
    embeddings.script = script
    is_left_alone(await opened(door, lambda key: embed(door, key), "SERVICE_BROKE_OFF"))


async def test_streams_that_are_cut_in_their_middle_open_it(door: Door, embeddings: Stub) -> None:
    async def cutting(turn: Turn) -> None:
        await turn.begin()
        await turn.chunk(b" " * 300_000)
        turn.cut()

    embeddings.script = cutting
    keys = [await door.key(), await door.key()]
    for number in range(60):
        if (reply := await embed(door, keys[number % 2])).status == 503:
            break
        # A reset that overtakes what came before it leaves nothing to begin an answer with.
        assert (reply.status, reply.whole) in ((200, False), (502, True))
    is_left_alone(reply)


@pytest.mark.parametrize(
    ("status", "lines"),
    [(400, []), (404, []), (422, []), (429, []), (501, []), (503, [("retry-after", "7")])],
)
async def test_mistakes_of_clients_and_services_that_are_full_do_not(
    door: Door, embeddings: Stub, status: int, lines: list[tuple[str, str]]
) -> None:
    async def refusing(turn: Turn) -> None:
        await turn.reply(b'{"detail": "no"}', status=status, headers=lines)

    embeddings.script = refusing
    keys = [await door.key(), await door.key()]
    for number in range(30):
        await embed(door, keys[number % 2])
    assert len(embeddings.turns) == 30
    assert await state(door, "embeddings") is State.CLOSED


async def test_pages_that_are_away_do_not_close_the_reader(door: Door, reader: Stub) -> None:
    async def void(turn: Turn) -> None:
        body = b'{"readableMessage": "x", "data": null, "code": 422}'
        await turn.reply(body, status=422, headers=[("x-charge-rule", "void")])

    reader.script = void
    for _ in range(2):
        key = await door.key()
        for _ in range(15):
            reply = await door.ask("GET", "/https://a.example/", host=READER, key=key)
            assert reply.status == 422
    assert await state(door, "reader") is State.CLOSED


async def test_clients_that_leave_do_not_open_it(door: Door, embeddings: Stub) -> None:
    async def silent(turn: Turn) -> None:
        await turn.read_body()
        await turn.hung_up()

    embeddings.script = silent
    for _ in range(15):
        key = await door.key()
        wire = await door.wire()
        lines = f"POST /v1/embeddings HTTP/1.1\r\nhost: {API}\r\ncontent-length: 2\r\n"
        await wire.send(f"{lines}authorization: {key.bearer[1]}\r\n\r\n{{}}".encode())
        await embeddings.turn(len(embeddings.turns) or 1)
        wire.reset()
        await door.at_rest(key.subject)
    assert await state(door, "embeddings") is State.CLOSED


@asynccontextmanager
async def black_hole(port: int) -> AsyncIterator[None]:
    """A port whose handshakes nobody completes: its queue is full."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(0)
        callers = [socket.socket() for _ in range(8)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        try:
            yield
        finally:
            for caller in callers:
                caller.close()


async def test_a_service_that_takes_no_connection_is_given_up_and_void(
    door: Door, key: Key, places: Places
) -> None:
    port = places["rerank"]
    assert not isinstance(port, Path)
    async with black_hole(port):
        replies = await asyncio.gather(*(rerank_of(door, key) for _ in range(6)))
        assert [reply.status for reply in replies] == [503] * 6
        await door.at_rest(key.subject, "rerank")
        rows = await door.rows(key)
        assert len(rows) == 6
        assert {(row.outcome, row.cost_tokens) for row in rows} == {("service_failed", 0)}
        assert await state(door, "rerank") is not State.CLOSED


async def test_a_slow_service_takes_no_more_than_its_share(
    environ: dict[str, str], embeddings: Stub, rerank: Stub
) -> None:
    """Beyond it 503 before admission; the others and the running ones go on."""
    go_on = asyncio.Event()

    async def slow(turn: Turn) -> None:
        await turn.read_body()
        await go_on.wait()
        await seven(turn)

    embeddings.script = slow
    with running(environ, SLUICE_SERVICE_REQUESTS="3") as door:
        key = await door.key()
        waiting = [asyncio.create_task(embed(door, key)) for _ in range(3)]
        await embeddings.turn(3)
        for _ in range(5):
            reply = await embed(door, key)
            assert (reply.status, reply["retry-after"]) == (503, "1")
            assert reply.json()["code"] == "SERVICE_OVERLOADED"
        assert (await rerank_of(door, key)).status == 200
        assert "embeddings" in door.node.ground.conditions.now()["service_breaker"]
        go_on.set()
        assert [reply.status for reply in await asyncio.gather(*waiting)] == [200] * 3
        assert (await embed(door, key)).status == 200
        assert len(embeddings.turns) == 4
        pool = door.node.pipeline._parts.forwarder._upstreams.get("embeddings")
        assert pool is not None
        assert pool.running == 0
