"""One line of the log for a request: id, route, status, milliseconds, tokens.

Used only where ACCESS_LOG asks for it; without, the pipeline itself is what the listener calls.
Refuses to tell a target, a header, an address or a body: only what is in the books as well.
"""

import logging
import random
import time
from typing import Final

from gateway.edge.exchange import Exchange
from gateway.edge.malformed import Malformed
from gateway.edge.server import Handlers
from gateway.edge.trace_context import trace_parent
from gateway.telemetry.logs import ACCESS
from gateway.units import MS_PER_S

_LOG = logging.getLogger(ACCESS)
_FAILED: Final = 500


class AccessLog:
    """Handlers that tell one of `one_in` requests, and each that ended in a 5xx."""

    def __init__(self, inner: Handlers, one_in: int) -> None:
        self._inner = inner
        self._share = 1 / one_in

    async def handle(self, exchange: Exchange) -> None:
        """See Handlers."""
        begun_s = time.perf_counter()
        try:
            await self._inner.handle(exchange)
        finally:
            if exchange.status >= _FAILED or random.random() < self._share:
                _tell(exchange, time.perf_counter() - begun_s)

    async def malformed(self, exchange: Exchange, what: Malformed) -> None:
        """See Handlers."""
        await self._inner.malformed(exchange, what)

    async def failed(self, exchange: Exchange) -> None:
        """See Handlers."""
        await self._inner.failed(exchange)

    async def overloaded(self, exchange: Exchange) -> None:
        """See Handlers."""
        await self._inner.overloaded(exchange)


def _tell(exchange: Exchange, seconds: float) -> None:
    passage = exchange.passage
    product = "" if passage is None else passage.product
    fields: dict[str, str | int | float] = {
        "request_id": exchange.request_id,
        "product": product,
        "status": exchange.status,
        "ms": round(seconds * MS_PER_S, 1),
        "tokens": 0 if passage is None else passage.cost_tokens,
    }
    parent = trace_parent(exchange.headers)
    if parent:
        fields["trace_id"] = parent.split("-")[1]
    # A request's method is whatever the client calls it.
    method = exchange.method if exchange.method.isalpha() else "?"
    _LOG.info("%s %s", method[:10], product or "no product", extra=fields)
