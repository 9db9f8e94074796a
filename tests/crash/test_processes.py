"""Four gateway processes on one port: one limit."""

import asyncio
from collections import Counter

from tests.crash.client import Client
from tests.crash.house import GRANT, House, until

PROCESSES = 4


async def test_ten_of_a_hundred_parallel_requests_pass_a_limit_of_ten(house: House) -> None:
    """A hundred connections, which the kernel has spread over all four."""
    key, other, first = [await house.mint() for _ in range(3)]
    await house.book.set_limits(key.key_id, {"embeddings": {"rpm": 10}})
    await house.book.set_limits(first.key_id, {"embeddings": {"rpm": 10**6}})
    for place in range(PROCESSES):
        house.start("serve", "--child", str(place))

    async def all_serve() -> bool:
        clients = [Client(house.port) for _ in range(20)]
        await asyncio.gather(*(client.ask(first.text, tokens=0) for client in clients))
        for client in clients:
            client.hang_up()
        return len({each.instance for each in await house.posted(first)}) == PROCESSES

    await until(all_serve)
    clients = [Client(house.port) for _ in range(100)]
    seen = await asyncio.gather(*(client.ask(other.text, tokens=0) for client in clients))
    assert {each.status for each in seen} == {200}
    seen = await asyncio.gather(*(client.ask(key.text, tokens=3) for client in clients))
    for client in clients:
        client.hang_up()
    assert Counter(each.status for each in seen) == {200: 10, 429: 90}
    await house.at_rest()
    assert await house.trial(key) == GRANT - 30
    assert len({each.instance for each in await house.posted(other)}) == PROCESSES
    assert await house.proof() == {}
