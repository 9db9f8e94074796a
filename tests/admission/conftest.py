"""Fixtures of admission: the scripts on an empty Redis, and a cluster of three."""

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.admission.gate import Gate
from gateway.redis_link import RedisLink
from tests.admission.asking import Direct, MakeGate, open_direct
from tests.admission.nodes import Nodes, cluster_of_three


@pytest.fixture
async def direct(redis_url: str) -> AsyncIterator[Direct]:
    """The scripts with N = 240 on an emptied Redis."""
    found = await open_direct(redis_url)
    yield found
    await found.link.close()


@pytest.fixture
async def make_gate(redis_url: str) -> AsyncIterator[MakeGate]:
    """Gates, each with a connection of its own."""
    links: list[RedisLink] = []

    async def make() -> tuple[Gate, RedisLink]:
        link = RedisLink(redis_url, deadline_ms=5_000)
        gate = Gate(link)
        await link.open()
        links.append(link)
        return gate, link

    yield make
    for link in links:
        await link.close()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Three servers that form a cluster, each with a third of the slots."""
    with cluster_of_three() as found:
        yield found


@pytest.fixture
async def cluster_link(nodes: Nodes) -> AsyncIterator[RedisLink]:
    """A link to the emptied cluster; scripts can still be made known, `open` is the test's."""
    for port in nodes.ports:
        async with nodes.talk(port) as talk:
            await talk("FLUSHALL")
    link = RedisLink(nodes.url, deadline_ms=5_000)
    yield link
    await link.close()
