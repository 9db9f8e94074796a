"""Both stores gone: as soon as any query of a process has met it, its addresses are told."""

from tests.control.plain_http import Told
from tests.control.rig import Door
from tests.crash.house import until
from tests.degraded.conftest import Stage
from tests.embedded.processes import kill_postgres


async def read(door: Door) -> Told:
    return await door.ask("GET", "/https://a.example/", host="r.localhost")


async def test_without_both_no_address_is_let_in_once_the_breakers_know(stage: Stage) -> None:
    async with stage.open() as door:
        assert (await read(door)).status == 200
        breaker, link = door.node.ground.pools.breaker, door.node.ground.link
        await kill_postgres(stage.postgres)
        stage.redis.kill()
        await stage.redis.wait_dead()

        async def both_known() -> bool:
            return bool(breaker.why) and not link.is_up

        await until(both_known)
        told = await read(door)
        assert (told.status, told.json()["reason"]) == (503, "SERVICE_DEGRADED")
        assert told.has("retry-after")
