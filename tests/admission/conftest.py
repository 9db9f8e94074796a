"""Fixtures of admission: the scripts on an empty Redis, and a cluster of three."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.admission.gate import Gate
from gateway.embedded.redis_server import RedisServer
from gateway.redis_link import RedisLink
from tests.admission.asking import Direct, MakeGate, open_direct
from tests.admission.nodes import NODES, Nodes, form_cluster


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
        link = RedisLink(redis_url)
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
    folder = Path(tempfile.mkdtemp(prefix="sluice-cluster-"))
    ports = _free_ports(NODES)
    servers = [RedisServer(folder / str(port), port=port, cluster=True) for port in ports]
    asyncio.run(form_cluster(servers, ports))
    yield Nodes(servers, ports)
    for server in servers:
        asyncio.run(server.stop())
    shutil.rmtree(folder)


@pytest.fixture
async def cluster_link(nodes: Nodes) -> AsyncIterator[RedisLink]:
    """A link to the emptied cluster; scripts can still be made known, `open` is the test's."""
    for port in nodes.ports:
        async with nodes.talk(port) as talk:
            await talk("FLUSHALL")
    link = RedisLink(nodes.url)
    yield link
    await link.close()


def _free_ports(count: int) -> list[int]:
    """Ports whose bus port, 10,000 above, is free too, below those of outgoing connections."""
    found = []
    for port in range(17_000, 22_000):
        with socket.socket() as one, socket.socket() as bus:
            try:
                one.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("no free ports")
