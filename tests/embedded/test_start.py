"""Starting and stopping the two servers."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.embedded import way
from gateway.embedded.faults import EmbeddedFault
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import postgres_query, redis_command
from tests.embedded.processes import family


async def test_rows_survive_a_clean_stop_and_no_process_is_left(folder: Path) -> None:
    server = PostgresServer(folder)
    await server.start()
    await postgres_query(server.socket, "sluice", "CREATE TABLE kept AS SELECT 42 AS n")
    before = family(server.pid)
    await server.stop()
    assert not [seen for seen in before if seen.alive]
    await server.start()
    try:
        rows = await postgres_query(server.socket, "sluice", "SELECT n FROM kept")
    finally:
        await server.stop()
    assert rows == [("42",)]


async def test_postgresql_is_durable_utf8_and_on_no_port(folder: Path) -> None:
    server = PostgresServer(folder)
    await server.start()
    try:
        expected = {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "listen_addresses": "",
            "TimeZone": "UTC",
            "server_encoding": "UTF8",
            "data_checksums": "on",
        }
        for name, value in expected.items():
            assert await postgres_query(server.socket, "sluice", f"SHOW {name}") == [(value,)]
        assert "18." in str(await postgres_query(server.socket, "sluice", "SHOW server_version"))
    finally:
        await server.stop()


async def test_redis_writes_nothing_to_disk_and_evicts_nothing(folder: Path) -> None:
    server = RedisServer(folder)
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(str(server.socket))
        for name, value in (
            ("save", ""),
            ("appendonly", "no"),
            ("maxmemory-policy", "noeviction"),
            ("port", "0"),
        ):
            assert await redis_command(reader, writer, "CONFIG", "GET", name) == [name, value]
        writer.close()
        await writer.wait_closed()
    finally:
        await server.stop()


async def test_servers_on_path_are_never_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "used"
    for name in ("postgres", "initdb", "pg_ctl", "psql", "redis-server"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {name} >> {trap}\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    servers = (PostgresServer(folder), RedisServer(folder))
    await asyncio.gather(*(server.start() for server in servers))
    await asyncio.gather(*(server.stop() for server in servers))
    assert not trap.exists()


async def test_unfinished_initdb_is_begun_anew(folder: Path) -> None:
    unfinished = folder / "postgres" / "cluster.new" / "base"
    unfinished.mkdir(parents=True)
    server = PostgresServer(folder)
    await server.start()
    await server.stop()
    assert not unfinished.exists()


async def test_long_path_uses_one_short_socket_folder_at_every_start(folder: Path) -> None:
    deep = folder / ("d" * 90) / ("e" * 60)
    sockets = []
    for _ in range(2):
        server = PostgresServer(deep)
        await server.start()
        sockets.append(server.socket)
        assert await postgres_query(server.socket, "sluice", "SELECT 1") == [("1",)]
        await server.stop()
    assert len(os.fsencode(sockets[0])) <= 107
    assert sockets[0] == sockets[1]
    sockets[0].parent.rmdir()


async def test_path_with_signs_of_urls_and_shells_works(folder: Path) -> None:
    odd = folder / "a b&c?d%20'$x"
    server = PostgresServer(odd)
    await server.start()
    try:
        assert await postgres_query(server.socket, "sluice", "SELECT 1") == [("1",)]
        assert "a%20b%26c%3Fd%2520%27%24x" in server.dsn
    finally:
        await server.stop()


async def test_as_root_without_user_namespaces_the_server_is_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way, "_namespace", lambda: way.Way("namespace", ("false",)))
    folder.mkdir()
    if not any(found.name == "setpriv" for found in way.possible_ways(folder)):
        # Not root, or the checkout is hidden from other users: then the fault must say so.
        assert os.geteuid() != 0 or _advice(folder)
        return
    for _ in range(2):
        server = PostgresServer(folder)
        await server.start()
        owner = Path(f"/proc/{server.pid}").stat().st_uid
        await server.stop()
        assert owner == 65_534


async def test_folder_keeps_the_way_it_was_made_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = PostgresServer(folder)
    await server.start()
    await server.stop()
    chosen = way.choose_way(server.folder)
    monkeypatch.setattr(way, "possible_ways", lambda _: [way.Way("setpriv", ("false",))])
    assert way.choose_way(server.folder) == chosen


def _advice(folder: Path) -> bool:
    with pytest.raises(EmbeddedFault, match="start as an ordinary user"):
        way.choose_way(folder)
    return True
