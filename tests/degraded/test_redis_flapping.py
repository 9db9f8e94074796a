"""Redis comes and goes in random ways, for each of two nodes by itself: the journal is right."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.control.plain_http import Told
from tests.control.test_transfer import number
from tests.degraded.redis_scene import Node, Scene, cost_of, own_redis, taken

Fault = Callable[[Scene, Node, random.Random], Awaitable[None]]
STEPS = 4


async def _swallow(_: Scene, node: Node, __: random.Random) -> None:
    node.line.swallow()


async def _lose_answers(_: Scene, node: Node, __: random.Random) -> None:
    node.line.down.swallowed = True


async def _reset(_: Scene, node: Node, __: random.Random) -> None:
    node.line.reset()


async def _delay(_: Scene, node: Node, chance: random.Random) -> None:
    node.line.delay(chance.uniform(0.05, 0.3))
    node.line.go()


async def _wipe(scene: Scene, _: Node, __: random.Random) -> None:
    await scene.tell_redis("FLUSHALL")


async def _freeze(scene: Scene, _: Node, chance: random.Random) -> None:
    os.kill(scene.redis.pid, signal.SIGSTOP)
    await asyncio.sleep(chance.uniform(0, 0.4))
    os.kill(scene.redis.pid, signal.SIGCONT)


async def _restart(scene: Scene, _: Node, chance: random.Random) -> None:
    await scene.kill_redis()
    await asyncio.sleep(chance.uniform(0, 0.3))
    await scene.redis.start()


FAULTS: Sequence[Fault] = (_swallow, _lose_answers, _reset, _delay, _wipe, _freeze, _restart)


@pytest.mark.parametrize("seed", [1])
async def test_whatever_comes_every_token_is_charged_once_and_nothing_stays(
    tmp_path: Path, database: str, service: str, seed: int
) -> None:
    chance = random.Random(seed)
    async with own_redis() as redis:
        scene = Scene(tmp_path, database, redis, service)
        async with scene.node("one") as one, scene.node("two") as two:
            nodes, keys = (one, two), [await one.door.mint() for _ in range(2)]
            journal: dict[str, list[Told]] = {key["api_key"]: [] for key in keys}
            over = asyncio.Event()

            async def client() -> None:
                while not over.is_set():
                    key = chance.choice(keys)["api_key"]
                    journal[key].append(await chance.choice(nodes).read(key))
                    await asyncio.sleep(0.02)

            clients = [asyncio.create_task(client()) for _ in range(4)]
            for _ in range(STEPS):
                await chance.choice(FAULTS)(scene, chance.choice(nodes), chance)
                await asyncio.sleep(chance.uniform(0, 0.4))
                for node in nodes:
                    node.line.heal()
                await asyncio.sleep(chance.uniform(0, 0.3))
            for node in nodes:
                await node.has_redis()
            over.set()
            await asyncio.gather(*clients)
            for key in keys:
                assert {told.status for told in journal[key["api_key"]]} <= {200, 503}
            await scene.rests(*nodes)
            for key in keys:
                assert await taken(one, key) == cost_of(journal[key["api_key"]])
            assert await scene.proof(one) == {}
            for node in nodes:
                meter, local = node.door.node.meter, node.door.node.ground.gate.local
                assert not local.is_counting
                assert [meter.own(f"k:{number(key)}", "reader").tokens for key in keys] == [0, 0]
