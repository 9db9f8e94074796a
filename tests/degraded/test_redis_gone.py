"""Redis gone in every way: keys go on by the ledger, each token is charged once, nothing stays."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.control.plain_http import Told
from tests.control.rig import until
from tests.control.test_transfer import number
from tests.degraded.redis_scene import Node, Scene, cost_of, mint, own_redis, taken
from tests.faults.proxy import Door as Way

Lose = Callable[[Scene, Node], Awaitable[None]]


@pytest.fixture
async def scene(tmp_path: Path, database: str, service: str) -> AsyncIterator[Scene]:
    async with own_redis() as redis:
        yield Scene(tmp_path, database, redis, service)


async def _killed(scene: Scene, _: Node) -> None:
    await scene.kill_redis()


async def _started(scene: Scene, _: Node) -> None:
    await scene.redis.start()


async def _frozen(scene: Scene, _: Node) -> None:
    os.kill(scene.redis.pid, signal.SIGSTOP)


async def _thawed(scene: Scene, _: Node) -> None:
    os.kill(scene.redis.pid, signal.SIGCONT)


async def _slow(_: Scene, node: Node) -> None:
    """Each answer takes longer than a command may."""
    node.line.delay(0.3)
    node.line.go()


async def _swallowed(_: Scene, node: Node) -> None:
    node.line.swallow()


async def _half_open(_: Scene, node: Node) -> None:
    node.line.lose_servers()
    node.line.door = Way.RESET
    node.line.reset()


async def _healed(_: Scene, node: Node) -> None:
    node.line.heal()


async def _wiped(scene: Scene, _: Node) -> None:
    assert await scene.tell_redis("FLUSHALL") == "OK"


async def _replica(scene: Scene, _: Node) -> None:
    """Another is the master now: this one takes no writes."""
    assert await scene.tell_redis("REPLICAOF", "127.0.0.1", "1") == "OK"


async def _promoted(scene: Scene, _: Node) -> None:
    assert await scene.tell_redis("REPLICAOF", "NO", "ONE") == "OK"


@pytest.mark.parametrize(
    ("lose", "find"),
    [
        (_killed, _started),
        (_frozen, _thawed),
        (_slow, _healed),
        (_swallowed, _healed),
        (_half_open, _healed),
        (_wiped, _wiped),
        (_replica, _promoted),
    ],
)
async def test_every_request_is_answered_and_charged_once(
    scene: Scene, lose: Lose, find: Lose
) -> None:
    async with scene.node() as node:
        key = await node.door.mint()
        answers = [await node.read(key["api_key"]) for _ in range(3)]
        going_on = True

        async def client() -> list[Told]:
            seen = []
            while going_on:
                seen.append(await node.read(key["api_key"]))
                await asyncio.sleep(0.01)
            return seen

        clients = [asyncio.create_task(client()) for _ in range(3)]
        await lose(scene, node)
        if lose is not _wiped:

            async def noticed() -> bool:
                return node.counted("local_money") > 10

            await until(noticed, within_s=60)
        await find(scene, node)
        await node.has_redis()
        going_on = False
        for seen in await asyncio.gather(*clients):
            answers += seen
        answers += [await node.read(key["api_key"]) for _ in range(3)]
        assert {told.status for told in answers} == {200}
        assert not answers[-1].has("x-ratelimit-scope")
        await scene.rests(node)
        assert await taken(node, key) == cost_of(answers)
        assert await scene.proof(node) == {}


async def test_two_processes_of_two_nodes_give_out_one_limit_between_them(scene: Scene) -> None:
    async with scene.node("one") as one, scene.node("two") as two:
        key = await one.door.mint()
        await one.limits(key["key_id"], rpm=6)
        assert (await two.read(key["api_key"])).status == 200
        await _frozen(scene, one)
        for node in (one, two):
            await _has_parts(node, key["api_key"], 3)
            answers = [await node.read(key["api_key"]) for _ in range(5)]
            assert [told.status for told in answers] == [200] * 3 + [503] * 2
            assert answers[0]["x-ratelimit-limit-requests"] == "3"
            refused = answers[3]
            assert (refused["x-ratelimit-scope"], refused["x-usage-tokens"]) == ("local", "0")
            assert 1 <= int(refused["retry-after"]) <= 10
            assert refused.json()["reason"] == "SERVICE_DEGRADED"
            assert (node.counted("local_money"), node.counted("local_capped")) == (3, 2)
            nobody = [await node.read(address="127.0.7.7") for _ in range(11)]
            assert [told.status for told in nobody] == [200] * 10 + [503]
            assert node.counted("local_limits") == 10
        await _thawed(scene, one)
        for node in (one, two):
            await node.has_redis()
        await scene.rests(one, two)
        assert await taken(one, key) == 7 * 7
        assert await scene.proof(one) == {}


async def _has_parts(node: Node, key: str, limit: int) -> None:
    """Until the process knows of the other one, asked by what takes nothing."""

    async def knows() -> bool:
        told = await node.read(key, headers={"Prefer": "dry-run"})
        return bool(told.json()["limits"]["requests"]["limit"] == limit)

    await until(knows, within_s=60)


async def test_what_only_asks_for_a_price_takes_nothing_and_says_that_it_is_local(
    scene: Scene,
) -> None:
    async with scene.node() as node:
        key = await node.door.mint()
        await node.limits(key["key_id"], rpm=2)
        await node.read(key["api_key"])
        await _frozen(scene, node)
        for _ in range(5):
            quote = (await node.read(key["api_key"], headers={"Prefer": "dry-run"})).json()
            assert (quote["admitted"], quote["degraded"]) == (True, "local")
            assert quote["balance"]["free_tokens"] == 10_000_000 - 7
        assert [(await node.read(key["api_key"])).status for _ in range(3)] == [200, 200, 429]
        quote = (await node.read(key["api_key"], headers={"Prefer": "dry-run"})).json()
        assert quote["refusal"]["code"] == "RATE_REQUEST_LIMIT_EXCEEDED"
        await _thawed(scene, node)
        await node.has_redis()
        assert (
            "degraded"
            not in (await node.read(key["api_key"], headers={"Prefer": "dry-run"})).json()
        )


async def test_a_budget_is_held_out_of_this_process_part_of_the_balance(scene: Scene) -> None:
    async with scene.node(WORKERS="2") as node:
        key = await mint(node, 607)
        assert (await node.read(key["api_key"], headers={"x-token-budget": "9"})).status == 200
        await _frozen(scene, node)
        statuses = {}
        for cap in (250, 350, 700):
            told = await node.read(key["api_key"], headers={"x-token-budget": str(cap)})
            statuses[cap] = told.status
        assert statuses == {250: 200, 350: 503, 700: 402}
        await _thawed(scene, node)
        await node.has_redis()
        # What the frozen one still does when it thaws is held until it is settled.
        await scene.rests(node)
        told = await node.read(key["api_key"], headers={"x-token-budget": "350"})
        assert told.status == 200


async def test_a_named_request_is_done_once_over_the_fault_and_a_refusal_frees_its_name(
    scene: Scene,
) -> None:
    async with scene.node(WORKERS="2") as node:
        key = await node.door.mint()
        await node.limits(key["key_id"], rpm=2)
        await node.read(key["api_key"])
        await _frozen(scene, node)

        def named(name: str) -> Awaitable[Told]:
            return node.read(key["api_key"], headers={"Idempotency-Key": name})

        first, again, capped = await named("a"), await named("a"), await named("b")
        assert (first.status, again.status, capped.status) == (200, 200, 503)
        assert again["idempotent-replayed"] == "true"
        await _thawed(scene, node)
        await node.has_redis()
        assert (await named("a"))["idempotent-replayed"] == "true"
        await node.limits(key["key_id"], rpm=50)

        async def raised() -> bool:
            quote = await node.read(key["api_key"], headers={"Prefer": "dry-run"})
            return bool(quote.json()["admitted"])

        await until(raised)
        later = await named("b")
        assert (later.status, later.has("idempotent-replayed")) == (200, False)
        await scene.rests(node)
        assert await taken(node, key) == 3 * 7


async def test_money_is_not_moved_and_a_key_ends_at_once(scene: Scene) -> None:
    async with scene.node() as node:
        key, other = await node.door.mint(), await node.door.mint()
        await _frozen(scene, node)
        end = "/v1/keys/me"
        told = await node.door.ask(
            "DELETE", end, bearer=key["api_key"], document={"transfer_to_api_key": other["api_key"]}
        )
        assert told.status in (409, 422, 503), told
        assert (await node.read(key["api_key"])).status == 200
        assert (await node.door.ask("DELETE", end, bearer=key["api_key"])).status == 202
        assert (await node.read(key["api_key"])).status == 401
        suspended = f"/admin/keys/{other['key_id']}/status"
        told = await node.door.ops("PUT", suspended, document={"status": "suspended"})
        assert told.status == 202, told
        assert (await node.read(other["api_key"])).status == 402
        await _thawed(scene, node)
        await _refused_until_trusted(node, {key["api_key"]: 401, other["api_key"]: 402})


async def _refused_until_trusted(node: Node, keys: dict[str, int]) -> None:
    """At no moment of its return does an old copy let a key in."""

    async def trusts() -> bool:
        was_trusted = node.trusts
        for key, status in keys.items():
            assert (await node.read(key)).status == status
        return was_trusted

    await until(trusts, within_s=60)


async def test_an_old_memory_lets_nobody_in_who_was_revoked_meanwhile(scene: Scene) -> None:
    """Redis begins with a snapshot, in which the key is active."""
    async with scene.node() as node:
        key = await node.door.mint()
        assert (await node.read(key["api_key"])).status == 200
        assert await scene.tell_redis("SET", "mark", "1") == "OK"
        assert await scene.tell_redis("SAVE") == "OK"
        await scene.kill_redis()
        assert (await node.door.ask("DELETE", "/v1/keys/me", bearer=key["api_key"])).status == 202
        await scene.redis.start()
        await _refused_until_trusted(node, {key["api_key"]: 401})
        assert await scene.tell_redis("GET", "mark") == "1", "it was no old memory"


async def test_a_node_that_was_cut_off_and_one_that_was_not_refuse_a_revoked_key(
    scene: Scene,
) -> None:
    """The same Redis process with a copy of before: the revoker could not tell it."""
    async with scene.node("one") as cut, scene.node("two") as whole:
        key = (await cut.door.mint())["api_key"]
        assert (await cut.read(key)).status == (await whole.read(key)).status == 200
        cut.line.swallow()
        whole.line.swallow()
        assert (await cut.door.ask("DELETE", "/v1/keys/me", bearer=key)).status == 202
        for node in (cut, whole):
            assert (await node.read(key)).status == 401
        whole.line.heal()
        await _refused_until_trusted(whole, {key: 401})
        assert (await cut.read(key)).status == 401
        cut.line.heal()
        await _refused_until_trusted(cut, {key: 401})


async def test_a_request_whose_admission_was_lost_is_held_once_and_released(scene: Scene) -> None:
    """Redis admitted it, its answer did not come, and the process let it in by itself."""
    async with scene.node() as node:
        key = await node.door.mint()
        assert (await node.read(key["api_key"])).status == 200
        node.line.down.swallowed = True
        lost = await node.read(key["api_key"])
        assert (lost.status, lost["x-ratelimit-scope"]) == (200, "local")
        subject = f"k:{number(key)}"

        async def both_counted() -> bool:
            names = await scene.tell_redis("KEYS", f"*r:reader:{subject}")
            return bool(await scene.tell_redis("HGET", names[0], "s") == "2")

        await until(both_counted)
        node.line.heal()
        await node.has_redis()
        await scene.rests(node)
        assert await taken(node, key) == 2 * 7
        assert await scene.proof(node) == {}


async def test_clients_that_leave_at_any_moment_leave_nothing_behind(scene: Scene) -> None:
    async with scene.node() as node:
        key = await node.door.mint()
        assert (await node.read(key["api_key"])).status == 200

        async def leave(after_s: float) -> None:
            reading = asyncio.create_task(node.read(key["api_key"]))
            await asyncio.wait([reading], timeout=after_s)
            reading.cancel()
            await asyncio.wait([reading])

        await _frozen(scene, node)
        await asyncio.gather(*(leave(n / 100) for n in range(40)))
        await _thawed(scene, node)
        await asyncio.gather(*(leave(n / 200) for n in range(40)))
        await node.has_redis()
        assert (await node.read(key["api_key"])).status == 200
        await scene.rests(node)
        assert await scene.proof(node) == {}
