"""Redis or PostgreSQL down, frozen and back: what goes on, what is refused, and that it heals."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.embedded.redis_server import RedisServer
from tests.edge.client import Reply
from tests.edge.door import READER, TRIAL, Door, Key, running, until
from tests.edge.faults import frozen_redis
from tests.edge.paying import BODY, Cost, embed, paid
from tests.edge.stub import Stub
from tests.edge.wires import Line, line


@dataclass
class Wired:
    """A gateway of its own, and its lines to the servers."""

    door: Door
    redis: Line
    postgres: Line

    async def read(self, header: tuple[str, str]) -> Reply:
        """One request without a key."""
        ask = self.door.ask
        return await ask("GET", "/https://a.example/", host=READER, headers=[header])

    def degraded(self, kind: str) -> float:
        """Decisions without a dependency that were counted."""
        return self.door.node.ground.telemetry.degraded.labels(kind).value


@pytest.fixture
async def wired(environ: dict[str, str]) -> AsyncIterator[Wired]:
    """Four gateways' share of limits; a line that is cut is not waited for."""
    with tempfile.TemporaryDirectory(prefix="sluice-wire-") as folder:
        redis = Path(urlsplit(environ["SLUICE_REDIS_URL"]).path)
        parts = urlsplit(environ["SLUICE_DATABASE_URL"])
        socket = f".s.PGSQL.{parse_qs(parts.query)['port'][0]}"
        there = Path(parse_qs(parts.query)["host"][0])
        own = {
            "SLUICE_REDIS_URL": f"unix://{folder}/redis.sock",
            "SLUICE_DATABASE_URL": environ["SLUICE_DATABASE_URL"].replace(str(there), folder),
            "SLUICE_POSTGRES_DEADLINE_MS": "10000",
            "SLUICE_WORKERS": "4",
        }
        async with (
            line(Path(folder) / "redis.sock", redis) as to_redis,
            line(Path(folder) / socket, there / socket) as to_postgres,
        ):
            door = Door({**environ, **own})
            await asyncio.to_thread(door.start)
            try:
                yield Wired(door, to_redis, to_postgres)
            finally:
                await asyncio.to_thread(door.stop)


def is_degraded(reply: Reply) -> None:
    assert (reply.status, reply["retry-after"], reply["x-usage-tokens"]) == (503, "1", "0")
    assert reply.json()["code"] == "SERVICE_DEGRADED"


async def works_again(door: Door, key: Key) -> None:
    """By Redis, and not by the process alone."""

    async def answers() -> bool:
        reply = await embed(door, key)
        return reply.status == 200 and reply.get("x-ratelimit-scope") is None

    await until(answers)


async def test_without_redis_a_key_goes_on_by_its_part_and_is_charged_once(
    wired: Wired, embeddings: Stub
) -> None:
    key = await wired.door.key()
    await wired.redis.cut()
    for _ in range(3):
        reply = await embed(wired.door, key)
        # A quarter of the limit, as there are four processes, and it says whose numbers these are.
        assert (reply.status, reply["x-ratelimit-limit-requests"]) == (200, "125")
        assert reply["x-ratelimit-scope"] == "local"
    assert wired.degraded("local_money") == 3
    await wired.redis.mend()

    await works_again(wired.door, key)
    await wired.door.at_rest(key.subject)
    cost = 7 * len(embeddings.turns)

    async def all_are_charged() -> bool:
        return sum(row.cost_tokens for row in await wired.door.rows(key)) == cost

    await until(all_are_charged)
    assert await wired.door.balance(key) == TRIAL - cost


async def test_without_redis_addresses_get_this_process_share_and_that_is_counted(
    wired: Wired, reader: Stub
) -> None:
    header = wired.door.address()
    await wired.redis.cut()
    replies = [await wired.read(header) for _ in range(7)]
    assert [reply.status for reply in replies] == [200] * 5 + [503] * 2
    assert replies[0]["x-ratelimit-limit-requests"] == "5"
    assert (wired.degraded("local_limits"), wired.degraded("local_capped")) == (5, 2)
    await wired.redis.mend()

    async def all_of_it() -> bool:
        reply = await wired.read(wired.door.address())
        return reply.get("x-ratelimit-limit-requests") == "20"

    await until(all_of_it)


async def test_a_frozen_redis_is_given_up_in_time_and_leaves_no_hold(
    wired: Wired, embeddings: Stub, reader: Stub, redis_server: RedisServer
) -> None:
    key, loop = await wired.door.key(), asyncio.get_running_loop()
    assert (await embed(wired.door, key)).status == 200
    with frozen_redis(redis_server):
        began_s = loop.time()
        assert (await embed(wired.door, key)).status == 200
        assert loop.time() - began_s < 20
        reply = await wired.read(wired.door.address())
        assert reply.status == 200
    await works_again(wired.door, key)
    await wired.door.at_rest(key.subject)

    cost = 7 * len(embeddings.turns)

    async def all_are_charged() -> bool:
        return sum(row.cost_tokens for row in await wired.door.rows(key)) == cost

    await until(all_are_charged)
    assert await wired.door.balance(key) == TRIAL - cost


async def test_without_postgresql_warm_keys_go_on_and_their_outcomes_wait(
    wired: Wired, embeddings: Stub
) -> None:
    door = wired.door
    key, cold = await door.key(), await door.key()
    assert (await embed(door, key)).status == 200
    await door.at_rest(key.subject)
    await wired.postgres.cut()
    for _ in range(20):
        assert (await embed(door, key)).status == 200
    assert door.node.spool.depth == 20
    is_degraded(await embed(door, cold))
    assert wired.degraded("unknown_key") == 1
    assert len(embeddings.turns) == 21
    found = await door.ask("GET", "/v1/keys/me", key=key)
    assert found.status == 503
    await wired.postgres.mend()

    async def shipped() -> bool:
        return door.node.spool.depth == 0

    await until(shipped)
    await door.at_rest(key.subject)
    assert await door.balance(key) == TRIAL - 21 * 7
    assert (await embed(door, cold)).status == 200


async def test_what_is_spent_while_postgresql_is_down_cannot_be_spent_again(
    wired: Wired, embeddings: Stub
) -> None:
    """The cost stays held until the ledger has it."""
    door, key = wired.door, await wired.door.key(trial=len(BODY) + 7)
    await wired.postgres.cut()
    assert (await embed(door, key)).status == 503, "nobody has asked with this key before"
    await wired.postgres.mend()

    async def warm() -> bool:
        return (await embed(door, key)).status == 200

    await until(warm)
    await door.at_rest(key.subject)
    await wired.postgres.cut()
    assert (await embed(door, key)).status == 200
    assert (await embed(door, key)).status == 402
    await wired.postgres.mend()
    await door.at_rest(key.subject)
    assert await door.balance(key) == len(BODY) - 7


async def test_without_both_a_key_is_refused_and_comes_back_with_them(
    wired: Wired, embeddings: Stub
) -> None:
    key = await wired.door.key()
    await wired.redis.cut()
    await wired.postgres.cut()
    is_degraded(await embed(wired.door, key))
    await wired.postgres.mend()
    await wired.redis.mend()
    await works_again(wired.door, key)
    await wired.door.at_rest(key.subject)
    assert await wired.door.balance(key) == TRIAL - 7


async def test_a_redis_that_forgets_everything_costs_nobody_anything(
    door: Door, key: Key, embeddings: Stub
) -> None:
    reply = await embed(door, key)
    await paid(door, key, reply.request_id, Cost("complete", 7, 7, 7))

    async def forget() -> None:
        for node in door.node.ground.link.masters:
            await door.node.ground.link.call_at(node, "FLUSHALL")

    await door.run(forget())
    assert (await embed(door, key)).status == 200
    await door.at_rest(key.subject)
    assert await door.balance(key) == TRIAL - 14


def test_two_gateways_of_one_test_do_not_share_a_port(environ: dict[str, str]) -> None:
    with running(environ) as one, running(environ) as another:
        assert one.port != another.port
        assert one.node.meter.instance != another.node.meter.instance
