"""Two nodes, one limit, one balance; and what belongs together is in one slot.

`make nodes` proves the same and much more on machines that are network namespaces.
"""

import asyncio
from collections import Counter

from gateway.admission.scripts import tag_of
from gateway.redis_link import slot_of
from tests.admission.nodes import NODES, Nodes
from tests.crash.client import Client, Seen
from tests.crash.house import GRANT, House, Key

LIMIT = 10
AT_ONCE = 60


async def ask_all(houses: list[House], key: Key, count: int = AT_ONCE) -> list[Seen]:
    """So many at the same time, in turn on each node, each on a connection of its own."""
    clients = [Client(houses[number % len(houses)].port) for number in range(count)]
    seen = await asyncio.gather(*(client.ask(key.text, tokens=3) for client in clients))
    for client in clients:
        client.hang_up()
    return seen


async def test_two_nodes_share_limits_and_balances_and_every_key_is_in_its_subjects_slot(
    houses: list[House], cluster: Nodes
) -> None:
    first = houses[0]
    keys = [await first.mint() for _ in range(2 * NODES)]
    poor = await first.mint(200)
    for key in keys:
        await first.book.set_limits(key.key_id, {"embeddings": {"rpm": LIMIT}})
    for key in keys:
        seen = await ask_all(houses, key)
        assert Counter(each.status for each in seen) == {200: LIMIT, 429: AT_ONCE - LIMIT}
    spent = [each for each in await ask_all(houses, poor, 90) if each.status == 200]
    assert 0 < 3 * len(spent) <= 200
    wrong, count = await strays(cluster)
    assert wrong == []
    assert count >= 3 * len(keys)
    for house in houses:
        await house.at_rest()
    assert await first.trial(keys[0]) == GRANT - 3 * LIMIT
    assert await first.trial(poor) == 200 - 3 * len(spent)
    nodes = {each.instance.partition("-")[0] for each in await first.posted()}
    assert nodes == {"node0", "node1"}
    assert await first.proof() == {}
    assert await crossed(cluster) == 0


async def strays(cluster: Nodes) -> tuple[list[str], int]:
    """Keys that are not behind their subject's tag, or whose slot we count otherwise; of how many.

    That every key is on the server that owns its slot is what Redis itself sees to.
    """
    wrong, count = [], 0
    for port in cluster.ports:
        async with cluster.talk(port) as talk:
            for name in await talk("KEYS", "*"):
                count += 1
                tag, _, rest = name.partition("}")
                kind, _, subject = rest.partition(":")
                if kind in ("r", "t"):
                    subject = subject.partition(":")[2]
                ours = kind in ("d", "beat", "written") or f"{tag}}}" == tag_of(subject)
                if not ours or int(await talk("CLUSTER", "KEYSLOT", name)) != slot_of(name):
                    wrong.append(name)
    return wrong, count


async def crossed(cluster: Nodes) -> int:
    """Commands that the servers refused because their keys are in different slots."""
    found = 0
    for port in cluster.ports:
        async with cluster.talk(port) as talk:
            told = str(await talk("INFO", "errorstats"))
            found += told.count("errorstat_CROSSSLOT")
    return found
