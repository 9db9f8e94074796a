"""What asyncpg raises, as the two faults of this package.

Refuses to tell a fault of the statement from one of the moment by its words: SQLSTATE decides.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from gateway.errors import Fault, PostgresUnavailable

# SQLSTATE classes that say something about the server or the moment, not about the statement:
# 08 connection, 25 read-only after a failover, 28 authentication, 3D no such database,
# 40 deadlock or serialization, 53 resources, 55 lock timeout, 57 shutdown or statement timeout,
# 58 I/O error.
_PASSING: Final = ("08", "25", "28", "3D", "40", "53", "55", "57", "58")
# The server takes no writes: a standby by now, or told to be read-only.
READ_ONLY: Final = "25006"
# Of the passing ones, those that say that the server as a whole cannot be used. Not that it takes
# no further connection (53300): those that are there go on.
_GONE: Final = ("08", "28", "3D", "57P")


class PostgresRefused(Fault):
    """PostgreSQL understood the statement and refused it; asking again does not help."""

    def __init__(self, sqlstate: str, detail: str) -> None:
        super().__init__(f"{detail} ({sqlstate})")
        self.sqlstate = sqlstate
        self.detail = detail


class ServerGone(PostgresUnavailable):
    """No connection, no answer in time, or one that speaks of the whole server."""


@contextmanager
def faults(limit_s: float) -> Iterator[None]:
    """Turns what asyncpg raises into the two faults; ServerGone where a breaker should know."""
    try:
        yield
    except TimeoutError:
        raise ServerGone(f"no answer within {limit_s * 1_000:.0f} ms") from None
    except asyncpg.PostgresError as error:
        sqlstate = error.sqlstate or "08000"
        if not sqlstate.startswith(_PASSING):
            raise PostgresRefused(sqlstate, str(error)) from error
        kind = ServerGone if sqlstate.startswith(_GONE) else PostgresUnavailable
        raise kind(f"{error} ({sqlstate})") from error
    except asyncpg.exceptions.DataError as error:
        raise PostgresRefused("22000", str(error)) from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise ServerGone(str(error) or type(error).__name__) from error
