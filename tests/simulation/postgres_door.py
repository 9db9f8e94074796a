"""What stands in for gateway.postgres: statements cross the fake network to the ledger's twin.

Each has its deadline. Lost on its way, done without an answer, done twice, done after its asker
has given up: as with a server far away. Refuses SQL: a query is known by its name.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.errors import PostgresUnavailable
from gateway.postgres import PostgresRefused
from tests.simulation.clockwork import CURRENT, VirtualLoop, outside
from tests.simulation.ledger_rows import Refused
from tests.simulation.ledger_twin import LedgerTwin
from tests.simulation.network import Odds
from tests.simulation.outbox_twin import Rows

DEADLINE_S = 2.0


class Names(dict[str, str]):
    """The queries: each is its own name."""

    def __missing__(self, name: str) -> str:
        return name


class PostgresServer:
    """PostgreSQL as the network shows it."""

    def __init__(self, loop: VirtualLoop, twin: LedgerTwin) -> None:
        self.loop = loop
        self.twin = twin
        self.odds = Odds()
        self.down = False
        self.frozen = False
        self.partitioned: set[str] = set()
        self.asked: list[Any] = []

    def thaw(self) -> None:
        """What has come meanwhile is done now."""
        self.frozen = False
        waiting, self.asked = self.asked, []
        for work in waiting:
            work()


class Postgres:
    """As the Postgres of one process."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.queries = 0

    async def rows(self, sql: str, *values: Any, deadline_ms: int | None = None) -> Rows:
        """See gateway.postgres."""
        server, process = self._server, CURRENT.get()
        assert process is not None
        self.queries += 1
        limit_s = DEADLINE_S if deadline_ms is None else deadline_ms / 1_000
        if server.down:
            await asyncio.sleep(0.001)
            raise PostgresUnavailable("the connection was refused")
        answer: asyncio.Future[Rows] = server.loop.create_future()
        self._send(sql, values, answer, process)
        try:
            async with asyncio.timeout(limit_s):
                return await answer
        except TimeoutError:
            raise PostgresUnavailable(f"no answer within {limit_s} s") from None

    async def row(self, sql: str, *values: Any, deadline_ms: int | None = None) -> Any:
        found = await self.rows(sql, *values, deadline_ms=deadline_ms)
        return found[0] if found else None

    async def value(self, sql: str, *values: Any, deadline_ms: int | None = None) -> Any:
        found = await self.rows(sql, *values, deadline_ms=deadline_ms)
        return next(iter(found[0].values())) if found else None

    def _send(self, sql: str, values: Sequence[Any], answer: Any, process: Any) -> None:
        server, chance = self._server, self._server.loop.chance
        odds, now_s = server.odds, server.loop.now_s
        if process.node in server.partitioned:
            return
        delay_s = chance.uniform(0.0005, 0.004)
        fate = chance.random()
        if fate < odds.slow:
            delay_s = chance.uniform(0.01, 2.2)
        elif fate < odds.slow + odds.lost_request:
            server.loop.note(f"{sql} is lost on its way")
            return
        outside(server.loop, now_s + delay_s, self._arrive, sql, values, answer, process)

    def _arrive(self, sql: str, values: Sequence[Any], answer: Any, process: Any) -> None:
        server = self._server
        if server.frozen:
            server.asked.append(lambda: self._arrive(sql, values, answer, process))
            return
        if server.down:
            self._tell(answer, process, PostgresUnavailable("the connection was cut"), 0.0)
            return
        result = self._execute(sql, values)
        chance, odds = server.loop.chance, server.odds
        if chance.random() < odds.twice:
            server.loop.note(f"{sql} is done twice")
            result = self._execute(sql, values)
        fate = chance.random()
        if fate < odds.lost_reply or process.node in server.partitioned:
            server.loop.note(f"the answer of {sql} is lost")
            return
        if fate < odds.lost_reply + odds.cut:
            result = PostgresUnavailable("the connection was cut after the commit")
        self._tell(answer, process, result, chance.uniform(0.0005, 0.004))

    def _execute(self, sql: str, values: Sequence[Any]) -> Any:
        try:
            return self._server.twin.call(sql, values)
        except Refused as refused:
            return PostgresRefused(refused.sqlstate, refused.detail)

    def _tell(self, answer: Any, process: Any, result: Any, delay_s: float) -> None:
        def tell() -> None:
            if answer.done():
                return
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        loop = self._server.loop
        loop.call_at(loop.now_s + delay_s, tell, context=process.context)
