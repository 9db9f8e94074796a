"""The room for request bodies in memory: what all clients of this process may fill together.

Refuses more than that before anything is admitted, so that slow uploads cannot eat the process.
Small bodies are not counted: their connections are.
"""

import asyncio
from typing import Final

from gateway.edge import refusals
from gateway.edge.exchange import BodyBrokenError, Exchange
from gateway.errors import Problem
from gateway.units import KIB, MIB, MS_PER_S

# A connection may hold this much anyway before anybody reads.
FREE_BYTES: Final = 256 * KIB
MOST_BYTES: Final = 256 * MIB


class BodyRoom:
    """Reads bodies into memory; `give_back` when a request has ended."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.left_bytes = most_bytes

    async def gather(
        self, exchange: Exchange, keep_bytes: int, deadline_ms: int
    ) -> tuple[bytes, bool] | Problem:
        """The body as far as `keep_bytes` (and a piece more), and whether that is all of it."""
        parts: list[bytes] = []
        size, piece = 0, b"-"
        try:
            async with asyncio.timeout(deadline_ms / MS_PER_S):
                while size <= keep_bytes and (piece := await exchange.next_chunk()):
                    size += len(piece)
                    if size > FREE_BYTES and not self._take(exchange, size):
                        return _given_up(exchange, refusals.overloaded())
                    parts.append(piece)
        except TimeoutError:
            return _given_up(exchange, refusals.body_timeout(deadline_ms // MS_PER_S))
        except BodyBrokenError as broken:
            return _given_up(exchange, broken.problem)
        return b"".join(parts), not piece

    def _take(self, exchange: Exchange, size: int) -> bool:
        more = size - exchange.room_bytes
        if more > self.left_bytes:
            return False
        self.left_bytes -= more
        exchange.room_bytes += more
        return True

    def give_back(self, exchange: Exchange) -> None:
        """The body of this request is needed no more."""
        self.left_bytes += exchange.room_bytes
        exchange.room_bytes = 0


def _given_up(exchange: Exchange, problem: Problem) -> Problem:
    # The rest of the body would be taken for the next request.
    exchange.keep_alive = False
    return problem
