"""The pools of one process: each for one purpose, all to the same servers behind one breaker.

Refuses to share connections between purposes: nobody waits for who needs many, or long.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway.postgres.breaker import Breaker
from gateway.postgres.pool import Postgres
from gateway.postgres.servers import Servers


@dataclass(frozen=True, slots=True)
class Pools:
    """Opens pools that are closed with the stack; `name` is what the servers see."""

    stack: AsyncExitStack
    servers: Servers
    breaker: Breaker
    name: str
    deadline_ms: int

    def open(self, purpose: str = "", *, size: int = 4, deadline_ms: int | None = None) -> Postgres:
        """One pool more; a purpose begins with a dash."""
        pool = Postgres(
            self.servers,
            pool_size=size,
            command_deadline_ms=deadline_ms or self.deadline_ms,
            application_name=f"{self.name}{purpose}",
            breaker=self.breaker,
        )
        self.stack.push_async_callback(pool.close)
        return pool
