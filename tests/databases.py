"""Databases for tests: copies of a template, wiped and used again unless a test changed the shape.

Making and dropping one takes some 200 ms, wiping one 20: with hundreds of tests that is minutes.
Refuses to use one again whose catalogue differs from what it was when it was made.
"""

import asyncio
import itertools
from typing import Any

import asyncpg

# Whatever a test may create, replace, alter or grant: each leaves another row version here.
_SHAPE = """
select md5(string_agg(seen, ',' order by seen)) from (
    select 'c' || oid || ':' || xmin from pg_class where relnamespace = 'public'::regnamespace
    union all
    select 'p' || oid || ':' || xmin from pg_proc where pronamespace = 'public'::regnamespace
    union all
    select 't' || t.oid || ':' || t.xmin from pg_trigger t join pg_class c on c.oid = tgrelid
        where relnamespace = 'public'::regnamespace
    union all
    select 'k' || oid || ':' || xmin from pg_constraint
        where connamespace = 'public'::regnamespace
    union all select 'n' || oid || ':' || xmin from pg_namespace where nspname !~ '^pg_'
    union all select 'd' || setconfig::text from pg_db_role_setting
        where setdatabase = (select oid from pg_database where datname = current_database())
) shape (seen)
"""

# Triggers and foreign keys look away: the ledger refuses to be deleted.
_WIPE = """
do $$
declare
    place record;
    filled boolean;
begin
    set local session_replication_role = replica;
    for place in
        select c.oid::regclass as name from pg_class c
        where relkind = 'r' and relnamespace = 'public'::regnamespace
    loop
        execute format('select exists (select from %s)', place.name) into filled;
        if filled then
            execute format('delete from %s', place.name);
        end if;
    end loop;
    for place in
        select format('%I.%I', schemaname, sequencename)::regclass as name, start_value
        from pg_sequences where last_value is not null
    loop
        perform setval(place.name, place.start_value, false);
    end loop;
    for place in select * from json_each(current_setting('wipe.rows')::json) loop
        execute format(
            'insert into %s select * from json_populate_recordset(null::%s, $1)',
            place.key, place.key
        ) using place.value;
    end loop;
end
$$
"""

_FILLED = """
select c.oid::regclass::text as name from pg_class c
where relkind = 'r' and relnamespace = 'public'::regnamespace
"""

_ENDED = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


def of_database(dsn: str, name: str) -> str:
    """The same server's DSN with another database."""
    return dsn.replace("/sluice?", f"/{name}?", 1)


class Databases:
    """The copies of one template on one server; one event loop after another may ask."""

    def __init__(self, dsn: str, template: str) -> None:
        self._dsn = dsn
        self._template = template
        self._numbers = itertools.count()
        self._free: list[str] = []
        self._shape = ""
        self._rows = ""

    async def look(self) -> None:
        """Remember what the template has; before the first copy."""
        line = await asyncpg.connect(of_database(self._dsn, self._template), ssl=False)
        try:
            self._shape = await line.fetchval(_SHAPE)
            parts = []
            for place in await line.fetch(_FILLED):
                name = place["name"]
                rows = await line.fetchval(f"select json_agg(t) from {name} t")
                if rows is not None:
                    parts.append(f'"{name}": {rows}')
            self._rows = f"{{{', '.join(parts)}}}"
        finally:
            await line.close()

    async def take(self) -> str:
        """The name of one that is as the template is."""
        if self._free:
            return self._free.pop()
        name = f"test_{next(self._numbers)}"
        await execute(self._dsn, f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return name

    async def give_back(self, name: str) -> None:
        """End whoever is connected, and wipe it or drop it."""
        try:
            line = await asyncpg.connect(of_database(self._dsn, name), ssl=False)
        except asyncpg.InvalidCatalogNameError:
            # The test dropped it.
            return
        try:
            again = await self._wiped(line)
        finally:
            await line.close()
        if again:
            self._free.append(name)
        else:
            await execute(self._dsn, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def _wiped(self, line: "asyncpg.Connection[Any]") -> bool:
        async with asyncio.timeout(60):
            while await line.fetchval(_ENDED):  # noqa: ASYNC110 - sessions have no events
                await asyncio.sleep(0.005)
        if await line.fetchval(_SHAPE) != self._shape:
            return False
        await line.execute("select set_config('wipe.rows', $1, false)", self._rows)
        await line.execute(_WIPE)
        return True


async def execute(dsn: str, sql: str) -> None:
    """One statement on a connection of its own."""
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
