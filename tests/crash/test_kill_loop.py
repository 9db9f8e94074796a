"""Random kills under load, by a seed: the clients' journal compared with the ledger."""

import asyncio
import os
import random
import signal
from collections import Counter

from tests.crash.client import Client, Seen
from tests.crash.conftest import Own
from tests.crash.house import GRANT, House, Key, kill

SEED = 20_261_120
LOAD_S = 15.0
FEWEST_KILLS = 5
# So many answers at least are compared.
FEWEST = 300
CLIENTS = 12
# What a client was given within the last moments of a killed gateway may be given back to him:
# a mark is written 0.02 s after the last byte. A client has at most a few answers in that time;
# measured 0 to 5 of all clients per kill.
MOST_GIVEN_BACK_PER_KILL = 2 * CLIENTS


async def _client(
    own: Own, keys: list[Key], seed: int, seen: list[Seen], stop: asyncio.Event
) -> None:
    """Small and large, quick and slow requests of any of the keys; what became of each."""
    chance = random.Random(seed)
    async with Client(own.house.port) as client:
        while not stop.is_set():
            key = chance.choice(keys)
            size = chance.choice([10, 10, 10, 50_000, 700_000])
            seen.append(await client.ask(key.text, tokens=chance.randrange(1, 50), bytes=size))
            await asyncio.sleep(chance.choice([0, 0, 0.02]) if seen[-1].status == 200 else 0.05)


async def _kill_and_start(own: Own, what: str, place: int) -> None:
    """kill -9, and a new one."""
    house = own.house
    if what == "gateway":
        kill([house.gateways[place]])
        house.gateways[place] = house.start("serve", "--child", str(place))
        return
    server = own.postgres if what == "postgresql" else own.redis
    os.kill(server.pid, signal.SIGKILL)
    await server.wait_dead()
    await asyncio.sleep(0.3)
    await server.start()


async def _keep_gateways(house: House, stop: asyncio.Event) -> None:
    """As a supervisor would: one that found no Redis at its start is started again."""
    while not stop.is_set():
        for place, process in enumerate(house.gateways):
            if process.poll() is not None:
                house.gateways[place] = house.start("serve", "--child", str(place))
        await asyncio.sleep(0.2)


async def test_every_answer_is_charged_once_and_nothing_else_is(own: Own) -> None:
    """Whatever dies: gateways, PostgreSQL, Redis. Seeded, about 15 s, at least five kills."""
    house, chance = own.house, random.Random(SEED)
    for place in range(2):
        house.gateways.append(house.start("serve", "--child", str(place)))
    house.worker()
    await house.ready(house.gateways[0], house.port)
    keys = [await house.mint() for _ in range(4)]
    for key in keys:
        await house.book.set_limits(key.key_id, {"embeddings": {"rpm": 10**6, "tpm": 10**9}})
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    seen: list[Seen] = []
    clients = [asyncio.create_task(_client(own, keys, n, seen, stop)) for n in range(CLIENTS)]
    keeper = asyncio.create_task(_keep_gateways(house, stop))
    kills, ends_s = Counter[str](), loop.time() + LOAD_S
    plan = ["gateway", "postgresql", "redis", "gateway"]
    # A busy machine takes longer to as much.
    while loop.time() < ends_s or kills.total() < FEWEST_KILLS or _answers(seen) < 2 * FEWEST:
        await asyncio.sleep(chance.uniform(1.0, 2.5))
        what = plan.pop(0) if plan else chance.choice(["gateway", "gateway", "postgresql", "redis"])
        await _kill_and_start(own, what, chance.randrange(2))
        kills[what] += 1
    stop.set()
    await asyncio.gather(*clients, keeper)
    await house.at_rest()
    await _compare(house, keys, seen, kills)


def _answers(seen: list[Seen]) -> int:
    return sum(each.status == 200 for each in seen)


async def _compare(house: House, keys: list[Key], seen: list[Seen], kills: Counter[str]) -> None:
    answered = {each.request_id: each for each in seen if each.status == 200}
    posted = {each.request_id: each for each in await house.posted()}
    kept = {each.request_id for each in posted.values() if each.cost_tokens > each.back}
    # Nobody pays for what he did not get.
    assert kept <= set(answered)
    # What he pays is what he was told.
    assert all(posted[each].cost_tokens == answered[each].tokens for each in kept)
    # Every answer is in the ledger as a charge, and few of them were given back.
    assert {posted[each].kind for each in answered if each is not None} == {"charge"}
    free = set(answered) - kept
    assert len(free) <= MOST_GIVEN_BACK_PER_KILL * kills["gateway"]
    assert all(posted[each].back == posted[each].cost_tokens for each in free if each is not None)
    spent = sum(answered[each].tokens or 0 for each in kept)
    assert sum([await house.trial(key) for key in keys]) == len(keys) * GRANT - spent
    assert kills.total() >= FEWEST_KILLS
    assert len(kept) > FEWEST
    assert await house.proof() == {}
