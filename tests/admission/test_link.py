"""The way to Redis when Redis is away, frozen, restarted or answers nonsense."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from gateway.admission.ask import Code
from gateway.admission.gate import Gate
from gateway.embedded.redis_server import RedisServer
from gateway.errors import RedisUnavailable
from gateway.redis_link import RedisLink, encode, read_url, slot_of
from tests.admission.asking import Asker, limits, row

DEADLINE_MS = 250
# The deadline, a second look, and what a busy machine adds; who had no deadline would wait on.
MOST_S = 15.0


@pytest.fixture
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    """A Redis that a test may freeze, kill and start again."""
    found = RedisServer(Path(tmp_path_factory.mktemp("redis")))
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def link(server: RedisServer) -> AsyncIterator[RedisLink]:
    found = RedisLink(server.url, deadline_ms=DEADLINE_MS)
    yield found
    await found.close()


async def timed_failure(ask: Callable[[], Awaitable[object]]) -> float:
    """Seconds until it failed; it must fail."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    with pytest.raises(RedisUnavailable):
        await ask()
    return loop.time() - started_s


async def until_it_answers(link: RedisLink, most_s: float = 60.0) -> None:
    async with asyncio.timeout(most_s):
        while True:
            try:
                await link.call(None, "PING")
                return
            except RedisUnavailable:
                await asyncio.sleep(0.02)


async def fails_at_once(link: RedisLink) -> None:
    """Nobody waits for this answer."""
    answer = link.call(None, "PING")
    assert answer.done()
    with pytest.raises(RedisUnavailable):
        await answer


async def until_it_is_down(link: RedisLink) -> None:
    """Until so much has failed that nothing waits any more."""
    async with asyncio.timeout(60):
        while not link.masters[0].is_down:  # noqa: ASYNC110 - as its users see it
            await asyncio.sleep(0.01)


async def test_frozen_redis_fails_everything_within_the_deadline(
    server: RedisServer, link: RedisLink
) -> None:
    """First whatever waits, later at once; and all is well when it thaws."""
    await link.open()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        waits = await asyncio.gather(
            *(timed_failure(lambda: link.call(None, "PING")) for _ in range(20))
        )
        assert max(waits) < MOST_S
        assert min(waits) > DEADLINE_MS / 1_000 - 0.05
        assert await timed_failure(lambda: link.call(None, "PING")) < MOST_S
        assert not link.is_up
        for _ in range(50):
            await fails_at_once(link)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await until_it_answers(link)
    assert (link.is_up, link.restarts) == (True, 0)


async def test_frozen_redis_never_hangs_the_gate(server: RedisServer, link: RedisLink) -> None:
    """A fault within the deadline, with a key and without: somebody else decides then."""
    gate = Gate(link)
    await link.open()
    await gate.put_balance(row(1))
    os.kill(server.pid, signal.SIGSTOP)
    try:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        keyed = timed_failure(lambda: gate.admit(Asker("k:1").ask()))
        anonymous = timed_failure(lambda: gate.admit(Asker("a:1").ask()))
        assert await keyed < MOST_S
        assert await anonymous < MOST_S
        assert loop.time() - started_s < 2 * MOST_S
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_killed_redis_fails_fast_and_is_found_again(
    server: RedisServer, link: RedisLink
) -> None:
    """It comes back empty and without scripts: balances are not loaded, and scripts run."""
    gate = Gate(link)
    await link.open()
    await gate.put_balance(row(1))
    asker = Asker("k:1")
    assert (await gate.admit(asker.ask())).code is Code.ADMITTED
    os.kill(server.pid, signal.SIGKILL)
    await server.wait_dead()
    assert await timed_failure(lambda: gate.admit(asker.ask())) < MOST_S
    await until_it_is_down(link)
    await fails_at_once(link)
    with pytest.raises(RedisUnavailable):
        await gate.admit(asker.ask())
    await server.start()
    await until_it_answers(link)
    assert (await gate.admit(asker.ask())).code is Code.BALANCE_NOT_LOADED
    assert (link.restarts, link.connects) == (1, 2)


async def test_forgotten_scripts_are_loaded_and_the_commands_sent_again(redis_url: str) -> None:
    """NOSCRIPT for a whole batch costs one reload, and no caller sees it."""
    link = RedisLink(redis_url)
    gate = Gate(link)
    await link.open()
    asker = Asker("a:1", limits=limits(rpm=30))
    await gate.admit(asker.ask())
    for _ in range(2):
        await link.call(None, "SCRIPT", "FLUSH")
        before = link.commands
        decisions = await asyncio.gather(*(gate.admit(asker.ask()) for _ in range(10)))
        assert all(d.code is Code.ADMITTED for d in decisions)
        assert link.commands - before < 30
    assert link.connects == 1
    await link.close()


async def test_no_redis_at_the_start_is_told_and_found_later(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    link = RedisLink(server.url)
    with pytest.raises(RedisUnavailable):
        await link.open()
    assert not link.is_up
    assert "cannot connect" in link.reason
    await server.start()
    await until_it_answers(link)
    await link.close()
    await server.stop()


async def test_error_replies_are_faults_and_the_next_command_is_fine(redis_url: str) -> None:
    link = RedisLink(redis_url)
    await link.open()
    with pytest.raises(RedisUnavailable, match="ERR unknown command"):
        await link.call(None, "NOSUCHCOMMAND")
    assert await link.call(None, "PING") == b"PONG"
    assert link.connects == 1
    await link.close()


async def test_a_server_that_talks_nonsense_is_dropped() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = RedisLink(f"redis://127.0.0.1:{port}/0")
    with pytest.raises(RedisUnavailable):
        await link.open()
    await link.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_our_own_standstill_is_not_blamed_on_redis(
    redis_server: RedisServer, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """A loop that was blocked for longer than the deadline finds the answer in the socket."""

    async def stand_still() -> None:
        link = RedisLink(redis_server.url, deadline_ms=500)
        await link.open()
        answer = link.call(None, "PING")
        await asyncio.sleep(0)
        _block(0.75)
        assert await answer == b"PONG"
        assert link.connects == 1
        await link.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(stand_still())


def _block(seconds: float) -> None:
    """Stop this thread as a long computation would."""
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(seconds)
        with pytest.raises(TimeoutError):
            left.recv(1)


async def test_passwords_and_databases_of_the_url_are_used(redis_url: str) -> None:
    plain = RedisLink(redis_url)
    await plain.open()
    await plain.call(None, "CONFIG", "SET", "requirepass", "se/cret")
    try:
        path = redis_url.removeprefix("unix://")
        refused = RedisLink(redis_url)
        with pytest.raises(RedisUnavailable, match="NOAUTH"):
            await refused.open()
        await refused.close()
        let_in = RedisLink(f"unix://:se%2Fcret@{path}?db=3")
        await let_in.open()
        assert await let_in.call(None, "SET", "here", "1") == b"OK"
        await let_in.close()
        assert await plain.call(None, "EXISTS", "here") == 0
    finally:
        await plain.call(None, "CONFIG", "SET", "requirepass", "")
        await plain.close()


def test_urls_are_read() -> None:
    there = read_url("redis://me:p%40ss@redis.example:7000/2")
    assert (there.host, there.port, there.db) == ("redis.example", 7000, 2)
    assert (there.user, there.password, there.tls) == ("me", "p@ss", False)
    assert read_url("rediss://h").tls
    assert read_url("unix:///tmp/a%20b.sock").path == "/tmp/a b.sock"
    assert str(read_url("redis://h")) == "h:6379"
    with pytest.raises(ValueError, match="begins with"):
        read_url("http://h")


def test_slots_are_those_of_redis_cluster() -> None:
    """The examples of the cluster specification, and its rule for hash tags."""
    assert slot_of("123456789") == 0x31C3
    assert slot_of("{user1000}.following") == slot_of("user1000") == slot_of("x{user1000}{y}")
    assert slot_of("foo{}{bar}") != slot_of("bar")
    assert slot_of("foo{{bar}}zap") == slot_of("{bar")


def test_commands_are_arrays_of_byte_strings() -> None:
    assert encode("SET", "k", 12, b"\x00\xff") == (
        b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n12\r\n$2\r\n\x00\xff\r\n"
    )
