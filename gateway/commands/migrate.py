"""`sluice migrate`: brings the database to the schema of this version, before or after a deploy.

Refuses to go back, and to guess a database: it wants the DSN.
"""

from gateway.errors import ConfigurationFault
from gateway.postgres import migrate
from gateway.settings import Settings
from gateway.sql import migration_files

PHASES = ("all", "pre", "post")


async def bring_up_to_date(dsn: str, *, phase: str = "all") -> list[str]:
    """Applies what is missing and answers the names; faults: PostgresUnavailable and -Refused."""
    if phase not in PHASES:
        raise ConfigurationFault([f"phase must be one of {', '.join(PHASES)}, not {phase!r}"])
    return await migrate(dsn, migration_files(), phase=phase)


async def run(settings: Settings, *, phase: str = "all") -> list[str]:
    """The command on the external database of the settings; answers a line for each step."""
    if settings.database_url is None:
        raise ConfigurationFault(
            ["SLUICE_DATABASE_URL is not set; `sluice up` migrates its embedded database itself"]
        )
    applied = await bring_up_to_date(settings.database_url, phase=phase)
    return [f"applied {name}" for name in applied] or ["nothing to apply"]
