"""The fixtures that every other test stands on."""

import asyncpg

from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import redis_ping


async def test_database_is_fresh_for_each_test(database: str) -> None:
    connection = await asyncpg.connect(database, ssl=False)
    try:
        await connection.execute("CREATE TABLE only_here (n int)")
        assert await connection.fetchval("SHOW fsync") == "on"
    finally:
        await connection.close()


async def test_database_does_not_see_the_tables_of_another_test(database: str) -> None:
    connection = await asyncpg.connect(database, ssl=False)
    try:
        assert await connection.fetchval("SELECT to_regclass('only_here')") is None
    finally:
        await connection.close()


async def test_redis_url_answers(redis_server: RedisServer, redis_url: str) -> None:
    assert redis_url == f"unix://{redis_server.socket}"
    assert await redis_ping(redis_server.socket)
