"""Redis or PostgreSQL away: what was done is not told as failed, and what is not known is 503."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from tests.control.conftest import Open
from tests.control.rig import Door, until
from tests.embedded.processes import family


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A server with its children stands still, which is worse than dead: its sockets stay open."""
    everybody = [pid, *(seen.pid for seen in family(pid))]
    for each in everybody:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in everybody:
            os.kill(each, signal.SIGCONT)


@pytest.fixture
async def quick(open_door: Open) -> AsyncIterator[Door]:
    """A gateway with its background work, that notices a frozen store soon."""
    async with open_door(
        with_worker=True, REDIS_DEADLINE_MS="500", POSTGRES_DEADLINE_MS="2000"
    ) as door:
        yield door


async def test_changes_while_redis_is_frozen_are_202_and_arrive_by_themselves(
    quick: Door, redis_server: RedisServer
) -> None:
    minted = await quick.mint()
    key, path = minted["api_key"], f"/admin/keys/{minted['key_id']}"
    await quick.spend(key)
    await quick.me(key)
    with frozen(redis_server.pid):
        credit = {"tokens": 50, "bucket": "paid", "ref": "o1"}
        for _ in range(2):
            told = await quick.ops("POST", f"{path}/credit", document=credit)
            assert told.status == 202
            assert told.json()["balance"]["paid"] == 50
            assert "nothing has to be repeated" in told.json()["note"]
        told = await quick.ops("PUT", f"{path}/limits", document={"reader": {"rpm": 77}})
        assert (told.status, told.json()["limits"]) == (202, {"reader": {"rpm": 77}})
        shown = await quick.ops("GET", path)
        assert shown.json()["balance"]["held"] is None
        assert shown.json()["balance"]["paid"] == 50
        mine = await quick.me(key)
        assert mine["balance"]["held"] is None
        assert mine["limits"]["reader"] == {"rpm": 77, "concurrency": 5_000}

    async def arrived() -> bool:
        told = await quick.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
        return told.status == 200 and told["x-ratelimit-limit-requests"] == "77"

    await until(arrived)
    assert (await quick.me(key))["balance"]["paid"] == 50


async def test_a_key_revoked_while_redis_is_frozen_is_never_let_in_again(
    quick: Door, redis_server: RedisServer
) -> None:
    key = (await quick.mint())["api_key"]
    await quick.spend(key)
    await quick.me(key)
    with frozen(redis_server.pid):
        told = await quick.ask("DELETE", "/v1/keys/me", bearer=key)
        assert told.status == 202
        assert told.json()["status"] == "revoked"
        assert "revoked for ever" in told.json()["note"]
        assert (await quick.ask("DELETE", "/v1/keys/me", bearer=key)).status == 401
        # The ledger's row decides, and it knows.
        refused = await quick.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
        assert refused.status == 401

    async def back_and_refused() -> bool:
        """Redis' copy is of before; at no moment does it let the key in."""
        told = await quick.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
        assert told.status == 401
        return quick.node.ground.link.is_up and quick.node.ground.link.is_trusted

    await until(back_and_refused)
    assert (
        await quick.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
    ).status == 401


async def test_without_postgresql_the_control_api_says_retry_and_changes_nothing(
    quick: Door, pg_server: PostgresServer
) -> None:
    minted = await quick.mint()
    key = minted["api_key"]
    await quick.spend(key)
    await quick.me(key)
    with frozen(pg_server.pid):
        asked = [
            quick.ask("POST", "/v1/keys"),
            quick.ask("GET", "/v1/keys/me", bearer=key),
            quick.ask("GET", "/v1/keys/me/usage", bearer=key),
            quick.ask("GET", "/v1/keys/me/usage/export", bearer=key),
            quick.ask("GET", "/api/v1/authorization", host="dash.localhost", bearer=key),
        ]
        for told in await asyncio.gather(*asked):
            assert told.status == 503
            assert told.json()["code"] == "SERVICE_DEGRADED"
            assert int(told["retry-after"]) >= 1
        told = await quick.ops("PUT", f"/admin/keys/{minted['key_id']}/limits", document=None)
        assert told.status == 503
        assert "Please repeat it, which is harmless" in told.json()["detail"]

    async def back() -> bool:
        return (await quick.ask("GET", "/v1/keys/me", bearer=key)).status == 200

    await until(back)
    assert (await quick.me(key))["status"] == "active"


async def test_a_gateway_starts_without_redis_and_finds_it_later(
    open_door: Open, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path / "late")
    async with open_door(REDIS_URL=server.url, REDIS_DEADLINE_MS="500") as door:
        minted = await door.mint()
        assert (await door.me(minted["api_key"]))["balance"]["held"] is None
        ready = await door.ops("GET", "/ready", token=None)
        assert (ready.status, ready.json()["status"]) == (200, "degraded")
        assert (await door.ask("GET", "/https://a.example/", host="r.localhost")).status == 200
        assert (await door.spend(minted["api_key"]))["x-ratelimit-scope"] == "local"
        await server.start()
        try:

            async def let_in() -> bool:
                told = await door.ask(
                    "GET", "/https://a.example/", host="r.localhost", bearer=minted["api_key"]
                )
                return told.status == 200 and not told.has("x-ratelimit-scope")

            await until(let_in)
        finally:
            await server.stop()


async def test_a_gateway_starts_without_postgresql_and_says_so(
    open_door: Open, tmp_path: Path
) -> None:
    nowhere = f"postgresql://postgres@/sluice?host={tmp_path}"
    async with open_door(DATABASE_URL=nowhere) as door:
        assert (await door.ask("GET", "/health")).status == 200
        assert (await door.ask("GET", "/https://a.example/", host="r.localhost")).status == 200
        assert (await door.ask("POST", "/v1/keys")).status == 503
        ready = (await door.ops("GET", "/ready", token=None)).json()
        assert (ready["status"], ready["redis"]) == ("degraded", "ok")
        assert ready["postgres"] != "ok"
