"""Which requests are let go while the event loop is late, told from their heads alone.

Refuses to shed what moves money or tells of it: keys, billing, transfers, revocations, webhooks,
pages, documents, probes. Refuses to ask a store: a key is looked for in memory only.
"""

from typing import Final

from gateway.edge import refusals
from gateway.edge.authorization import extract_key
from gateway.edge.doors import Kind
from gateway.edge.doors_of_web import CALL
from gateway.edge.exchange import Exchange
from gateway.edge.hosts import Route
from gateway.edge.identify import Identifier
from gateway.edge.overload import Overload, Rank
from gateway.errors import Problem
from gateway.products.product import Counting
from gateway.telemetry import Telemetry

_SHED: Final = frozenset((Kind.PRODUCT, Kind.FORWARD, Kind.PRICE, Kind.INDEX))
_BY_SESSION: Final = f"{CALL}/"


class Shedder:
    """Asked about every request, while `overload.level` is not 0."""

    def __init__(self, overload: Overload, identifier: Identifier, telemetry: Telemetry) -> None:
        self._overload = overload
        self._identifier = identifier
        self._telemetry = telemetry

    @property
    def level(self) -> int:
        """0: nothing is shed."""
        return self._overload.level

    def refusal(self, exchange: Exchange, route: Route) -> Problem | None:
        """Why this request is let go now; None: go on."""
        if route.kind not in _SHED:
            return None
        rank = self._rank(exchange, route)
        if rank is None or not self._overload.sheds(rank):
            return None
        self._telemetry.degraded.labels("shed").inc()
        self._telemetry.shed.labels(rank.name.lower()).inc()
        return refusals.overloaded(self._overload.retry_after_ms)

    def _rank(self, exchange: Exchange, route: Route) -> Rank | None:
        """None where the header is refused anyhow, which costs nothing."""
        if exchange.target.startswith(_BY_SESSION):
            return Rank.KEY
        key = extract_key(exchange.headers.get("Authorization"), route.family)
        if isinstance(key, Problem):
            return None
        if key is None:
            return None if route.needs_key else _without_key(route)
        subject = self._identifier.at_a_glance(key)
        known = subject is not None and self._overload.is_premium(subject)
        return Rank.PREMIUM if known else Rank.KEY


def _without_key(route: Route) -> Rank:
    pays = any(each.counting is not Counting.FREE for each in route.candidates)
    return Rank.NO_KEY if pays else Rank.FREE
