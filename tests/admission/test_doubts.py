"""A server that answers no more, became a replica, or was away: who waits, who asks it what."""

import asyncio
import os
import signal

import pytest

from gateway.admission.ask import Code
from gateway.admission.gate import Gate
from gateway.admission.scripts import tag_of
from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import redis_command
from gateway.errors import RedisUnavailable
from gateway.redis_link import RedisLink
from gateway.redis_link.connection import MOST_IN_DOUBT
from tests.admission.asking import Asker, row
from tests.admission.test_link import link, server, until_it_answers
from tests.crash.house import until

__all__ = ["link", "server"]


async def test_only_so_many_wait_for_a_server_that_has_stopped_answering(
    server: RedisServer,
) -> None:
    link = RedisLink(server.url, deadline_ms=60_000)
    await link.open()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        waiting = [link.call(None, "PING") for _ in range(MOST_IN_DOUBT)]

        async def is_doubtful() -> bool:
            answer = link.call(None, "PING")
            if not answer.done():
                waiting.append(answer)
            return answer.done()

        await until(is_doubtful)
        for _ in range(1_000):
            with pytest.raises(RedisUnavailable):
                link.call(None, "PING").result()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert {await answer for answer in waiting} == {b"PONG"}
    assert await link.call(None, "PING") == b"PONG"
    await link.close()


async def test_a_server_that_became_a_replica_is_as_good_as_away(
    server: RedisServer, link: RedisLink
) -> None:
    await link.open()
    assert await link.call(None, "REPLICAOF", "127.0.0.1", "1") == b"OK"
    with pytest.raises(RedisUnavailable):
        await link.call(None, "SET", "a", "1")

    async def is_down() -> bool:
        return not link.is_up and "replica" in link.reason

    await until(is_down)
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    assert await redis_command(reader, writer, "REPLICAOF", "NO", "ONE") == "OK"
    writer.close()
    await writer.wait_closed()
    await until_it_answers(link)
    assert await link.call(None, "SET", "a", "1") == b"OK"


async def test_who_was_away_is_asked_nothing_that_needs_trust_before_it_is_trusted(
    server: RedisServer, link: RedisLink
) -> None:
    gate = Gate(link)
    await link.open()
    link.doubt_who_was_away()
    await gate.put_balance(row(1))
    for _ in range(2):
        with pytest.raises(RedisUnavailable):
            await gate.admit(Asker("k:1").ask())
        with pytest.raises(RedisUnavailable):
            await gate.judge(Asker("k:1").ask())
        with pytest.raises(RedisUnavailable):
            await gate.extend("k:1", tag_of("k:1"), "r", 5)
        assert (await gate.admit(Asker("a:1").ask())).code is Code.ADMITTED
        (node,) = await link.doubted()
        node.trust()
        assert (await gate.admit(Asker("k:1").ask())).code is not Code.REVOKED
        assert link.is_trusted
        os.kill(server.pid, signal.SIGKILL)
        await server.wait_dead()
        await until(lambda: _is_doubted(link))
        await server.start()
        await until_it_answers(link)


async def _is_doubted(link: RedisLink) -> bool:
    return not link.is_trusted


async def test_who_refused_to_write_is_doubted_like_one_that_was_away(
    server: RedisServer, link: RedisLink
) -> None:
    """Its memory or its disk is full: what changed meanwhile could not be told to it."""
    gate = Gate(link)
    await link.open()
    link.doubt_who_was_away()
    (node,) = await link.doubted()
    node.trust()
    await gate.put_balance(row(1))
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    assert await redis_command(reader, writer, "CONFIG", "SET", "maxmemory", "1") == "OK"
    with pytest.raises(RedisUnavailable):
        await gate.admit(Asker("k:1").ask())
    await until(lambda: _is_doubted(link))
    assert await redis_command(reader, writer, "CONFIG", "SET", "maxmemory", "0") == "OK"
    writer.close()
    await writer.wait_closed()
    await until_it_answers(link)
    with pytest.raises(RedisUnavailable):
        await gate.admit(Asker("k:1").ask())
    (node,) = await link.doubted()
    node.trust()
    assert (await gate.admit(Asker("k:1").ask())).code is Code.ADMITTED
