"""A revoked key stays out when Redis forgets, and when it comes back with what it knew before."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.embedded.redis_server import RedisServer
from gateway.errors import RedisUnavailable
from gateway.redis_link import RedisLink
from tests.control.conftest import Open
from tests.control.plain_http import Told
from tests.control.rig import Door, until
from tests.control.test_transfer import number, premium

FOREIGN = 20


@pytest.fixture
async def own_redis() -> AsyncIterator[RedisServer]:
    """A Redis of this test alone, which may die."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-own-"))
    server = RedisServer(folder)
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(folder)


async def killed_and_back(server: RedisServer) -> None:
    server.kill()
    await server.wait_dead()
    await server.stop()
    await server.start()


async def ask_until_up(door: Door, key: str, back: asyncio.Event) -> list[Told]:
    """Everything that was answered, up to 30 answers after Redis was there again."""
    told: list[Told] = []
    up = 0
    async with asyncio.timeout(120):
        while up < 30:
            told.append(
                await door.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
            )
            up += back.is_set() and told[-1].status != 503
            await asyncio.sleep(0)
    return told


async def copy_status(server: RedisServer, door: Door, key_id: int) -> str:
    standing = await door.node.ground.gate.peek(f"k:{key_id}", [])
    return standing.status


async def test_an_old_snapshot_lets_no_revoked_key_in(
    open_door: Open, own_redis: RedisServer
) -> None:
    url = own_redis.url
    async with open_door(REDIS_URL=url) as here, open_door(REDIS_URL=url) as there:
        one, other = await premium(here), await premium(here)
        for minted in (one, other):
            for door in (here, there):
                await door.spend(minted["api_key"])
            await here.me(minted["api_key"])
        # The snapshot has both keys as active ones, with what they had.
        assert await here.node.ground.link.call(None, "SAVE") == b"OK"
        assert await copy_status(own_redis, here, number(one)) == "active"
        told = await here.ask("DELETE", "/v1/keys/me", bearer=one["api_key"])
        assert told.status == 200
        body = {"to_api_key": (await premium(here))["api_key"]}
        moved = await here.ask(
            "POST", "/v1/keys/me/transfer", bearer=other["api_key"], document=body
        )
        assert moved.status == 200
        back = asyncio.Event()
        asking = [
            asyncio.create_task(ask_until_up(door, one["api_key"], back))
            for door in (here, there)
            for _ in range(4)
        ]
        await killed_and_back(own_redis)
        back.set()
        answered = [each.status for task in asking for each in await task]
        assert set(answered) <= {401, 503}
        assert answered.count(401) >= 8 * 30
        # What came back with the snapshot is read by nobody: also not the older balance.
        assert (await here.me(other["api_key"]))["balance"]["paid"] == 0
        standing = await here.node.ground.gate.peek(f"k:{number(other)}", [])
        assert standing.paid == 0


async def test_without_a_gateway_process_that_knew_it_the_snapshot_is_not_read_either(
    open_door: Open, own_redis: RedisServer
) -> None:
    async with open_door(REDIS_URL=own_redis.url) as door:
        one = await premium(door)
        await door.spend(one["api_key"])
        assert await door.node.ground.link.call(None, "SAVE") == b"OK"
    async with open_door(REDIS_URL=own_redis.url) as door:
        assert (await door.ask("DELETE", "/v1/keys/me", bearer=one["api_key"])).status == 200
    await killed_and_back(own_redis)
    async with open_door(REDIS_URL=own_redis.url) as door:
        assert (await door.spend(one["api_key"], expected=401)).status == 401


async def test_the_worker_tells_revocations_again_after_redis_came_back(
    open_door: Open, own_redis: RedisServer
) -> None:
    """Who had read a balance before its key was revoked writes it down after Redis forgot."""
    async with open_door(REDIS_URL=own_redis.url, with_worker=True) as door:
        one = await premium(door)
        ground, key_id = door.node.ground, number(one)
        before = await ground.book.load_balance(key_id)
        assert before is not None
        assert (await door.ask("DELETE", "/v1/keys/me", bearer=one["api_key"])).status == 200
        await killed_and_back(own_redis)

        async def late() -> bool:
            try:
                await ground.gate.put_balance(before)
            except RedisUnavailable:
                return False
            return True

        await until(late)

        async def revoked() -> bool:
            return await copy_status(own_redis, door, key_id) == "revoked"

        await until(revoked)


async def test_a_second_connection_to_the_same_process_deletes_nothing(
    own_redis: RedisServer,
) -> None:
    async def copies(link: RedisLink) -> object:
        return await link.call(None, "DBSIZE")

    first = RedisLink(own_redis.url)
    first.forget_with_process("gone:*")
    await first.open()
    for place in range(FOREIGN):
        await first.call(None, "SET", f"gone:{place}", "x")
        await first.call(None, "SET", f"kept:{place}", "x")
    second = RedisLink(own_redis.url)
    second.forget_with_process("gone:*")
    await second.open()
    assert await copies(second) == 2 * FOREIGN
    await first.call(None, "SAVE")
    await killed_and_back(own_redis)

    async def back() -> bool:
        try:
            kept = await second.call(None, "EXISTS", "kept:3", "gone:3")
            return (await copies(first), kept) == (FOREIGN, 1)
        except RedisUnavailable:
            return False

    await until(back)
    await first.close()
    await second.close()
