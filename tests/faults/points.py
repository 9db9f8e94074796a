"""The six points of a request's life at which faults come, and how each is met without luck.

    BEFORE_ADMIT     the gateway's command that admits is on its way to Redis: a proxy trips on the
                     script's name in the bytes, before Redis gets it
    ADMITTED         the request's head is on its way to the service: a proxy trips on it, so Redis
                     has admitted and the service has nothing yet
    RUNNING          the service has the request and has not answered it; of a stream, it has sent
                     the first events: the service holds three of one gateway there
    DECIDED          the outcome is decided and not on the disk: the spool's writer stops before its
                     write (`watched`)
    DURABLE          the outcome is on the disk, neither is the answer's last byte written nor the
                     outcome shipped: the writer stops behind its fsync
    SHIPPED          the ledger has it, Redis has not: a proxy trips on the script that settles

The fault is begun in the very call that sees the bytes, or while the process waits for the answer;
each is met on the `NTH` request that comes to the point at one gateway.
"""

from collections.abc import Callable
from enum import Enum

from tests.faults.house import PLACES, FaultHouse
from tests.faults.proxy import Proxy, Trip, Way

NTH = 6
_HELD = 3
Fire = Callable[[int], None]


class Point(Enum):
    """See the module."""

    BEFORE_ADMIT = "before admit"
    ADMITTED = "admitted, not forwarded"
    RUNNING = "while the service runs"
    DECIDED = "decided, not durable"
    DURABLE = "durable, not delivered or shipped"
    SHIPPED = "shipped, not settled"


class Ambush:
    """Waits for a point; `place` is the gateway that came there, when the fault has begun."""

    def __init__(self, house: FaultHouse, point: Point, fire: Fire) -> None:
        self.place: int | None = None
        self._house = house
        self._point = point
        self._fire = fire
        self._counts = dict.fromkeys(range(PLACES), 0)

    async def lay(self) -> None:
        """From now on."""
        house = self._house
        admit, settle = await house.shas()
        for place in range(PLACES):
            links = house.links[place]
            if self._point is Point.BEFORE_ADMIT:
                self._trip(links.redis, admit, place)
            elif self._point is Point.SHIPPED:
                self._trip(links.redis, settle, place)
            elif self._point is Point.ADMITTED and links.service is not None:
                self._trip(links.service, b" HTTP/1.1\r\n", place)
        if self._point is Point.RUNNING:
            house.services.hold(_HELD, self._met)
        elif self._point in (Point.DECIDED, Point.DURABLE):
            house.watch.arm(self._heard)

    def lift(self) -> None:
        """No more; proxies forget their trips when they are healed."""
        self._house.watch.disarm()
        self._house.services.let_go()

    def _trip(self, proxy: Proxy, text: bytes, place: int) -> None:
        proxy.trip(Trip(Way.UP, text, nth=NTH, then=lambda _: self._met(place)))

    def _heard(self, point: str, place: int) -> None:
        if point != self._point.name.lower():
            return
        self._counts[place] += 1
        if self._counts[place] == NTH:
            self._met(place)
            self._house.watch.disarm()

    def _met(self, place: int) -> None:
        if self.place is None:
            self.place = place
            self._fire(place)
