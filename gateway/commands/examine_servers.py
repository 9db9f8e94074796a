"""Checks of external servers: is PostgreSQL, is Redis there, new enough, and set up for us?

Refuses to change anything in them.
"""

from gateway.commands.finding import Finding, fine, wrong
from gateway.commands.household import connections_wanted
from gateway.errors import PostgresUnavailable, RedisUnavailable
from gateway.postgres import RUNTIME_ROLE, Postgres, PostgresRefused, Row
from gateway.redis_link import RedisLink
from gateway.settings import Settings
from gateway.sql import migration_files

# The oldest on which the schema was tried.
_POSTGRES_OLDEST = 150_000
_REDIS_OLDEST = (6, 2)
_DEADLINE_MS = 5_000
_SLOTS = 16_384

_FACTS = """
select current_setting('server_version_num')::int as version,
       current_setting('server_version') as version_text,
       current_setting('fsync') = 'on' and current_setting('synchronous_commit') <> 'off'
           as durable,
       current_setting('max_connections')::int as connections,
       pg_is_in_recovery() as standby,
       current_user as who,
       r.rolsuper or r.rolcreaterole as makes_roles,
       has_database_privilege(current_database(), 'create') as makes_schemas,
       has_schema_privilege('public', 'create') as makes_tables,
       exists (select from pg_roles where rolname = $1) as has_runtime,
       coalesce((select pg_has_role(oid, 'member') from pg_roles where rolname = $1), false)
           as may_be_runtime,
       to_regclass('migration') is not null as migrated_once
  from pg_roles r where r.rolname = current_user
"""


async def examine_postgres(settings: Settings) -> list[Finding]:
    """Checks of SLUICE_DATABASE_URL; one finding if it cannot be reached."""
    assert settings.database_url is not None
    postgres = Postgres(
        settings.database_url,
        pool_size=1,
        connect_deadline_ms=_DEADLINE_MS,
        command_deadline_ms=_DEADLINE_MS,
        application_name="sluice-doctor",
        role=None,
    )
    try:
        facts = await postgres.row(_FACTS, RUNTIME_ROLE)
        assert facts is not None
        done: set[str] = set()
        if facts["migrated_once"]:
            done = {row["name"] for row in await postgres.rows("select name from migration")}
    except (PostgresUnavailable, PostgresRefused) as fault:
        text = f"{fault}: start it, or correct SLUICE_DATABASE_URL"
        return [wrong("PostgreSQL", text)]
    finally:
        await postgres.close()
    missing = [path.name for path in migration_files() if path.name not in done]
    return [
        _postgres_version(facts),
        _durable(facts),
        _connections(facts, settings.workers),
        _rights(facts),
        wrong("schema", f"{missing[0]} is not applied: run `sluice migrate`")
        if missing
        else fine("schema", "every migration is applied"),
    ]


def _postgres_version(facts: Row) -> Finding:
    if facts["version"] < _POSTGRES_OLDEST:
        oldest = _POSTGRES_OLDEST // 10_000
        return wrong("PostgreSQL", f"{facts['version_text']} is too old: use {oldest} or newer")
    if facts["standby"]:
        text = "this is a standby and takes no writes: name the primary in SLUICE_DATABASE_URL"
        return wrong("PostgreSQL", text)
    return fine("PostgreSQL", f"{facts['version_text']} as {facts['who']}")


def _durable(facts: Row) -> Finding:
    if not facts["durable"]:
        return wrong("durability", "charges could be lost: set fsync and synchronous_commit to on")
    return fine("durability", "fsync and synchronous_commit are on")


def _connections(facts: Row, workers: int) -> Finding:
    wanted = connections_wanted(workers)
    if facts["connections"] < wanted:
        text = f"max_connections is {facts['connections']}: raise it to {wanted}, or lower WORKERS"
        return wrong("connections", text)
    return fine("connections", f"{facts['connections']}, at most {wanted} used")


def _rights(facts: Row) -> Finding:
    who = facts["who"]
    if facts["has_runtime"]:
        if facts["may_be_runtime"]:
            return fine("rights", f"{who} may act as {RUNTIME_ROLE}")
        return wrong("rights", f"{who} may not: run `grant {RUNTIME_ROLE} to {who}` as the owner")
    if not facts["makes_roles"]:
        return wrong(
            "rights", f"{who} cannot make the role {RUNTIME_ROLE}: migrate as one who can once"
        )
    if not (facts["makes_tables"] and facts["makes_schemas"]):
        return wrong("rights", f"{who} cannot make tables: run `grant create on schema public`")
    return fine("rights", f"{who} can make what `sluice migrate` makes")


async def examine_redis(settings: Settings) -> list[Finding]:
    """Checks of SLUICE_REDIS_URL; one finding if it cannot be reached."""
    assert settings.redis_url is not None
    link = RedisLink(settings.redis_url, deadline_ms=_DEADLINE_MS)
    try:
        await link.open()
        facts = _facts_of(str(_text(await link.call(None, "INFO"))))
        found = [_redis_version(facts), _evicts_nothing(facts)]
        found.append(await _scripts(link))
        if facts.get("cluster_enabled") == "1":
            found.append(_cluster(_facts_of(_text(await link.call(None, "CLUSTER", "INFO")))))
    except RedisUnavailable as fault:
        return [wrong("Redis", f"{fault}: start it, or correct SLUICE_REDIS_URL")]
    finally:
        await link.close()
    return found


def _redis_version(facts: dict[str, str]) -> Finding:
    text = facts.get("redis_version", "0")
    version = tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
    if version < _REDIS_OLDEST:
        return wrong("Redis", f"{text} is too old: use 6.2 or newer")
    if facts.get("role") == "slave":
        return wrong("Redis", "this is a replica and takes no writes: name the primary")
    return fine("Redis", text)


def _evicts_nothing(facts: dict[str, str]) -> Finding:
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        text = f"{policy} would drop limits and holds: `CONFIG SET maxmemory-policy noeviction`"
        return wrong("eviction", text)
    return fine("eviction", "none")


async def _scripts(link: RedisLink) -> Finding:
    try:
        await link.call(0, "EVAL", "return 1", "0")
        await link.call(0, "SCRIPT", "EXISTS", "0" * 40)
    except RedisUnavailable as fault:
        return wrong("scripts", f"{fault}: allow EVALSHA and SCRIPT to our user (ACL +@scripting)")
    return fine("scripts", "allowed")


def _cluster(facts: dict[str, str]) -> Finding:
    if facts.get("cluster_state") != "ok" or facts.get("cluster_slots_ok") != str(_SLOTS):
        text = f"{facts.get('cluster_slots_ok', '0')} of {_SLOTS} slots are served"
        return wrong("cluster", f"{text}: see `redis-cli --cluster check`")
    return fine("cluster", f"{facts.get('cluster_size', '?')} shards, every slot served")


def _facts_of(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs}


def _text(reply: object) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
