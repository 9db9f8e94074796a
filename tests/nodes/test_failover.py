"""A shard's replica takes over: a link finds it by itself, though nobody asks anything."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from gateway.admission.ask import Code
from gateway.admission.gate import Gate
from gateway.admission.scripts import tag_of
from gateway.embedded.redis_server import RedisServer
from gateway.errors import RedisUnavailable
from gateway.redis_link import RedisLink, slot_of
from tests.admission.asking import Asker
from tests.admission.nodes import Nodes, free_ports, talk_to
from tests.crash.house import until


@asynccontextmanager
async def one_more() -> AsyncIterator[tuple[RedisServer, int]]:
    """One more server that could be in a cluster."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-more-"))
    port = free_ports(1)[0]
    server = RedisServer(folder, port=port, cluster=True)
    await server.start()
    try:
        yield server, port
    finally:
        await server.stop()
        shutil.rmtree(folder)


def subject_of(cluster: Nodes, place: int) -> str:
    """A subject of this server's slots."""
    names = (f"a:{number}" for number in range(10_000))
    return next(n for n in names if cluster.owner(slot_of(tag_of(n))) == cluster.ports[place])


async def are_acquainted(one: int, other: int) -> bool:
    """Both ways: who does not know a replica does not vote for it."""
    for asked, named in ((one, other), (other, one)):
        async with talk_to(asked) as talk:
            lines = str(await talk("CLUSTER", "NODES")).splitlines()
        if not any(f":{named}@" in line and "handshake" not in line for line in lines):
            return False
    return True


async def admitted(gate: Gate, subject: str) -> bool:
    return (await gate.admit(Asker(subject).ask())).code in (Code.ADMITTED, Code.ALREADY_HELD)


async def test_who_is_alone_is_not_believed_for_long(cluster: Nodes) -> None:
    """As a master that is cut off from its peers: it says that the slots are its own."""
    async with one_more() as (_, port):
        async with talk_to(port) as talk:
            await talk("CLUSTER", "ADDSLOTS", *range(16_000))
        link = RedisLink(f"redis://127.0.0.1:{port},127.0.0.1:{cluster.ports[1]}")
        gate = Gate(link)
        await link.open()
        for place in range(len(cluster.ports)):
            await until(partial(admitted, gate, subject_of(cluster, place)))
        await link.close()


async def test_a_takeover_is_noticed_though_nobody_asks(cluster: Nodes) -> None:
    """The shard has no server afterwards."""
    lost, subject = 0, subject_of(cluster, 0)
    async with one_more() as (_, port):
        async with talk_to(cluster.ports[lost]) as talk:
            master = await talk("CLUSTER", "MYID")
        async with talk_to(port) as talk:
            for other in cluster.ports:
                await talk("CLUSTER", "MEET", "127.0.0.1", other)

            async def knows() -> bool:
                return all([await are_acquainted(other, port) for other in cluster.ports])

            async def follows() -> bool:
                return "master_link_status:up" in str(await talk("INFO", "replication"))

            await until(knows)
            await talk("CLUSTER", "REPLICATE", master)
            await until(follows)
            link = RedisLink(cluster.every_url)
            gate = Gate(link)
            await link.open()
            await until(lambda: admitted(gate, subject))
            os.kill(cluster.servers[lost].pid, signal.SIGKILL)
            await cluster.servers[lost].wait_dead()

            async def is_down() -> bool:
                return not link.is_up

            async def is_up() -> bool:
                return link.is_up

            await until(is_down)
            before = link.commands
            await until(is_up, 60.0)
            assert link.commands > before
            assert await admitted(gate, subject)
            await link.close()


async def test_what_is_asked_of_a_shard_without_servers_ends(cluster: Nodes) -> None:
    """No is an answer, silence is none."""
    # Gone already, unless this test runs alone.
    cluster.servers[0].kill()
    await cluster.servers[0].wait_dead()
    link = RedisLink(cluster.every_url)
    gate = Gate(link)
    await link.open()

    async def as_it_is() -> bool:
        asked = [gate.admit(Asker(subject_of(cluster, place)).ask()) for place in range(3)]
        async with asyncio.timeout(20):
            ended = await asyncio.gather(*asked, return_exceptions=True)
        others = not any(isinstance(each, BaseException) for each in ended[1:])
        return isinstance(ended[0], RedisUnavailable) and others

    # The other two may have to notice first that the third is gone for good.
    await until(as_it_is, 60.0)
    await link.close()
