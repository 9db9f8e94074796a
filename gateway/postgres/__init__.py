"""The only door to PostgreSQL: pools that open lazily, a deadline on every call, a breaker.

1. `servers`: which hosts the DSN names, and the one of them that takes writes.
2. `pool`: statements, each bounded by its deadline from its asking to its answer.
3. `breaker`: once a server does not answer, nobody else waits for it; one probe finds it again.
4. `migrating`: brings a database to this version.

Fails with PostgresUnavailable (ask again) or PostgresRefused (asking again does not help).
"""

from gateway.postgres.breaker import Breaker, breaker_of
from gateway.postgres.faults import PostgresRefused
from gateway.postgres.migrating import migrate
from gateway.postgres.pool import RUNTIME_ROLE, Postgres, Row
from gateway.postgres.pools import Pools, open_pools
from gateway.postgres.servers import Servers

__all__ = [
    "RUNTIME_ROLE",
    "Breaker",
    "Pools",
    "Postgres",
    "PostgresRefused",
    "Row",
    "Servers",
    "breaker_of",
    "migrate",
    "open_pools",
]
