"""The disk of a running gateway is full: clients are told, nobody pays, and it heals by itself."""

import asyncio
import resource

from tests.crash.client import Client
from tests.crash.house import GRANT, House, until
from tests.crash.stub import Stub


async def test_requests_are_refused_and_free_until_the_disk_works_again(
    house: House, stub: Stub
) -> None:
    gateway = await house.gateway()
    key = await house.mint()
    async with Client(house.port) as client, Client(house.port) as other:
        assert (await client.ask(key.text, tokens=5)).status == 200
        await other.send(key.text, {"tokens": 7, "wait": True})
        waiting = await stub.arrivals.get()
        before = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (1, before[1]))
        waiting.answer.set()
        told = await other.receive()
        assert (told.status, told.tokens) == (503, 0)
        assert (await client.ask(key.text, tokens=5)).status == 503
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, before)

        async def passes() -> bool:
            return (await client.ask(key.text, tokens=5)).status == 200

        # One try a second.
        await until(passes)
    await house.at_rest()
    assert await house.trial(key) == GRANT - 10
    outcomes = sorted(each.outcome for each in await house.posted())
    assert outcomes == ["complete", "complete", "gateway_failed"]
    gateway.terminate()
    assert await asyncio.to_thread(gateway.wait, 60) == 0
    assert house.spools == []
    assert await house.proof() == {}
