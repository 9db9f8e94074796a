"""SIGTERM under load: what is admitted is answered, charged and told; nothing is left behind."""

import asyncio

import pytest

from tests.crash.client import BROKEN, Client, Seen
from tests.crash.house import GRANT, House, Key
from tests.crash.stub import Stub

CLIENTS = 16


async def _load(house: House, key: Key, ended: asyncio.Event) -> list[Seen]:
    """One request after another until nobody answers any more."""
    seen = []
    async with Client(house.port) as client:
        while not ended.is_set():
            seen.append(await client.ask(key.text, tokens=3))
            if seen[-1].status == BROKEN:
                break
    return seen


@pytest.mark.parametrize("slow", [False, True])
async def test_under_load_it_drains_answers_what_it_admitted_and_says_goodbye(
    house: House, stub: Stub, slow: bool
) -> None:
    """Slow: a request that is with its service when the signal comes is waited for."""
    gateway = await house.gateway()
    key = await house.mint()
    await house.book.set_limits(
        key.key_id, {"embeddings": {"rpm": 10**6, "tpm": 10**9, "concurrency": 1_000}}
    )
    ended = asyncio.Event()
    loads = [asyncio.create_task(_load(house, key, ended)) for _ in range(CLIENTS)]
    async with Client(house.port) as waits:
        await waits.send(key.text, {"tokens": 7, "wait": slow})
        waiting = await stub.arrivals.get() if slow else None
        await asyncio.sleep(0.7)
        gateway.terminate()
        await asyncio.sleep(0.3)
        if waiting is not None:
            assert gateway.poll() is None
            waiting.answer.set()
        last = await waits.receive()
    assert await asyncio.to_thread(gateway.wait, 60) == 0, house.logs()
    ended.set()
    seen = [last] + [each for load in await asyncio.gather(*loads) for each in load]
    # One that no byte answers came after the end: its client asks another process.
    answered = [each for each in seen if each.began]
    assert {each.status for each in answered} == {200}
    assert sum(not each.began for each in seen) <= CLIENTS
    posted = await house.posted()
    charged = {each.request_id for each in posted if each.kind == "charge" and not each.back}
    assert charged == {each.request_id for each in answered}
    assert await house.trial(key) == GRANT - sum(each.tokens or 0 for each in answered)
    assert house.spools == []
    assert await house.leftovers() == []
    sql = "select stopped and drained as gone from instance"
    assert [row["gone"] for row in await house.postgres.rows(sql)] == [True]
    assert await house.proof() == {}


async def test_a_service_that_does_not_end_is_not_waited_for_longer_than_the_drain(
    house: House, stub: Stub
) -> None:
    """Its request is void, and nothing of it is left."""
    house.settings["SLUICE_DRAIN_MS"] = "300"
    gateway = await house.gateway()
    key = await house.mint()
    async with Client(house.port) as client:
        await client.send(key.text, {"tokens": 7, "wait": True})
        await stub.arrivals.get()
        gateway.terminate()
        assert (await client.receive()).status == BROKEN
    assert await asyncio.to_thread(gateway.wait, 20) == 0, house.logs()
    assert [(each.kind, each.cost_tokens) for each in await house.posted()] == [("void", 0)]
    assert house.spools == []
    assert await house.leftovers() == []
    assert await house.trial(key) == GRANT
    assert await house.proof() == {}
