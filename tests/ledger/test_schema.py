"""schema.sql and the migrations: one truth, applied once, in order, by one at a time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from gateway.commands.migrate import bring_up_to_date
from gateway.embedded.postgres_server import PostgresServer
from gateway.errors import ConfigurationFault, PostgresUnavailable
from gateway.postgres import PostgresRefused, migrate
from gateway.sql import migration_files
from tests.databases import of_database

# Everything of a database that somebody could notice, one text per row.
PORTRAIT = """
select 'column ' || c.relname || '.' || a.attname || ' ' || a.attnum || ' '
    || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' '
    || a.attidentity::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = 'public'::regnamespace
union all select 'relation ' || relname || ' ' || relkind::text || ' '
    || coalesce(reloptions::text, '')
    || ' ' || coalesce(relacl::text, '') || ' ' || coalesce(pg_get_expr(relpartbound, oid), '')
from pg_class where relnamespace = 'public'::regnamespace
union all select 'constraint ' || conrelid::regclass || ' ' || conname || ' '
    || pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace
union all select 'index ' || indexdef from pg_indexes where schemaname = 'public'
union all select 'view ' || viewname || ' ' || definition from pg_views where schemaname = 'public'
union all select 'function ' || pg_get_functiondef(oid) || ' ' || coalesce(proacl::text, '')
from pg_proc where pronamespace = 'public'::regnamespace and prokind <> 'a'
union all select 'aggregate ' || a.aggfnoid || ' ' || a.aggtransfn || ' ' || p.proacl::text
from pg_aggregate a join pg_proc p on p.oid = a.aggfnoid
where p.pronamespace = 'public'::regnamespace
union all select 'trigger ' || pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
union all select 'schema ' || nspacl::text from pg_namespace where nspname = 'public'
union all select 'account ' || account || ' ' || purpose from account
union all select 'migration ' || name from migration
order by 1
"""


@pytest.fixture
async def empty_database(pg_server: PostgresServer) -> AsyncIterator[str]:
    line = await asyncpg.connect(pg_server.dsn, ssl=False)
    await line.execute("create database empty")
    yield of_database(pg_server.dsn, "empty")
    await line.execute("drop database empty with (force)")
    await line.close()


async def _portrait(dsn: str) -> list[str]:
    line = await asyncpg.connect(dsn, ssl=False)
    try:
        return [row[0] for row in await line.fetch(PORTRAIT)]
    finally:
        await line.close()


async def test_schema_and_migrations_give_the_same_database(
    database: str, empty_database: str
) -> None:
    await bring_up_to_date(empty_database)
    migrated, written = await _portrait(empty_database), await _portrait(database)
    assert migrated == written
    assert len(written) > 200


async def test_migrating_again_or_a_database_made_by_the_schema_applies_nothing(
    database: str, empty_database: str
) -> None:
    assert await bring_up_to_date(empty_database) == [path.name for path in migration_files()]
    assert await bring_up_to_date(empty_database) == []
    assert await bring_up_to_date(database) == []


async def test_two_migrations_at_once_take_turns(empty_database: str) -> None:
    applied = await asyncio.gather(*(bring_up_to_date(empty_database) for _ in range(3)))
    assert sorted(map(len, applied)) == [0, 0, len(migration_files())]


async def test_migration_that_fails_leaves_nothing_of_itself(
    empty_database: str, tmp_path: Path
) -> None:
    good, bad = tmp_path / "0001_pre_good.sql", tmp_path / "0002_pre_bad.sql"
    good.write_text("create table migration (name text primary key); create table kept (a int)")
    bad.write_text("create table half (a int); select 1 / 0")
    with pytest.raises(PostgresRefused):
        await migrate(empty_database, [good, bad])
    bad.write_text("create table half (a int)")
    assert await migrate(empty_database, [good, bad]) == [bad.name]


async def test_phase_stops_before_the_first_migration_of_the_other_kind(
    empty_database: str, tmp_path: Path
) -> None:
    names = ("0001_pre_a.sql", "0002_post_b.sql", "0003_pre_c.sql")
    for name in names:
        (tmp_path / name).write_text("create table if not exists migration (name text primary key)")
    files = migration_files(tmp_path)
    assert await migrate(empty_database, files, phase="post") == []
    assert await migrate(empty_database, files, phase="pre") == [names[0]]
    assert await migrate(empty_database, files, phase="pre") == []
    assert await migrate(empty_database, files, phase="post") == [names[1]]
    assert await migrate(empty_database, files) == [names[2]]


async def test_migrating_without_a_server_is_unavailable_in_time(tmp_path: Path) -> None:
    with pytest.raises(PostgresUnavailable):
        await bring_up_to_date(f"postgresql://postgres@/sluice?host={tmp_path}")


async def test_unknown_phase_is_a_mistake_by_name(database: str) -> None:
    with pytest.raises(ConfigurationFault, match="sideways"):
        await bring_up_to_date(database, phase="sideways")


def test_migration_with_a_wrong_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "later.sql").write_text("select 1")
    with pytest.raises(ConfigurationFault, match=r"later\.sql"):
        migration_files(tmp_path)
