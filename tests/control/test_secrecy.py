"""Keys are nowhere at rest: not in the database, Redis, spool, metrics, nor in any log."""

import asyncio
import logging
from pathlib import Path

import asyncpg
import pytest

from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import redis_command
from gateway.keys.format import key_hmac
from tests.control.rig import PEPPER, TOKEN, Door


async def test_a_planted_key_is_found_nowhere(
    door: Door,
    tmp_path: Path,
    database: str,
    redis_server: RedisServer,
    servers_folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    minted = await door.mint()
    key = minted["api_key"]
    await _use_and_abuse(door, key, minted["key_id"])
    places = {
        "database": await _dump_of(database),
        "redis": await _redis_of(redis_server),
        "files": b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()),
        "servers": b"".join(p.read_bytes() for p in servers_folder.glob("*/log")),
        "logs": caplog.text.encode(),
    }
    assert key_hmac(PEPPER.encode(), key).hex().encode() in places["database"]
    assert key[-4:].encode() in places["database"]
    for place, content in places.items():
        for secret in (key, key.removeprefix("sluice_")[:40], TOKEN, PEPPER):
            assert secret.encode() not in content, f"{secret} is in {place}"
    assert len(places["redis"]) > 100
    assert len(places["files"]) > 100
    assert len(places["servers"]) > 100


async def _use_and_abuse(door: Door, key: str, key_id: str) -> None:
    await door.spend(key)
    await door.me(key)
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    for header in (f"Bearer {key} {key}", f"Basic {key}", f"Bearer {wrong}", key):
        await door.ask("GET", "/v1/keys/me", headers={"Authorization": header})
    await door.ask("GET", f"/nothing/{key}?api_key={key}")
    await door.ask("GET", f"/api/v1/api_key/user?api_key={key}", host="dash.localhost")
    await door.ask("DELETE", "/v1/keys/me", bearer=key, document={"transfer_to_api_key": key})
    await door.ask("GET", f"/v1/requests/{key}", bearer=key)
    await door.ops("PUT", f"/admin/keys/{key_id}/status", document={"status": "suspended"})
    await door.ops("GET", f"/admin/keys?query={key}")
    await door.spend(key, expected=402)
    await asyncio.sleep(0.6)
    assert (await door.ops("GET", "/metrics")).status == 200


async def _dump_of(database: str) -> bytes:
    line = await asyncpg.connect(database, ssl=False)
    try:
        tables = await line.fetch(
            "select c.oid::regclass::text as name from pg_class c "
            "where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
        )
        rows = [await line.fetch(f"select t::text from {row['name']} t") for row in tables]
    finally:
        await line.close()
    return "\n".join(row[0] for table in rows for row in table).encode()


async def _redis_of(server: RedisServer) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    try:
        keys = await redis_command(reader, writer, "KEYS", "*")
        assert isinstance(keys, list)
        reads = {"hash": ("HGETALL",), "zset": ("ZRANGE",), "string": ("GET",)}
        found = [str(keys)]
        for key in map(str, keys):
            kind = str(await redis_command(reader, writer, "TYPE", key))
            words = (*reads[kind], key, *(("0", "-1") if kind == "zset" else ()))
            found.append(str(await redis_command(reader, writer, *words)))
    finally:
        writer.close()
        await writer.wait_closed()
    return "\n".join(found).encode()
