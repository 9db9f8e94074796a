"""Several servers in one DSN: the one that takes writes is found, and again after a failover."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

import services.postgres
from gateway.embedded.postgres_server import PostgresServer
from gateway.errors import PostgresUnavailable
from gateway.postgres import Breaker, Postgres, Servers, breaker_of
from gateway.postgres.faults import ServerGone
from gateway.postgres.servers import named_by
from services.postgres import _servers_of
from tests.control.rig import COST_TOKENS
from tests.control.test_transfer import number, premium
from tests.crash.house import until
from tests.degraded.conftest import RECOVERY_S, Stage, copied, ready
from tests.embedded.processes import kill_postgres


def of_both(one: PostgresServer, other: PostgresServer) -> str:
    """A DSN that names a dead port, and both servers by the folders of their sockets."""
    folders = [parse_qs(urlsplit(server.dsn).query)["host"][0] for server in (one, other)]
    return f"postgresql://postgres@/sluice?host=127.0.0.1,{','.join(folders)}&port=1,5432,5432"


@asynccontextmanager
async def standby_of(stage: Stage) -> AsyncIterator[PostgresServer]:
    """A copy of the stage's server that takes no writes until it is promoted."""
    await stage.postgres.stop()
    folder = Path(f"{stage.folder}-standby")
    other = PostgresServer(folder)
    folder.mkdir(mode=0o755)
    await copied(stage.folder, folder)
    (folder / "postgres" / "cluster" / "standby.signal").touch()
    await asyncio.gather(stage.postgres.start(), other.start())
    yield other
    await other.stop()
    await asyncio.to_thread(shutil.rmtree, folder)


@pytest.mark.parametrize(
    ("dsn", "servers"),
    [
        ("postgresql://u:p@a:1,b:2/db?target_session_attrs=any", [("a", 1), ("b", 2)]),
        ("postgresql://u@a,[::1]:7/db", [("a", 5432), ("::1", 7)]),
        ("postgresql://u@/db?host=/x,/y&port=9", [("/x", 9), ("/y", 9)]),
        ("postgresql://u@%2Fx,%2Fy/db", [("/x", 5432), ("/y", 5432)]),
        ("postgresql://u@a:1/db", []),
        ("postgresql://u@/db?host=/x", []),
    ],
)
def test_the_servers_of_a_dsn_are_read_as_libpq_reads_them(
    dsn: str, servers: list[tuple[str, int]]
) -> None:
    assert list(named_by(dsn)) == servers
    assert list(_servers_of(dsn)) == servers


async def test_a_failover_is_followed_and_who_was_demoted_is_left(stage: Stage) -> None:
    """Nothing that was charged in between is lost: it waited in the spool."""
    async with stage.open() as door:
        one = await premium(door)
    first = stage.postgres
    async with (
        standby_of(stage) as standby,
        stage.open(dsn=of_both(first, standby), with_worker=True) as door,
    ):

        async def spends() -> bool:
            told = await door.ask(
                "GET", "/https://a.example/", host="r.localhost", bearer=one["api_key"]
            )
            return told.status == 200

        assert await spends()
        await kill_postgres(first)
        assert await spends()
        line = await asyncpg.connect(standby.dsn, ssl=False)
        assert await line.fetchval("select pg_promote()")
        # The first comes back, and knows that it is no primary any more.
        (stage.folder / "postgres" / "cluster" / "standby.signal").touch()
        await first.start()
        assert await spends()

        async def posted() -> bool:
            sql = "select coalesce(sum(cost_tokens), 0) from outcome where key_id = $1"
            found = await line.fetchval(sql, number(one)) >= 2 * COST_TOKENS
            return bool(found and (await ready(door))[1]["status"] == "ok")

        try:
            await until(posted, within_s=RECOVERY_S)
        finally:
            await line.close()


async def test_a_line_to_a_server_that_became_read_only_is_not_used_again(stage: Stage) -> None:
    async with standby_of(stage) as standby:
        await _a_line_is_left(stage, standby)


async def _a_line_is_left(stage: Stage, standby: PostgresServer) -> None:
    lone = Postgres(standby.dsn, role=None)
    with pytest.raises(PostgresUnavailable, match="it is a standby and takes no writes"):
        await lone.value("select 1")
    await lone.close()
    line = await asyncpg.connect(standby.dsn, ssl=False)
    pool = Postgres(of_both(stage.postgres, standby), role=None)
    where = "select pg_is_in_recovery(), current_setting('data_directory')"
    write = "create table if not exists scratch (n int)"
    try:
        served = services.postgres.Postgres(
            of_both(standby, stage.postgres), role=None, application_name="test"
        )
        assert not await served.value("select pg_is_in_recovery()")
        await served.close()
        before = await pool.row(where)
        assert before is not None
        assert not before[0]
        assert await line.fetchval("select pg_promote()")
        for sql in (
            "alter system set default_transaction_read_only = on",
            "select pg_reload_conf()",
        ):
            await pool.rows(sql)

        async def writes() -> bool:
            await pool.rows(write)
            return True

        async def told() -> bool:
            try:
                await pool.rows(write)
            except PostgresUnavailable as fault:
                return "25006" in str(fault)
            return False

        await until(told)
        await until(writes)
        after = await pool.row(where)
        assert after is not None
        assert after[1] != before[1]
    finally:
        await pool.close()
        await line.close()


async def test_while_it_is_away_only_the_first_call_waits_and_it_is_found_again_by_itself(
    stage: Stage,
) -> None:
    servers = Servers(stage.postgres.dsn)
    breaker: Breaker = breaker_of(servers, "test")
    pools = [Postgres(servers, role=None, breaker=breaker) for _ in range(2)]
    for pool in pools:
        assert await pool.value("select 1") == 1
    await kill_postgres(stage.postgres)

    async def away() -> bool:
        for pool in pools:
            try:
                await pool.value("select 1")
            except PostgresUnavailable:
                continue
        return bool(breaker.why)

    await until(away)
    refused = breaker.refused
    for _ in range(1_000):
        with pytest.raises(PostgresUnavailable):
            await pools[1].value("select 1")
    # None of them went to the server.
    assert breaker.refused == refused + 1_000
    await stage.postgres.start()

    async def back() -> bool:
        return not breaker.why

    await until(back, within_s=RECOVERY_S)
    for pool in pools:
        assert await pool.value("select 1") == 1
        # A statement that is slow, or wrong, or waits for a lock opens nothing.
        with pytest.raises(PostgresUnavailable):
            await pool.value("select pg_sleep(5)", deadline_ms=50)
        await asyncio.sleep(0)
    await until(back)
    assert breaker.openings == 1
    for pool in pools:
        await pool.close()
    await breaker.close()


async def test_a_server_without_a_place_for_one_more_connection_is_not_away() -> None:
    """Those that are open go on; only who finds no server at all opens the breaker."""
    looked = asyncio.Event()
    faults: list[PostgresUnavailable] = [
        PostgresUnavailable("sorry, too many clients already (53300)"),
        ServerGone("nobody listens"),
    ]

    async def probe(_limit_s: float) -> None:
        looked.set()
        raise faults[0]

    breaker = Breaker(probe)
    breaker.failed()
    await looked.wait()
    await asyncio.sleep(0)
    breaker.check()
    faults.pop(0)
    breaker.failed()

    async def away() -> bool:
        return bool(breaker.why)

    await until(away)
    with pytest.raises(PostgresUnavailable, match="nobody listens"):
        breaker.check()
    await breaker.close()
    breaker.check()
