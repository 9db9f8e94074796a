"""kill -9 of gateways whose requests have an Idempotency-Key: no name is ever charged twice."""

import asyncio
from collections import defaultdict

import asyncpg

from tests.crash.client import BROKEN, Client, Seen
from tests.crash.house import GRANT, House, Key, kill, until
from tests.crash.stub import Stub

HEALED_S = 60.0
NAMES = 40
CLIENTS = 6
KILLS = 2
FIRST_COST = 100


async def answered(house: House, client: Client, key: Key, tokens: int, **more: object) -> Seen:
    """Ask under the client's name until it is answered."""
    async with asyncio.timeout(60):
        while (seen := await client.ask(key.text, tokens=tokens, **more)).status != 200:
            assert seen.status in (BROKEN, 409, 503), seen
            await asyncio.sleep(0.02)
    return seen


_END_GATEWAYS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name like 'sluice-gateway%'
"""


async def _gone(house: House) -> bool:
    """Whether no gateway has a session."""
    watching = await asyncpg.connect(house.settings["SLUICE_DATABASE_URL"], ssl=False)
    try:
        left = await watching.fetchval(
            _END_GATEWAYS.replace("pg_terminate_backend(pid)", "count(*)")
        )
    finally:
        await watching.close()
    return not left


async def test_killed_between_its_charge_and_its_keeping_it_is_done_again_for_one_charge(
    house: House, stub: Stub
) -> None:
    gateway = await house.gateway()
    key = await house.mint()
    line = await asyncpg.connect(house.settings["SLUICE_DATABASE_URL"], ssl=False)
    async with Client(house.port) as client:
        client.name = "a"
        assert (await client.ask(key.text, tokens=7)).status == 200
        client.name = "b"
        await client.send(key.text, {"tokens": 9, "wait": True})
        arrived = await stub.arrivals.get()
        held = line.transaction()
        await held.start()
        await line.execute("select 1 from kept_answer for update")
        arrived.answer.set()

        async def charged() -> bool:
            return any(each.cost_tokens == 9 for each in await house.posted(key))

        await until(charged)
        kill([gateway])
        assert (await client.receive()).status == BROKEN
        # What it had asked for waits for our lock: it must not be done after its death.
        await line.execute(_END_GATEWAYS)
        await until(lambda: _gone(house))
        await held.rollback()
        house.worker()
        await house.gateway()
        again = asyncio.create_task(answered(house, client, key, 9, wait=True))
        (await stub.arrivals.get()).answer.set()
        seen = await again
        told = await client.ask(key.text, tokens=9, wait=True)
        assert (told.request_id, told.tokens, told.body) == (seen.request_id, 9, seen.body)
    await line.close()
    await house.at_rest(HEALED_S)
    costs = sorted((each.cost_tokens, each.back) for each in await house.posted(key))
    assert costs == [(7, 0), (9, 0), (9, 9)]
    assert await house.trial(key) == GRANT - 16
    assert await house.proof() == {}


async def test_gateways_killed_under_load_charge_no_name_twice(house: House) -> None:
    gateway = await house.gateway()
    house.worker()
    key = await house.mint()
    names = iter(range(NAMES))
    ready = asyncio.Event()

    async def ask() -> None:
        async with Client(house.port) as client:
            for number in names:
                client.name = f"name {number}"
                # Each name has a price of its own, by which the ledger tells them apart.
                seen = await answered(house, client, key, FIRST_COST + number)
                assert seen.tokens == FIRST_COST + number
                if number % (NAMES // (KILLS + 1)) == NAMES // (KILLS + 1) - 1:
                    ready.set()

    asking = [asyncio.create_task(ask()) for _ in range(CLIENTS)]
    for _ in range(KILLS):
        await ready.wait()
        ready.clear()
        kill([gateway])
        gateway = await house.gateway()
    await asyncio.gather(*asking)
    await house.at_rest(HEALED_S)
    paid: dict[int, int] = defaultdict(int)
    for each in await house.posted(key):
        paid[each.cost_tokens] += each.cost_tokens - each.back
    wrong = {cost: net for cost, net in paid.items() if cost and net not in (0, cost)}
    assert wrong == {}, "charged twice"
    assert set(paid) - {0} == set(range(FIRST_COST, FIRST_COST + NAMES))
    # Told again and given back: only what was answered in the moment of a death.
    free = [cost for cost, net in paid.items() if cost and not net]
    assert len(free) <= KILLS * CLIENTS
    assert await house.proof() == {}
