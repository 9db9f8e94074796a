"""GET /admin/reconcile: finds what is wrong, shows it in the metrics, and starves nobody."""

import asyncio

import asyncpg

from gateway.embedded.redis_server import RedisServer
from tests.control.conftest import Open
from tests.control.rig import Door
from tests.control.test_ops import scrape, value
from tests.control.test_outages import frozen


async def test_reconcile_proves_and_shows_in_the_metrics(door: Door) -> None:
    keys = [(await door.mint())["api_key"] for _ in range(3)]
    for key in keys:
        await door.spend(key)
        await door.me(key)
    told = (await door.ops("GET", "/admin/reconcile")).json()
    assert told["ok"] is True
    names = {check["name"] for check in told["checks"]}
    assert {"debits_are_credits", "head_of_chain_is_projection", "redis_copies_are_equal"} <= names
    assert {check["differences"] for check in told["checks"]} == {0}
    found = door.node.pipeline._parts.identifier._keys.known(keys[0])
    names_of_copies = await door.node.ground.link.call(None, "KEYS", f"*b:k:{found}")
    assert isinstance(names_of_copies, list)
    await door.node.ground.link.call(None, "HINCRBY", names_of_copies[0], "trial", 1)
    told = (await door.ops("GET", "/admin/reconcile")).json()
    assert told["ok"] is False
    wrong = [check for check in told["checks"] if check["differences"]]
    assert [(c["name"], c["differences"]) for c in wrong] == [("redis_copies_are_equal", 1)]
    samples = await scrape(door)
    differences = "sluice_reconcile_differences"
    scope = "everything"
    assert value(samples, differences, check="redis_copies_are_equal", scope=scope) == 1
    assert (differences, (("check", "debits_are_credits"), ("scope", scope))) in samples
    assert value(samples, "sluice_reconcile_timestamp_seconds", scope=scope) > 1_700_000_000
    assert value(samples, "sluice_reconcile_unfinished", scope=scope) == 0


async def test_a_slow_proof_starves_nobody(door: Door, database: str) -> None:
    minted = await door.mint()
    line = await asyncpg.connect(database, ssl=False)
    try:
        transaction = line.transaction()
        await transaction.start()
        # What only the proof and money moves need.
        await line.execute("lock table transfer in access exclusive mode")
        proofs = [asyncio.create_task(door.ops("GET", "/admin/reconcile")) for _ in range(6)]
        await asyncio.sleep(0.3)
        path = f"/admin/keys/{minted['key_id']}"
        for status in ("suspended", "active") * 3:
            told = await door.ops("PUT", f"{path}/status", document={"status": status})
            assert told.status == 200
            assert (await door.ops("GET", path)).json()["status"] == status
        assert (await door.ops("GET", "/ready", token=None)).status == 200
        # Who had waited for a proof would wait still.
        assert not any(proof.done() for proof in proofs)
        await transaction.rollback()
        for proof in await asyncio.gather(*proofs):
            assert proof.json()["ok"] is True
    finally:
        await line.close()


async def test_a_proof_without_redis_says_that_it_is_not_whole(
    open_door: Open, redis_server: RedisServer
) -> None:
    async with open_door(REDIS_DEADLINE_MS="150") as door:
        await door.mint()
        with frozen(redis_server.pid):
            told = await door.ops("GET", "/admin/reconcile")
        assert told.status == 200
        document = told.json()
        assert document["ok"] is False
        assert "could not be read" in document["note"]
        assert len(document["checks"]) >= 12
        assert {check["differences"] for check in document["checks"]} == {0}
