"""Redis killed or wiped while requests run: money is right, holds return, the next ones pass."""

import asyncio
import os
import signal

import pytest

from gateway.embedded.wire import redis_command
from tests.crash.client import Client
from tests.crash.conftest import Own
from tests.crash.house import GRANT, until


async def _killed(own: Own) -> None:
    os.kill(own.redis.pid, signal.SIGKILL)
    await own.redis.wait_dead()
    await own.redis.start()


async def _wiped(own: Own) -> None:
    reader, writer = await asyncio.open_unix_connection(str(own.redis.socket))
    assert await redis_command(reader, writer, "FLUSHALL") == "OK"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("lose", [_killed, _wiped])
async def test_running_requests_are_held_again_and_charged_once_and_the_next_one_passes(
    own: Own, lose: object
) -> None:
    assert callable(lose)
    house = own.house
    await house.gateway()
    key = await house.mint()
    async with Client(house.port) as client, Client(house.port) as other:
        assert (await client.ask(key.text, tokens=5)).status == 200
        await client.send(key.text, {"tokens": 7, "wait": True})
        waiting = await own.stub.arrivals.get()
        await lose(own)
        loop = asyncio.get_running_loop()
        begun_s = loop.time()

        async def held_again() -> bool:
            return (await house.held(key))[0][1] == 1

        async def passes() -> bool:
            return (await other.ask(key.text, tokens=3)).status == 200

        await until(held_again)
        await until(passes)
        # The beat of a second; a loaded machine.
        assert loop.time() - begun_s < 60.0
        waiting.answer.set()
        assert (await client.receive()).status == 200
    await house.at_rest()
    assert await house.trial(key) == GRANT - 5 - 7 - 3
    assert await house.proof() == {}
