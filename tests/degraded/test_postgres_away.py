"""PostgreSQL killed, frozen, full, read-only: keys in use go on, all else is 503 and clear."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from tests.control.plain_http import Told
from tests.control.rig import COST_TOKENS, Door
from tests.control.test_transfer import number, premium
from tests.crash.house import until
from tests.degraded.conftest import RECOVERY_S, Stage, frozen, ready
from tests.embedded.processes import kill_postgres

FULL = (
    """create or replace function disk_full() returns trigger language plpgsql as $$
       begin
         raise exception 'could not extend file: No space left on device' using errcode = '53100';
       end $$""",
    *(
        f"create trigger full_up before insert or update on {table} "
        "for each statement execute function disk_full()"
        for table in ("outcome", "transfer", "instance")
    ),
)
ROOM = tuple(f"drop trigger full_up on {table}" for table in ("outcome", "transfer", "instance"))


async def owner(stage: Stage, sql: str) -> None:
    """As the superuser; again where the gateway's own statements were in the way."""
    line = await asyncpg.connect(stage.postgres.dsn, ssl=False)
    try:
        for _ in range(20):
            with suppress(asyncpg.DeadlockDetectedError):
                await line.execute(sql)
                return
    finally:
        await line.close()


@asynccontextmanager
async def killed(stage: Stage) -> AsyncIterator[None]:
    await kill_postgres(stage.postgres)
    yield
    await stage.postgres.start()


@asynccontextmanager
async def standing_still(stage: Stage) -> AsyncIterator[None]:
    with frozen(stage.postgres.pid):
        yield


@asynccontextmanager
async def full(stage: Stage) -> AsyncIterator[None]:
    """Every insert of an outcome, a transfer or a beat ends as on a full disk (a trigger)."""
    for sql in FULL:
        await owner(stage, sql)
    yield
    for sql in ROOM:
        await owner(stage, sql)


@asynccontextmanager
async def read_only(stage: Stage) -> AsyncIterator[None]:
    """As after a failover, or as a provider does it before the disk is full: 25006."""
    await owner(stage, "alter system set default_transaction_read_only = on")
    await owner(stage, "select pg_reload_conf()")
    yield
    settings = {"default_transaction_read_only": "off"}
    line = await asyncpg.connect(stage.postgres.dsn, ssl=False, server_settings=settings)
    await line.execute("alter system reset default_transaction_read_only")
    await line.execute("select pg_reload_conf()")
    await line.close()


FAULTS = {"killed": killed, "frozen": standing_still, "full": full, "read-only": read_only}
# Those in which look-ups go on.
READS = ("full", "read-only")


async def spend(door: Door, key: str) -> Told:
    return await door.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)


async def test_keys_in_use_go_on_and_everything_else_is_503_until_it_is_back(
    stage: Stage,
) -> None:
    """One fault after the other on the same house, which heals from each by itself."""
    async with stage.open(with_worker=True, POSTGRES_DEADLINE_MS="1000") as door:
        one, cold = await premium(door), (await premium(door))["api_key"]
        spent = 0
        for kind in FAULTS:
            spent += await _through(stage, door, kind, one, cold, spent)
        proof = (await door.ops("GET", "/admin/reconcile")).json()
        assert proof["ok"], proof


async def _through(
    stage: Stage, door: Door, kind: str, one: dict[str, str], cold: str, before: int
) -> int:
    """How many requests of the key were let in, all of which have been charged."""
    key, reads = one["api_key"], kind in READS
    spent = 1
    assert (await spend(door, key)).status == 200
    path = f"/admin/keys/{one['key_id']}/credit"
    credit = {"tokens": 5, "bucket": "paid", "ref": kind}
    async with FAULTS[kind](stage):
        await until_told(door, "ledger_read_only" if reads else "postgres")
        for _ in range(5):
            assert (await spend(door, key)).status == 200
            spent += 1
        assert (await door.ask("GET", "/https://a.example/", host="r.localhost")).status == 200

        async def says_so() -> bool:
            """This gateway itself: another process of the machine may have met the fault first."""
            told = await door.ask("GET", "/health")
            return (told.status, told.json()["status"]) == (200, "degraded")

        await until(says_so)
        assert (await door.ask("GET", "/live")).json() == {"status": "ok"}
        await _money_is_503(door, key, cold)
        assert (await door.ops("POST", path, document=credit)).status == 503
        if not reads:
            async with stage.open(POSTGRES_DEADLINE_MS="1000") as other:
                told = await spend(other, key)
                assert told.status == 503
                assert told.has("retry-after")
                assert "nothing is known here of this key" in told.json()["message"]

    async def healed() -> bool:
        posted = await door.node.ground.shelf.usage(number(one), 1)
        status, found = await ready(door)
        return (
            sum(row.tokens for row in posted) == (before + spent) * COST_TOKENS
            and (status, found["status"]) == (200, "ok")
            and (await spend(door, cold)).status == 200
        )

    await until(healed, within_s=RECOVERY_S)
    assert (await door.ops("POST", path, document=credit)).status == 200
    return spent


async def until_told(door: Door, name: str) -> None:
    async def degraded() -> bool:
        status, found = await ready(door)
        assert status == 200, found
        return name in found.get("degraded", ())

    await until(degraded)


async def _money_is_503(door: Door, key: str, cold: str) -> None:
    body = {"to_api_key": cold}
    asked = [
        door.ask("POST", "/v1/keys"),
        door.ask("POST", "/v1/keys/me/transfer", bearer=key, document=body),
        door.ask("DELETE", "/v1/keys/me", bearer=key, document={"transfer_to_api_key": cold}),
    ]
    for told in await asyncio.gather(*asked):
        assert (told.status, told.json()["code"]) == (503, "SERVICE_DEGRADED"), told
        assert "ledger does not answer" in told.json()["detail"]
        assert int(told["retry-after"]) >= 1
