"""PostgreSQL killed while outcomes are shipped: no client notices, everything comes, once."""

import asyncio
import time

from tests.crash.client import Client, Seen
from tests.crash.conftest import Own
from tests.crash.house import GRANT, Key, kill, until
from tests.embedded.processes import kill_postgres

AWAY_S = 1.2


async def _load(own: Own, key: Key, stop: asyncio.Event) -> list[Seen]:
    """One request after another; what became of each."""
    seen = []
    async with Client(own.house.port) as client:
        while not stop.is_set():
            seen.append(await client.ask(key.text, tokens=3))
            await asyncio.sleep(0.01)
    return seen


async def test_under_load_every_request_is_answered_and_charged_once(own: Own) -> None:
    """Two kills. A key with two places and two clients never waits for the ledger."""
    house = own.house
    await house.gateway()
    keys = [await house.mint() for _ in range(3)]
    for key in keys:
        await house.book.set_limits(
            key.key_id, {"embeddings": {"rpm": 100_000, "tpm": 10**9, "concurrency": 2}}
        )
    async with Client(house.port) as client:
        first = [await client.ask(key.text, tokens=3) for key in keys]
    stop = asyncio.Event()
    loads = [asyncio.create_task(_load(own, key, stop)) for key in keys for _ in range(2)]
    for _ in range(2):
        await asyncio.sleep(0.3)
        await kill_postgres(own.postgres)
        await asyncio.sleep(AWAY_S)
        await own.postgres.start()
    stop.set()
    seen = [each for load in await asyncio.gather(*loads) for each in load] + first
    begun_s = time.monotonic()
    await house.at_rest()
    # The pause of the loop is two seconds at most; measured 1.1 to 1.8.
    assert time.monotonic() - begun_s < 60.0
    assert {each.status for each in seen} == {200}
    posted = await house.posted()
    assert {each.request_id for each in posted} == {each.request_id for each in seen}
    assert {(each.kind, each.cost_tokens, each.back) for each in posted} == {("charge", 3, 0)}
    left = [await house.trial(key) for key in keys]
    assert sum(left) == 3 * GRANT - 3 * len(seen)
    assert await house.proof() == {}


async def test_a_gateway_killed_meanwhile_leaves_its_charges_in_its_spool(own: Own) -> None:
    """Delivered ones are charged when PostgreSQL is back, one that was not delivered is not."""
    house = own.house
    gateway = await house.gateway()
    key = await house.mint()
    async with Client(house.port) as client, Client(house.port) as other:
        assert (await client.ask(key.text, tokens=5)).status == 200
        await house.marked(1)
        await kill_postgres(own.postgres)
        for _ in range(50):
            assert (await client.ask(key.text, tokens=5)).status == 200
        await house.marked(51)
        await other.send(key.text, {"tokens": 7, "wait": True})
        await own.stub.arrivals.get()
        kill([gateway])
    house.worker()
    await own.postgres.start()
    await house.at_rest()
    assert await house.trial(key) == GRANT - 51 * 5
    assert await house.proof() == {}


async def test_a_gateway_started_meanwhile_serves_no_key_it_does_not_know(own: Own) -> None:
    """503 and nothing lost; once PostgreSQL is back it serves, without a restart."""
    house = own.house
    key = await house.mint()
    await kill_postgres(own.postgres)
    await house.gateway()
    async with Client(house.port) as client:
        assert (await client.ask(key.text, tokens=5)).status == 503
        await own.postgres.start()

        async def passes() -> bool:
            return (await client.ask(key.text, tokens=5)).status == 200

        await until(passes)
    await house.at_rest()
    assert await house.trial(key) == GRANT - 5
    assert await house.proof() == {}


async def test_a_gateway_asked_to_stop_meanwhile_leaves_its_spool_to_the_worker(own: Own) -> None:
    house = own.house
    gateway = await house.gateway()
    key = await house.mint()
    async with Client(house.port) as client:
        assert (await client.ask(key.text, tokens=5)).status == 200
        await kill_postgres(own.postgres)
        assert (await client.ask(key.text, tokens=5)).status == 200
    gateway.terminate()
    assert await asyncio.to_thread(gateway.wait, 60) == 0, house.logs()
    assert len(house.spools) == 1
    await own.postgres.start()
    house.worker()
    await house.at_rest()
    assert await house.trial(key) == GRANT - 10
    assert await house.proof() == {}
