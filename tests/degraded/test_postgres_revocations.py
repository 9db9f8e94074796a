"""A key that is revoked while PostgreSQL is away: out at once, in the ledger when it is back."""

from pathlib import Path

from tests.control.plain_http import Told
from tests.control.rig import Door, until
from tests.control.test_transfer import number, premium
from tests.crash.house import until as house_until
from tests.degraded.conftest import Stage, frozen
from tests.embedded.processes import kill_postgres


async def spend(door: Door, key: str) -> Told:
    return await door.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)


async def revoke(door: Door, key: str, **body: object) -> Told:
    return await door.ask("DELETE", "/v1/keys/me", bearer=key, document=body)


async def until_away(door: Door) -> None:
    """Until the breaker knows."""

    async def away() -> bool:
        return "postgres" in door.node.ground.conditions.now()

    await until(away)


async def until_empty(folder: Path) -> None:
    async def empty() -> bool:
        return not list(folder.glob("*.revoke")) and not list(folder.glob("*.lift"))

    await until(empty, within_s=60)


async def test_is_out_on_every_node_at_once_and_in_the_ledger_later(stage: Stage) -> None:
    async with stage.open() as here, stage.open(node="there") as there:
        one, other = await premium(here), await premium(here)
        key, journal = one["api_key"], stage.folder / "house" / "revocations"
        for door in (here, there):
            assert (await spend(door, key)).status == 200
        await kill_postgres(stage.postgres)
        await until_away(here)
        # With a receiver nothing is done, and a key that is not known here cannot be told.
        told = await revoke(here, key, transfer_to_api_key=other["api_key"])
        assert (told.status, told.json()["code"]) == (503, "SERVICE_DEGRADED")
        assert (await spend(here, key)).status == 200
        assert (await revoke(there, other["api_key"])).status == 503
        told = await revoke(here, key)
        assert (told.status, told.json()["status"]) == (202, "revoked")
        assert "refused from now on" in told.json()["note"]
        for door in (here, there):
            assert (await spend(door, key)).status == 401
        assert (await revoke(here, key)).status == 401
        assert [path.name for path in journal.glob("*.revoke")] == [f"{number(one)}.revoke"]
        # Whoever copies a newer balance, or finds Redis empty, brings nothing back.
        gate = here.node.ground.gate
        assert await here.node.ground.link.call(None, "FLUSHALL") == b"OK"

        async def told_again() -> bool:
            return (await gate.peek(f"k:{number(one)}", ())).status == "revoked"

        await until(told_again)
        assert (await spend(there, key)).status == 401
        await stage.postgres.start()
        await until_empty(journal)
        shown = await here.ops("GET", f"/admin/keys/{one['key_id']}")
        assert (shown.json()["status"], shown.json()["balance"]["total"]) == ("revoked", 0)
        for door in (here, there):
            assert (await spend(door, key)).status == 401
        proof = (await here.ops("GET", "/admin/reconcile")).json()
        assert proof["ok"], proof
        assert (await spend(here, other["api_key"])).status == 200
        document = await here.ops("GET", "/metrics", token=None)
        assert 'kind="revocation_journaled"} 1' in document.text


async def test_a_newer_balance_does_not_bring_the_key_back_and_a_lift_does(stage: Stage) -> None:
    async with stage.open() as door:
        one = await premium(door)
        key, key_id, ground = one["api_key"], number(one), door.node.ground
        assert (await spend(door, key)).status == 200
        tombs = ground.revocations._tombs
        for known in (True, False):
            if not known:
                await ground.link.call(None, "FLUSHALL")
            assert await tombs.bury(key_id, "n1") == ("active" if known else "")
            credit = {"tokens": 50, "bucket": "paid", "ref": f"late-{known}"}
            path = f"/admin/keys/{one['key_id']}/credit"
            assert (await door.ops("POST", path, document=credit)).status == 200
            assert (await spend(door, key)).status == 401
            # Nor can it give anything away, though the ledger still calls it active.
            for method, where in (("POST", "/v1/keys/me/transfer"), ("DELETE", "/v1/keys/me")):
                assert (await door.ask(method, where, bearer=key, document={})).status == 401
            assert not await tombs.lift(key_id, "of-another")
            assert (await spend(door, key)).status == 401
            assert await tombs.lift(key_id, "n1")
            assert (await spend(door, key)).status == 200
        proof = (await door.ops("GET", "/admin/reconcile")).json()
        assert proof["ok"], proof


async def test_the_worker_of_the_machine_does_what_a_gateway_that_died_had_promised(
    stage: Stage,
) -> None:
    async with stage.open() as door:
        one = await premium(door)
        assert (await spend(door, one["api_key"])).status == 200
        await kill_postgres(stage.postgres)
        await until_away(door)
        assert (await revoke(door, one["api_key"])).status == 202
    await stage.postgres.start()
    async with stage.worker() as base:
        await until_empty(stage.folder / "house" / "revocations")
        row = await base.book.load_balance(number(one))
        assert row is not None
        assert (row.status, row.paid) == ("revoked", 0)


async def test_while_only_redis_is_away_it_holds_on_every_node_that_reads_the_ledger(
    stage: Stage,
) -> None:
    async with (
        stage.open(REDIS_DEADLINE_MS="200") as here,
        stage.open(node="there", REDIS_DEADLINE_MS="200") as there,
    ):
        one = await premium(here)
        key = one["api_key"]
        for door in (here, there):
            assert (await spend(door, key)).status == 200
        with frozen(stage.redis.pid):
            told = await revoke(here, key)
            assert (told.status, told.json()["status"]) == (202, "revoked")
            for _ in range(5):
                for door in (here, there):
                    assert (await spend(door, key)).status in (401, 503)

            async def refused() -> bool:
                return [(await spend(door, key)).status for door in (here, there)] == [401, 401]

            await until(refused)
        async with stage.worker():

            async def copied() -> bool:
                gate = here.node.ground.gate
                return (await gate.peek(f"k:{number(one)}", ())).status == "revoked"

            await house_until(copied)
        for door in (here, there):
            assert (await spend(door, key)).status == 401
