"""Both stores gone, one shard gone, and a request that outlives the fault."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest

from gateway.admission.scripts import tag_of
from gateway.redis_link import slot_of
from tests.admission.nodes import NODES, Nodes, cluster_of_three
from tests.control.rig import gateway, settings_for, until
from tests.control.test_transfer import number
from tests.degraded.conftest import ready
from tests.degraded.redis_scene import Node, Scene, own_redis
from tests.faults.proxy import Proxy


def through(dsn: str, port: int) -> str:
    """The same database by another way."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"postgres@127.0.0.1:{port}", query=""))


def socket_of(dsn: str) -> Path:
    query = parse_qs(urlsplit(dsn).query)
    return Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"


async def test_without_both_nobody_is_let_in_and_all_is_well_when_one_is_back(
    tmp_path: Path, database: str, service: str
) -> None:
    async with own_redis() as redis, Proxy(socket_of(database)) as ledger:
        scene = Scene(tmp_path, through(database, ledger.port), redis, service)
        async with scene.node(POSTGRES_DEADLINE_MS="1000") as node:
            minted = await node.door.mint()
            key = minted["api_key"]
            assert (await node.read(key)).status == 200
            os.kill(redis.pid, signal.SIGSTOP)
            ledger.swallow()

            async def nobody() -> bool:
                told = [await node.read(key), await node.read()]
                return [each.status for each in told] == [503, 503]

            await until(nobody, within_s=60)
            for asked in (key, None):
                told = await node.read(asked)
                assert (told.status, told.has("retry-after")) == (503, True)
                assert told.json()["reason"] == "SERVICE_DEGRADED"
            assert node.counted("no_ledger_no_redis") >= 2
            assert (await ready(node.door))[0] == 503
            ledger.heal()

            async def by_the_ledger() -> bool:
                told = [await node.read(key), await node.read()]
                return [each.status for each in told] == [200, 200]

            await until(by_the_ledger, within_s=60)
            os.kill(redis.pid, signal.SIGCONT)
            await node.has_redis()
            await scene.rests(node)
            assert await scene.proof(node) == {}


@pytest.fixture
def cluster() -> Iterator[Nodes]:
    with cluster_of_three() as found:
        yield found


async def test_of_a_cluster_only_the_subjects_of_a_lost_shard_are_local(
    tmp_path: Path, database: str, service: str, cluster: Nodes
) -> None:
    settings = settings_for(
        tmp_path / "house", database, cluster.url, service, {"CANARY_EVERY_MS": "0"}
    )
    async with gateway(settings) as door, Proxy(Path("/nowhere")) as unused:
        node = Node(door, unused)
        keys: dict[int, str] = {}
        while len(keys) < NODES:
            minted = await door.mint()
            port = cluster.owner(slot_of(tag_of(f"k:{number(minted)}")))
            keys[port] = minted["api_key"]
        for key in keys.values():
            assert not (await node.read(key)).has("x-ratelimit-scope")
        lost = cluster.ports[-1]
        server = cluster.servers[-1]
        os.kill(server.pid, signal.SIGKILL)
        await server.wait_dead()

        async def local() -> bool:
            told = {port: await node.read(key) for port, key in keys.items()}
            assert {each.status for each in told.values()} == {200}
            return {port for port, each in told.items() if each.has("x-ratelimit-scope")} == {lost}

        await until(local, within_s=60)
        await server.start()
        await node.has_redis()

        async def whole() -> bool:
            told = [await node.read(key) for key in keys.values()]
            assert {each.status for each in told} == {200}
            return not any(each.has("x-ratelimit-scope") for each in told)

        await until(whole, within_s=60)


async def test_a_request_that_outlives_the_fault_is_held_in_redis_until_it_ends(
    tmp_path: Path, database: str
) -> None:
    """It was let in by the process alone; Redis is told of it before it decides again."""
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nx-usage-tokens: 7\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    service = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = service.sockets[0].getsockname()[1]
    async with own_redis() as redis:
        scene = Scene(tmp_path, database, redis, f"http://127.0.0.1:{port}")
        async with scene.node() as node:
            key = await node.door.mint()
            gate, subject = node.door.node.ground.gate, f"k:{number(key)}"
            await scene.kill_redis()
            asked = asyncio.create_task(
                node.read(key["api_key"], headers={"x-token-budget": "1234"})
            )
            await arrived.wait()
            await redis.start()
            await node.has_redis()
            assert await gate.holds(subject) == (1234, 1)
            # A second one is admitted by Redis on what is left.
            left = {"x-token-budget": "1234", "Prefer": "dry-run"}
            quote = (await node.read(key["api_key"], headers=left)).json()
            assert quote["balance"]["free_tokens"] == 10_000_000 - 1234
            answer.set()
            told = await asked
            assert (told.status, told["x-usage-tokens"]) == (200, "7")
            await scene.rests(node)
            assert await scene.proof(node) == {}
    service.close()
