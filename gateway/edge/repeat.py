"""One request that is to be done once, and its answer on its way to the client.

Refuses to send the last byte of a charged answer before it is kept, and the first of one that cost
nothing before its name is free. Where PostgreSQL cannot do that now, the client does not wait.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from gateway.edge.exchange import Exchange, Tap
from gateway.ledger.answers import Claim, KeptAnswer
from gateway.metering.meter import Meter, Passage
from gateway.units import MIB

MAX_KEPT_BYTES: Final = 4 * MIB
# Of all answers that are on their way, or wait for PostgreSQL.
MAX_HELD_BYTES: Final = 64 * MIB
# What is of the one request that was answered, and not of the answer.
_NOT_KEPT: Final = (
    b"ratelimit",
    b"x-ratelimit",
    b"access-control-",
    b"vary: origin",
    b"trailer:",
)
_PRICE: Final = (b"x-usage-tokens:", b"x-usage-rule:")
_LINE_END: Final = b"\r\n"


class Keeper(Protocol):
    """Who keeps answers and frees names; `held_bytes` are in memory for all requests."""

    held_bytes: int

    async def keep(self, claim: Claim, answer: KeptAnswer) -> bool:
        """Whether it is kept now."""

    async def end(self, claim: Claim, *, charged: bool) -> None:
        """There is no answer to keep."""

    def background(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Work that goes on when its client has left."""


class Repeat(Tap):
    """Holds the name from the claim to the end of the request, whatever that end is."""

    __slots__ = (
        "_claim",
        "_exchange",
        "_is_over",
        "_keeper",
        "_lines",
        "_meter",
        "_passage",
        "_pieces",
        "_size",
        "_status",
        "_too_large",
    )

    def __init__(self, keeper: Keeper, meter: Meter, exchange: Exchange, claim: Claim) -> None:
        self._keeper = keeper
        self._meter = meter
        self._exchange = exchange
        self._claim = claim
        self._passage: Passage | None = None
        self._status = 0
        self._lines = b""
        self._pieces: list[bytes] = []
        self._size = 0
        self._too_large = False
        self._is_over = False

    def admitted(self, passage: Passage) -> None:
        self._passage = passage

    async def whole(self, status: int, headers: bytes, body: bytes) -> None:
        self.begun(status, headers)
        await self.end(body, b"")

    def begun(self, status: int, headers: bytes) -> None:
        self._status, self._lines = status, headers

    def piece(self, data: bytes) -> None:
        if self._too_large:
            return
        size = len(data)
        if self._size + size > MAX_KEPT_BYTES or self._keeper.held_bytes + size > MAX_HELD_BYTES:
            self._too_large = True
            self._let_go()
            return
        self._size += size
        self._keeper.held_bytes += size
        self._pieces.append(data)

    async def end(self, last: bytes, trailers: bytes) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.piece(last)
        passage = self._passage
        if passage is None or not passage.cost_tokens or not 200 <= self._status < 300:
            work = self._keeper.end(self._claim, charged=False)
        elif self._too_large:
            work = self._keeper.end(self._claim, charged=True)
        else:
            lines = kept_lines(self._lines, trailers)
            answer = KeptAnswer(self._status, lines, b"".join(self._pieces))
            # From here on it is decided by the keeping whether it counts as delivered.
            passage.ended = True
            work = self._keep(passage, answer)
        self._let_go()
        await asyncio.shield(self._keeper.background(work))

    def over(self) -> None:
        """The request has ended; if its answer has not, there is none."""
        self._let_go()
        if not self._is_over:
            self._is_over = True
            passage = self._passage
            charged = (
                passage is not None and passage.cost_tokens > 0 and not self._meter.owes(passage)
            )
            self._keeper.background(self._keeper.end(self._claim, charged=charged))

    async def _keep(self, passage: Passage, answer: KeptAnswer) -> None:
        if await self._keeper.keep(self._claim, answer):
            self._meter.delivered(passage)
        elif self._exchange.gone:
            self._meter.undelivered(passage)
        else:
            passage.ended = False

    def _let_go(self) -> None:
        self._keeper.held_bytes -= self._size
        self._size = 0
        self._pieces = []


def kept_lines(headers: bytes, trailers: bytes) -> bytes:
    """The header lines of an answer that are kept; a price behind the body is its price."""
    dropped = _NOT_KEPT + _PRICE if trailers else _NOT_KEPT
    lines = [
        line + _LINE_END
        for line in headers.split(_LINE_END)
        if line and not line.lower().startswith(dropped)
    ]
    return b"".join(lines) + trailers
