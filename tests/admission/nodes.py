"""A Redis Cluster of three for tests: formed, and a slot of it moved, by hand."""

import asyncio
import random
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import RedisRefused, redis_command
from gateway.redis_link.wire import SLOTS

NODES = 3
Talk = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def talk_to(port: int) -> AsyncIterator[Talk]:
    """One plain connection to one node."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def talk(*words: str | int) -> Any:
        reply = await redis_command(reader, writer, *(str(word) for word in words))
        assert not isinstance(reply, RedisRefused), reply
        return reply

    try:
        yield talk
    finally:
        writer.close()
        await writer.wait_closed()


@dataclass(frozen=True)
class Nodes:
    """The cluster's servers and their ports, in the order of their slots."""

    servers: Sequence[RedisServer]
    ports: Sequence[int]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.ports[0]}"

    @property
    def every_url(self) -> str:
        """All of them, as a gateway is told that may start while one is away."""
        return f"redis://{','.join(f'127.0.0.1:{port}' for port in self.ports)}"

    def talk(self, port: int) -> Any:
        return talk_to(port)

    def owner(self, slot: int) -> int:
        """The port of the node that has this slot at first."""
        return self.ports[min(slot * NODES // SLOTS, NODES - 1)]

    async def open_move(self, slot: int, source: int, target: int) -> None:
        """Begin to move a slot: from here on ASK redirects."""
        async with talk_to(source) as there, talk_to(target) as here:
            source_id, target_id = await there("CLUSTER", "MYID"), await here("CLUSTER", "MYID")
            await here("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
            await there("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)

    async def move_keys(self, slot: int, source: int, target: int) -> int:
        """Move what is in the slot; how many keys that were."""
        moved = 0
        async with talk_to(source) as there:
            count = await there("CLUSTER", "COUNTKEYSINSLOT", slot)
            for key in await there("CLUSTER", "GETKEYSINSLOT", slot, int(count)):
                await there("MIGRATE", "127.0.0.1", target, key, 0, 1_000)
                moved += 1
        return moved

    async def close_move(self, slot: int, target: int) -> None:
        """End the move: the other nodes learn of it by MOVED or from each other."""
        async with talk_to(target) as here:
            target_id = await here("CLUSTER", "MYID")
            await here("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        for port in self.ports:
            if port != target:
                async with talk_to(port) as talk:
                    await talk("CLUSTER", "SETSLOT", slot, "NODE", target_id)


@contextmanager
def cluster_of_three() -> Iterator[Nodes]:
    """Three servers that form a cluster, each with a third of the slots."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-cluster-"))
    ports = free_ports(NODES)
    servers = [RedisServer(folder / str(port), port=port, cluster=True) for port in ports]
    try:
        asyncio.run(form_cluster(servers, ports))
        yield Nodes(servers, ports)
    finally:
        for server in servers:
            asyncio.run(server.stop())
        shutil.rmtree(folder)


def free_ports(count: int) -> list[int]:
    """Ports whose bus port, 10,000 above, is free too.

    All below those that other tests take. Random, for another process may ask at the same moment:
    what it was told is not listened on yet.
    """
    found: list[int] = []
    for port in random.sample(range(3_000, 9_900), 500):
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


async def form_cluster(servers: Sequence[RedisServer], ports: Sequence[int]) -> None:
    """Start the servers, share the slots among them, and wait until all agree."""
    for place, (server, port) in enumerate(zip(servers, ports, strict=True)):
        await server.start()
        first, last = (-(-SLOTS * n // NODES) for n in (place, place + 1))
        async with talk_to(port) as talk:
            await talk("CLUSTER", "ADDSLOTS", *range(first, last))
            # A lost shard must not take the others with it.
            await talk("CONFIG", "SET", "cluster-require-full-coverage", "no")
            await talk("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
    async with talk_to(ports[0]) as talk:
        for port in ports[1:]:
            await talk("CLUSTER", "MEET", "127.0.0.1", port)
    for port in ports:
        await _agreed(port)


async def _agreed(port: int) -> None:
    async with asyncio.timeout(60), talk_to(port) as talk:
        while True:
            told = str(await talk("CLUSTER", "INFO"))
            slots = await talk("CLUSTER", "SLOTS")
            if "cluster_state:ok" in told and len(slots) == NODES:
                return
            await asyncio.sleep(0.05)
