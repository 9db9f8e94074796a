"""PostgreSQL comes back: what was said of it goes with it, and was never anything else."""

import asyncio
from contextlib import suppress

from tests.crash.house import until
from tests.degraded.conftest import RECOVERY_S, Stage, frozen


async def test_a_frozen_ledger_that_is_back_was_never_called_read_only(stage: Stage) -> None:
    async with stage.open(POSTGRES_DEADLINE_MS="1000") as door:
        conditions = door.node.ground.conditions
        seen: set[str] = set()

        async def watch() -> None:
            while True:
                seen.update(conditions.now())
                await asyncio.sleep(0.005)

        watching = asyncio.create_task(watch())
        shipped = door.node.shipper

        async def is_told() -> bool:
            return "postgres" in conditions.now()

        async def takes_again() -> bool:
            return not conditions.now() and not shipped.trouble.why

        with frozen(stage.postgres.pid):
            await until(is_told)
            # Long enough for the pauses of what tries again to have grown.
            await asyncio.sleep(3)
        await until(takes_again, RECOVERY_S)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        assert seen == {"postgres"}
