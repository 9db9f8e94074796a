"""A body that is streamed from the client to a service, while the service may answer at any time.

Refuses to send it twice, to go on once the answer has come, and to send more than was held for.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from gateway.edge import refusals
from gateway.edge.answer import Answer
from gateway.edge.connection import Connection
from gateway.edge.exchange import BodyBrokenError, Exchange
from gateway.edge.measure import Measured
from gateway.errors import Problem, ServiceTimeout
from gateway.units import MS_PER_S

_LOOK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Upload:
    """One body on its way; `deadline_ms` is the client's, from now on."""

    exchange: Exchange
    measured: Measured
    connection: Connection
    deadline_ms: int

    async def send(self, head: bytes) -> Answer:
        """The service's answer; raises ServiceFault, or BodyBrokenError when the client fails."""
        product = self.measured.product
        answer = self.connection.begin(
            head, product.first_byte_ms, product.deadline_ms, goes_on=True
        )
        body = asyncio.create_task(self._body())
        try:
            await self._either(answer, body)
            if not answer.done():
                await body
        finally:
            if not body.done():
                # Answered before its end, or nobody waits any more.
                body.cancel()
                await asyncio.wait((body,))
            elif not body.cancelled():
                body.exception()
        return await answer

    async def _either(self, answer: asyncio.Future[Answer], body: asyncio.Task[None]) -> None:
        """Wait for one of both. A client that leaves while its service takes nothing is seen too:
        then nothing is read from it, so that only a look at its socket tells."""
        done: set[asyncio.Future[Any]] = set()
        while not done:
            done, _ = await asyncio.wait(
                (answer, body), timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
            self.exchange.look_after()

    async def _body(self) -> None:
        try:
            async with asyncio.timeout(self.deadline_ms / MS_PER_S):
                await self._pieces()
        except TimeoutError:
            if self.connection.is_full:
                self.connection.blame()
                raise ServiceTimeout("the service does not take the body") from None
            problem = refusals.body_timeout(self.deadline_ms // MS_PER_S)
            raise BodyBrokenError(problem) from None
        self.connection.written(self.measured.product.first_byte_ms)

    async def _pieces(self) -> None:
        exchange, connection = self.exchange, self.connection
        chunked = exchange.content_length is None
        size, piece = 0, self.measured.prefix or await exchange.next_chunk()
        while piece:
            size += len(piece)
            if size > self.measured.most_bytes:
                raise BodyBrokenError(self._too_long())
            await connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            piece = await exchange.next_chunk()
        if chunked:
            await connection.write(b"0\r\n\r\n")

    def _too_long(self) -> Problem:
        product, most_bytes = self.measured.product, self.measured.most_bytes
        if most_bytes < product.max_request_bytes:
            return refusals.body_beyond_balance(most_bytes)
        return refusals.body_too_large(most_bytes)
