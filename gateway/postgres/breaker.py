"""Whether PostgreSQL is worth asking: once it is away, nobody but one probe waits for it.

1. A call finds no server: a probe starts on a connection of its own. Until it has failed too, calls
   go on as before: one slow statement says nothing of the others.
2. The probe failed: calls fail at once, and it is tried again and again, a few times a second.
3. It succeeded: calls go on. Nobody has to notice it for that.

Refuses to judge by time alone: a statement that waits for a lock opens nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from gateway.errors import PostgresUnavailable
from gateway.postgres.faults import ServerGone
from gateway.postgres.servers import Servers, probe

_LOG = logging.getLogger("sluice.postgres")
# The first probe decides soon, the others may wait for a server that comes back slowly.
_FIRST_S: Final = 1.0
_LATER_S: Final = 2.0
_PAUSE_S: Final = 0.25
# So many in a row: what was sent to that server before is given up as well.
_HOPELESS: Final = 2
Probe = Callable[[float], Awaitable[None]]


class Breaker:
    """One for all pools to the same servers; `probe` raises PostgresUnavailable in the time."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._why = ""
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._back_s = -1.0
        self._hopeless: list[Callable[[], None]] = []
        # How often PostgreSQL was found away, and how many calls were answered without asking it.
        self.openings = 0
        self.refused = 0

    @property
    def why(self) -> str:
        """Why PostgreSQL is not asked; "" when it is."""
        return self._why

    def was_away(self, moment_s: float) -> bool:
        """Whether PostgreSQL may have been away then or since; also while a probe finds out."""
        return self._task is not None or moment_s <= self._back_s

    def when_hopeless(self, told: Callable[[], None]) -> None:
        """Call this when it stays away, so that nobody waits for what was sent before."""
        self._hopeless.append(told)

    def check(self) -> None:
        """Raises PostgresUnavailable while PostgreSQL is away."""
        if self._why:
            self.refused += 1
            raise PostgresUnavailable(self._why)

    def failed(self) -> None:
        """A call found no server."""
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._find_out())

    async def _find_out(self) -> None:
        failures = 0
        try:
            while True:
                try:
                    await self._probe(_LATER_S if failures else _FIRST_S)
                except ServerGone as fault:
                    failures += 1
                    self._away(str(fault), failures)
                except PostgresUnavailable:
                    # It answers, if only that it has no place for one more connection.
                    return
                else:
                    return
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._task = None
            if self._why and not self._closed:
                _LOG.warning("PostgreSQL is back")
                self._back_s = asyncio.get_running_loop().time()
            self._why = ""

    def _away(self, why: str, failures: int) -> None:
        if not self._why:
            self.openings += 1
            _LOG.warning("PostgreSQL is away, calls fail at once until it is back: %s", why)
        self._why = why or "it does not answer"
        if failures == _HOPELESS:
            for told in self._hopeless:
                told()

    async def close(self) -> None:
        """No probe any more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


def breaker_of(servers: Servers, application_name: str) -> Breaker:
    """For all pools of a process to these servers."""
    session = {"application_name": f"{application_name}-probe"}
    return Breaker(partial(probe, servers, session))
