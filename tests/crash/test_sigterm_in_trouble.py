"""SIGTERM while something is broken: bounded, nothing lost, nobody charged for what failed."""

import asyncio
import os
import signal
import subprocess

from tests.crash.client import BROKEN, Client
from tests.crash.conftest import Own
from tests.crash.house import GRANT, House, Key, until
from tests.crash.stub import Stub
from tests.embedded.processes import kill_postgres

# Longer than the ledger gets to take the rest, and Redis to answer, on a machine under load.
ENDED_S = 60


async def _ended(gateway: subprocess.Popen[bytes], house: House) -> int:
    try:
        return await asyncio.to_thread(gateway.wait, ENDED_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(house.logs()) from None


async def _warm(house: House) -> Key:
    key = await house.mint()
    async with Client(house.port) as client:
        assert (await client.ask(key.text, tokens=1)).status == 200
    return key


async def test_with_postgresql_away_and_redis_frozen_its_spool_waits_for_the_worker(
    own: Own,
) -> None:
    """What was admitted is answered; the charges come when PostgreSQL does, once."""
    house = own.house
    house.settings["SLUICE_DRAIN_MS"] = "2000"
    gateway = await house.gateway()
    key = await _warm(house)
    async with Client(house.port) as client, Client(house.port) as other:
        await client.send(key.text, {"tokens": 7, "wait": True})
        waiting = await own.stub.arrivals.get()
        await kill_postgres(own.postgres)
        seen = [await other.ask(key.text, tokens=3) for _ in range(20)]
        assert {each.status for each in seen} == {200}
        os.kill(own.redis.pid, signal.SIGSTOP)
        gateway.terminate()
        waiting.answer.set()
        assert (await client.receive()).status == 200
    assert await _ended(gateway, house) == 0
    assert len(house.spools) == 1
    os.kill(own.redis.pid, signal.SIGCONT)
    await own.postgres.start()
    house.worker()
    await house.at_rest()
    assert await house.trial(key) == GRANT - 1 - 7 - 3 * len(seen)
    assert await house.proof() == {}


async def test_with_redis_away_it_ends_and_charges_what_it_answered(own: Own) -> None:
    house = own.house
    gateway = await house.gateway()
    key = await _warm(house)
    async with Client(house.port) as client:
        await client.send(key.text, {"tokens": 7, "wait": True})
        waiting = await own.stub.arrivals.get()
        os.kill(own.redis.pid, signal.SIGKILL)
        gateway.terminate()
        waiting.answer.set()
        assert (await client.receive()).status == 200
    assert await _ended(gateway, house) == 0
    await own.redis.wait_dead()
    await own.redis.start()
    house.worker()
    await house.at_rest()
    assert await house.trial(key) == GRANT - 8
    assert await house.proof() == {}


async def test_a_second_signal_ends_it_at_once_and_what_ran_is_void(
    house: House, stub: Stub
) -> None:
    """Who asks twice does not want to wait for the drain, which is half a minute here."""
    gateway = await house.gateway()
    key = await _warm(house)
    async with Client(house.port) as client, Client(house.port) as other:
        await client.send(key.text, {"tokens": 7, "wait": True})
        await stub.arrivals.get()
        gateway.send_signal(signal.SIGTERM)

        async def has_heard() -> bool:
            return not (await other.ask(key.text, tokens=1)).began

        await until(has_heard)
        assert gateway.poll() is None
        gateway.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(gateway.wait, 20) != 0
        assert (await client.receive()).status == BROKEN
    house.worker()
    await house.at_rest()
    kinds = {each.kind for each in await house.posted() if each.cost_tokens == 7}
    assert kinds == set()
    assert await house.proof() == {}
