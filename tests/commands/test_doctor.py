"""`sluice doctor`: one line per check, and a line that helps for what is wrong."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import asyncpg
import pytest

from gateway.commands.examine_machine import examine_machine
from gateway.commands.examine_servers import examine_postgres, examine_redis
from gateway.commands.finding import Finding
from gateway.commands.household import connections_wanted
from gateway.commands.ports import any_free
from gateway.embedded.folder import OwnerLock
from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import redis_command
from gateway.settings import load_settings
from tests.admission.nodes import free_ports
from tests.embedded.processes import ROOT


def _doctor(folder: Path, **settings: str) -> tuple[int, list[str]]:
    ours = {f"SLUICE_{name}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "doctor"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "SLUICE_DATA_DIR": str(folder), **ours},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def _machine(folder: Path, **settings: str) -> dict[str, Finding]:
    environ = {"SLUICE_DATA_DIR": str(folder), "SLUICE_PORT": "0", "SLUICE_OPS_PORT": "0"}
    environ |= {f"SLUICE_{name}": value for name, value in settings.items()}
    return {found.subject: found for found in examine_machine(load_settings(environ))}


def _by_subject(found: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in found}


def _wrong(found: Mapping[str, Finding]) -> dict[str, str]:
    return {subject: finding.text for subject, finding in found.items() if not finding.ok}


def test_healthy_machine_is_all_ok_and_nothing_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    port = any_free("127.0.0.1")
    ports = {"PORT": str(port), "OPS_PORT": str(any_free("127.0.0.1", but=(port,)))}
    code, lines = _doctor(folder, **ports)
    assert code == 0, lines
    assert all(line.startswith("ok ") for line in lines)
    text = "\n".join(lines)
    assert "postgres (PostgreSQL) 18." in text
    assert "ok     embedded Redis: Redis server v=6.2.14" in lines
    assert not folder.exists()


def test_wrong_settings_are_all_named_with_exit_code_1(tmp_path: Path) -> None:
    code, lines = _doctor(tmp_path, PORT="http", WORKERS="0")
    assert code == 1
    assert lines == [
        "WRONG  settings: SLUICE_PORT must be a whole number, not 'http'",
        "WRONG  settings: SLUICE_WORKERS must be between 1 and 256, not 0",
    ]


def test_port_in_use_names_the_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", any_free("127.0.0.1")))
        taken.listen()
        port = taken.getsockname()[1]
        found = _machine(tmp_path, PORT=str(port))
    assert _wrong(found) == {
        "SLUICE_PORT": f"port {port} on 127.0.0.1 is already in use: "
        "stop what uses it, or set SLUICE_PORT"
    }


def test_address_of_another_machine_is_told_from_a_taken_port(tmp_path: Path) -> None:
    found = _machine(tmp_path, PORT="20001", BIND="192.0.2.1")
    assert "192.0.2.1 is no address of this machine" in _wrong(found)["SLUICE_PORT"]


def test_data_folder_in_use_names_its_owner(tmp_path: Path) -> None:
    lock = OwnerLock(tmp_path)
    lock.take()
    try:
        found = _machine(tmp_path)
    finally:
        lock.release()
    assert f"is in use by process {os.getpid()}" in _wrong(found)["data folder"]


def test_data_folder_that_is_a_file_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = _machine(tmp_path / "file" / "data")
    assert "is no folder: set SLUICE_DATA_DIR" in _wrong(found)["data folder"]


def test_long_data_folder_is_ok_because_sockets_move(tmp_path: Path) -> None:
    found = _machine(tmp_path / ("x" * 120))
    assert not _wrong(found)
    assert "short folder" in found["socket paths"].text


def test_unreachable_servers_are_one_line_each(tmp_path: Path) -> None:
    port = any_free("127.0.0.1")
    code, lines = _doctor(
        tmp_path,
        PORT="0",
        OPS_PORT="0",
        DATABASE_URL=f"postgresql://u@127.0.0.1:{port}/db",
        REDIS_URL=f"redis://127.0.0.1:{port}/0",
    )
    assert code == 1
    wrong = [line for line in lines if line.startswith("WRONG")]
    assert len(wrong) == 2
    assert wrong[0].startswith("WRONG  PostgreSQL: ")
    assert wrong[0].endswith(": start it, or correct SLUICE_DATABASE_URL")
    assert wrong[1].startswith("WRONG  Redis: ")
    assert wrong[1].endswith(": start it, or correct SLUICE_REDIS_URL")


async def _examine_postgres(dsn: str, workers: int = 2) -> dict[str, Finding]:
    environ = {"SLUICE_DATABASE_URL": dsn, "SLUICE_WORKERS": str(workers)}
    return _by_subject(await examine_postgres(load_settings(environ)))


async def test_migrated_database_is_all_ok(database: str) -> None:
    found = await _examine_postgres(database)
    assert not _wrong(found)


async def test_database_without_the_last_migration_says_migrate(database: str) -> None:
    connection = await asyncpg.connect(database, ssl=False)
    try:
        await connection.execute("delete from migration")
        found = await _examine_postgres(database)
        await connection.execute("drop table migration")
        assert _wrong(await _examine_postgres(database)) == _wrong(found)
    finally:
        await connection.close()
    assert list(_wrong(found)) == ["schema"]
    assert found["schema"].text.endswith("is not applied: run `sluice migrate`")


async def test_role_without_rights_is_told_what_to_grant(database: str) -> None:
    connection = await asyncpg.connect(database, ssl=False)
    try:
        await connection.execute("create role nobody_special login")
        await connection.execute("grant select on migration to nobody_special")
        found = await _examine_postgres(database.replace("//postgres@", "//nobody_special@"))
    finally:
        await connection.execute("drop owned by nobody_special")
        await connection.execute("drop role nobody_special")
        await connection.close()
    assert "run `grant sluice_runtime to nobody_special`" in _wrong(found)["rights"]


async def test_setting_that_could_lose_charges_is_wrong(database: str) -> None:
    found = await _examine_postgres(f"{database}&synchronous_commit=off")
    assert "synchronous_commit" in _wrong(found)["durability"]


async def test_too_few_connections_for_the_workers_is_wrong(database: str) -> None:
    found = await _examine_postgres(database, workers=64)
    raised = f"max_connections is 100: raise it to {connections_wanted(64)}"
    assert raised in _wrong(found)["connections"]


async def _examine_redis(url: str) -> dict[str, Finding]:
    return _by_subject(await examine_redis(load_settings({"SLUICE_REDIS_URL": url})))


async def _tell(server: RedisServer, *words: str) -> None:
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    assert await redis_command(reader, writer, *words) == "OK"
    writer.close()
    await writer.wait_closed()


async def test_embedded_redis_is_all_ok(redis_url: str) -> None:
    found = await _examine_redis(redis_url)
    assert not _wrong(found)
    assert found["Redis"].text == "6.2.14"


async def test_redis_that_evicts_is_wrong(redis_server: RedisServer, redis_url: str) -> None:
    await _tell(redis_server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        found = await _examine_redis(redis_url)
    finally:
        await _tell(redis_server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert "`CONFIG SET maxmemory-policy noeviction`" in _wrong(found)["eviction"]


async def test_redis_that_forbids_scripts_is_wrong(
    redis_server: RedisServer, redis_url: str
) -> None:
    rules = ("on", ">secret", "~*", "+@all", "-@scripting")
    await _tell(redis_server, "ACL", "SETUSER", "limited", *rules)
    limited = redis_url.replace("unix://", "unix://limited:secret@")
    found = await _examine_redis(limited)
    assert "ACL +@scripting" in _wrong(found)["scripts"]


@pytest.fixture
async def lone_cluster_node(tmp_path: Path) -> AsyncIterator[int]:
    """Port of a Redis in cluster mode that serves no slot."""
    port = free_ports(1)[0]
    server = RedisServer(tmp_path, port=port, cluster=True)
    await server.start()
    yield port
    await server.stop()


async def test_cluster_with_unserved_slots_is_wrong(lone_cluster_node: int) -> None:
    found = await _examine_redis(f"redis://127.0.0.1:{lone_cluster_node}/0")
    assert "0 of 16384 slots are served" in _wrong(found)["cluster"]
