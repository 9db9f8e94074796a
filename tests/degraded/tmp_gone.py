import asyncio, time, os, signal
import pytest
from contextlib import ExitStack
from tests.degraded.conftest import Stage, frozen, service, migrated, stage, ready
from tests.embedded.processes import kill_postgres
from tests.control.test_transfer import premium

@pytest.mark.parametrize("pg", ["killed", "frozen"])
@pytest.mark.parametrize("rd", ["killed", "frozen"])
async def test_it(stage, pg, rd):
    async with stage.open(REDIS_DEADLINE_MS="250") as door:
        one = await premium(door); key = one["api_key"]
        async def spend(k): 
            t=time.monotonic(); told = await door.ask("GET", "/https://a.example/", host="r.localhost", bearer=k)
            return told.status, round(1000*(time.monotonic()-t))
        for k in (key, None): print(await spend(k))
        t0=time.monotonic()
        with ExitStack() as s:
            if pg=="killed": await kill_postgres(stage.postgres)
            else: s.enter_context(frozen(stage.postgres.pid))
            if rd=="killed": os.kill(stage.redis.pid, 9); await stage.redis.wait_dead()
            else: s.enter_context(frozen(stage.redis.pid))
            async def loop(k, out):
                while time.monotonic()-t0 < 9:
                    at=time.monotonic()-t0
                    async def one():
                        r=await spend(k); out.append((round(at,2), *r))
                    asyncio.create_task(one())
                    await asyncio.sleep(0.1)
                await asyncio.sleep(3)
            a,b=[],[]
            await asyncio.gather(loop(key,a),loop(None,b))
            for name,o in (("key",a),("none",b)):
                o.sort()
                print(pg, rd, name, "worst", max(o,key=lambda x:x[2]), "slow", [x for x in o if x[2]>40])
