"""kill -9 of a gateway at each point of a request's life (design, section 6): the worker heals."""

import asyncio
import os
import signal
from functools import partial

from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import redis_command
from tests.crash.client import BROKEN, Client
from tests.crash.house import GRANT, House, Key, kill, until
from tests.crash.stub import Stub

# As promised; measured 0.6 to 2.6, most of it the start of the worker.
HEALED_S = 60.0
# So long nothing new is posted: it stands.
STANDS_S = 3.0
# Answers of 60 kB, so that more than one would fit into a buffer of ours.
MORE_THAN_A_SOCKET_TAKES = 400


async def outcomes(house: House) -> list[tuple[str, int, int]]:
    return [(each.outcome, each.cost_tokens, each.back) for each in await house.posted()]


async def test_killed_before_admission_nothing_happened(house: House) -> None:
    gateway = await house.gateway()
    key = await house.mint()
    async with Client(house.port) as client:
        await client.send(key.text, {"tokens": 5, "input": "x" * 2_000_000})
        kill([gateway])
        assert (await client.receive()).status == BROKEN
    assert await house.leftovers() == []
    house.worker()
    await house.at_rest(HEALED_S)
    assert await house.posted() == []
    assert await house.proof() == {}


async def test_killed_before_the_reply_of_admission_its_hold_is_released(
    house: House, redis_server: RedisServer
) -> None:
    """Redis admits when nobody is there any more to be told."""
    house.settings["SLUICE_REDIS_DEADLINE_MS"] = "30000"
    gateway = await house.gateway()
    key = await house.mint()
    async with Client(house.port) as client:
        assert (await client.ask(key.text, tokens=5)).status == 200
        await house.marked(1)
        os.kill(redis_server.pid, signal.SIGSTOP)
        try:
            await client.send(key.text, {"tokens": 7})
            # Until it has come to the one that cannot be asked.
            await asyncio.sleep(1.0)
            kill([gateway])
        finally:
            os.kill(redis_server.pid, signal.SIGCONT)
    (held,) = await house.held(key)
    assert held[1] == 1
    house.worker()
    await house.at_rest(HEALED_S)
    assert sorted(await outcomes(house)) == [("complete", 5, 0), ("gateway_died", 0, 0)]
    assert await house.trial(key) == GRANT - 5
    assert await house.proof() == {}


async def test_killed_while_the_service_runs_the_request_is_void(house: House, stub: Stub) -> None:
    gateway = await house.gateway()
    key = await house.mint()
    async with Client(house.port) as client:
        assert (await client.ask(key.text, tokens=5)).status == 200
        await house.marked(1)
        await client.send(key.text, {"tokens": 7, "wait": True})
        await stub.arrivals.get()
        kill([gateway])
        assert (await client.receive()).status == BROKEN
    house.worker()
    await house.at_rest(HEALED_S)
    assert sorted(await outcomes(house)) == [("complete", 5, 0), ("gateway_died", 0, 0)]
    assert await house.trial(key) == GRANT - 5
    assert await house.proof() == {}


async def test_killed_after_durable_and_before_the_last_byte_the_charge_is_given_back(
    house: House,
) -> None:
    """A client that asks again and again and does not read, until the kernel takes no more.

    Then as much is charged as he can still read whole, the broken one is not.
    """
    gateway = await house.gateway()
    key = await house.mint()
    async with Client(house.port, small=True) as client:
        count = await _ask_until_it_stands(house, client, key)
        assert await house.trial(key) == GRANT - 7 * count
        kill([gateway])
        house.worker()
        seen = [await client.receive() for _ in range(count)]
    assert [each.status for each in seen] == [200] * (count - 1) + [BROKEN]
    await house.at_rest(HEALED_S)
    assert await house.trial(key) == GRANT - 7 * (count - 1)
    assert [each.back for each in await house.posted()].count(7) == 1
    assert await house.proof() == {}


async def _ask_until_it_stands(house: House, client: Client, key: Key) -> int:
    """Ask without reading until nothing more is posted; how many outcomes are."""
    for count in range(MORE_THAN_A_SOCKET_TAKES):
        await client.send(key.text, {"tokens": 7, "bytes": 60_000})
        try:
            await until(partial(_has_posted, house, count + 1), within_s=STANDS_S)
        except TimeoutError:
            return count
    raise AssertionError("the kernel takes everything")


async def _has_posted(house: House, count: int) -> bool:
    return len(await house.posted()) == count


async def test_killed_after_shipping_and_before_settling_the_hold_is_released(
    house: House, stub: Stub, redis_server: RedisServer
) -> None:
    """Redis refuses the settling, then its sender dies: the charge stays, the hold goes."""
    gateway = await house.gateway()
    key = await house.mint()
    async with Client(house.port) as client:
        await client.send(key.text, {"tokens": 7, "wait": True})
        waiting = await stub.arrivals.get()
        await _tell(redis_server, "-evalsha")
        try:
            waiting.answer.set()
            assert (await client.receive()).status == 200
            await house.marked(1)
            await until(partial(_has_posted, house, 1))
            assert await house.trial(key) == GRANT - 7
            kill([gateway])
        finally:
            await _tell(redis_server, "+evalsha")
    (held,) = await house.held(key)
    assert held[1] == 1
    house.worker()
    await house.at_rest(HEALED_S)
    assert await outcomes(house) == [("complete", 7, 0)]
    assert await house.trial(key) == GRANT - 7
    assert await house.proof() == {}


async def _tell(server: RedisServer, rule: str) -> None:
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    assert await redis_command(reader, writer, "ACL", "SETUSER", "default", rule) == "OK"
    writer.close()
    await writer.wait_closed()
