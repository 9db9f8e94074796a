"""Little disk, no disk, and both stores away: what is let in, and what readiness says of it."""

from typing import Any

from tests.control.plain_http import Told
from tests.control.rig import Door, until
from tests.control.test_ops import scrape, value
from tests.control.test_transfer import premium
from tests.degraded.conftest import RECOVERY_S, Stage, frozen, ready
from tests.embedded.processes import kill_postgres

# More than any disk has: it is nearly full.
ALL = str(1 << 50)


async def spend(door: Door, key: str | None) -> Told:
    return await door.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)


async def until_ready(door: Door, wanted: int, *names: str) -> dict[str, Any]:
    """Both doors say so."""

    async def so() -> Any:
        status, found = await ready(door)
        public = await door.ask("GET", "/ready")
        right = {status, public.status} == {wanted} and set(names) <= set(found.get("degraded", ()))
        return found if right else None

    found: dict[str, Any] = await until(so)
    assert (await door.ask("GET", "/health")).status == wanted
    assert (await door.ask("GET", "/live")).status == 200
    return found


async def kinds(door: Door) -> dict[str, float]:
    samples = await scrape(door)
    return {
        kind: value(samples, "sluice_degraded_decisions_total", kind=kind)
        for name, labels in samples
        if name == "sluice_degraded_decisions_total"
        for _, kind in labels
    }


async def test_little_disk_stops_what_costs_only_while_the_ledger_is_away_too(
    stage: Stage,
) -> None:
    async with stage.open(with_worker=True, DISK_RESERVE_BYTES=ALL) as door:
        one = await premium(door)
        key = one["api_key"]
        assert (await spend(door, key)).status == 200
        found = await until_ready(door, 200, "disk_nearly_full")
        assert (found["status"], found["postgres"]) == ("degraded", "ok")
        assert "little room" in found["disk_nearly_full"]
        await kill_postgres(stage.postgres)
        await until_ready(door, 503, "disk_nearly_full", "postgres")

        async def refused() -> bool:
            told = await spend(door, key)
            return told.status == 503 and "little room" in told.json()["message"]

        await until(refused)
        # The same for what the spool would hold; not for what costs nothing.
        assert (await spend(door, None)).status == 200
        told = await spend(door, key)
        assert (told["x-usage-tokens"], told.has("retry-after")) == ("0", True)
        depth = door.node.spool.depth
        await spend(door, key)
        assert door.node.spool.depth == depth
        await stage.postgres.start()

        async def passes() -> bool:
            return (await spend(door, key)).status == 200

        await until(passes, within_s=RECOVERY_S)
        await until_ready(door, 200, "disk_nearly_full")

        async def counted() -> bool:
            return (await kinds(door)).get("disk_short", 0) >= 2

        await until(counted)


async def test_both_stores_away_is_503_for_all_and_not_ready(stage: Stage) -> None:
    async with stage.open(with_worker=True, REDIS_DEADLINE_MS="200") as door:
        one = await premium(door)
        key = one["api_key"]
        assert (await spend(door, key)).status == 200
        await kill_postgres(stage.postgres)
        with frozen(stage.redis.pid):
            await until_ready(door, 503, "postgres", "redis")

            async def nobody() -> bool:
                told = [await spend(door, key), await spend(door, None)]
                return [each.status for each in told] == [503, 503]

            await until(nobody)
            for told in (await spend(door, key), await spend(door, None)):
                assert told.status == 503
                assert told.has("retry-after")
            # Nobody can be told of a revocation: nothing is done, and it says so.
            told = await door.ask("DELETE", "/v1/keys/me", bearer=key)
            assert told.status == 503
            assert "was not revoked" in told.json()["detail"]
            assert not list((stage.folder / "house" / "revocations").glob("*.revoke"))
        await stage.postgres.start()

        async def passes() -> bool:
            return (await spend(door, key)).status == 200 == (await spend(door, None)).status

        await until(passes, within_s=RECOVERY_S)

        async def well() -> bool:
            return await ready(door) == (200, {**(await ready(door))[1], "status": "ok"})

        await until(well, within_s=RECOVERY_S)
        shown = await door.ops("GET", f"/admin/keys/{one['key_id']}")
        assert shown.json()["status"] == "active"
