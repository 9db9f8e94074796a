"""The pools of one process: each for one purpose, all to the same servers behind one breaker.

Refuses to share connections between purposes: nobody waits for who needs many, or long.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway.postgres.breaker import Breaker, breaker_of
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


def open_pools(stack: AsyncExitStack, dsn: str, name: str, deadline_ms: int) -> Pools:
    """Of the process `name`: what one of its pools has found out, the others need not wait for."""
    servers = Servers(dsn)
    breaker = breaker_of(servers, f"sluice-{name}")
    stack.push_async_callback(breaker.close)
    return Pools(stack, servers, breaker, f"sluice-{name}", deadline_ms)
