"""Four gateway processes on one port: one limit."""

import asyncio
from collections import Counter

from tests.crash.client import Client
from tests.crash.house import GRANT, House

PROCESSES = 4


async def test_ten_of_a_hundred_parallel_requests_pass_a_limit_of_ten(house: House) -> None:
    key, other = await house.mint(), await house.mint()
    await house.book.set_limits(key.key_id, {"embeddings": {"rpm": 10}})
    started = [house.start("serve", "--child", str(n)) for n in range(PROCESSES)]
    for process in started:
        await house.ready(process, house.port)
    await _all_take_part(house, other.text)
    clients = [Client(house.port) for _ in range(100)]
    seen = await asyncio.gather(*(client.ask(key.text, tokens=3) for client in clients))
    for client in clients:
        client.hang_up()
    assert Counter(each.status for each in seen) == {200: 10, 429: 90}
    # All that passed are charged; nothing is held.
    await house.at_rest()
    assert await house.trial(key) == GRANT - 30
    served = {each.instance for each in await house.posted(key)}
    assert len(served) > 1
    assert await house.proof() == {}


async def _all_take_part(house: House, key: str) -> None:
    """The kernel spreads connections: until each process has answered one."""
    async with asyncio.timeout(20):
        while len({each.instance for each in await house.posted()}) < PROCESSES:
            async with Client(house.port) as client:
                assert (await client.ask(key, tokens=0)).status == 200
