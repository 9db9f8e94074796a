"""What may go wrong with a world: each kind begins with a strike, and says what ends it."""

from collections.abc import Callable
from typing import Any

from tests.simulation import plan as plans
from tests.simulation.clockwork import OUTSIDE
from tests.simulation.disk import BROKEN, FULL, WORKS
from tests.simulation.network import Odds

_OF_NO_STORE = ("leaving", "skew", "services")
# A Redis with an old memory goes away at the end of its strike; whoever posts waits so long for an
# answer of PostgreSQL that was lost.
_AFTER_S, _AFTER_POSTGRES_S = 0.4, 10.0


class Faults:
    """Strikes at a world."""

    def __init__(self, world: Any) -> None:
        self._world = world

    def strike(self, strike: plans.Strike) -> None:
        """A fault begins; its end is arranged."""
        self._world.note("fault", f"{strike.kind} for {strike.for_s:.2f} s")
        if strike.kind not in _OF_NO_STORE:
            after_s = _AFTER_POSTGRES_S if strike.kind.startswith("pg_") else _AFTER_S
            end_s = self._world.loop.now_s + strike.for_s + after_s
            self._world.troubled_until_s = max(self._world.troubled_until_s, end_s)
        end = getattr(self, f"_{strike.kind}")(strike)
        if end is not None:
            self._world.loop.call_later(strike.for_s, self._over, strike.kind, end, context=OUTSIDE)

    def _over(self, kind: str, end: Callable[[], None]) -> None:
        self._world.note("fault", f"{kind} is over")
        end()

    def _node(self, strike: plans.Strike) -> str:
        name: str = self._world.nodes[strike.where % len(self._world.nodes)]
        return name

    def _redis_kill(self, _: plans.Strike) -> Callable[[], None]:
        return self._killed_redis(old=False)

    def _redis_old(self, strike: plans.Strike) -> Callable[[], None]:
        self._world.store.save(self._world.now_us())
        self._world.watcher.saved_now()
        self._world.loop.call_later(strike.for_s, self._again_old, context=OUTSIDE)
        return lambda: None

    def _again_old(self) -> None:
        if not self._world.redis.down:
            end = self._killed_redis(old=True)
            self._world.loop.call_later(0.3, end, context=OUTSIDE)

    def _killed_redis(self, *, old: bool) -> Callable[[], None]:
        if self._world.redis.down:
            return lambda: None
        self._world.redis.kill()
        self._world.store.restart(old=old)
        self._world.watcher.restarted(old=old)

        def up() -> None:
            self._world.redis.down = False

        return up

    def _redis_freeze(self, _: plans.Strike) -> Callable[[], None]:
        self._world.redis.frozen = True
        end: Callable[[], None] = self._world.redis.thaw
        return end

    def _redis_net(self, _: plans.Strike) -> Callable[[], None]:
        self._world.redis.odds = Odds(0.1, 0.06, 0.06, 0.06, 0.0)
        return self._calm_redis

    def _calm_redis(self) -> None:
        self._world.redis.odds = Odds()

    def _redis_cut_off(self, strike: plans.Strike) -> Callable[[], None]:
        self._world.redis.partitioned.add(self._node(strike))
        end: Callable[[], None] = self._world.redis.heal
        return end

    def _pg_away(self, _: plans.Strike) -> Callable[[], None]:
        self._world.postgres.down = True

        def up() -> None:
            self._world.postgres.down = False

        return up

    def _pg_freeze(self, _: plans.Strike) -> Callable[[], None]:
        self._world.postgres.frozen = True
        end: Callable[[], None] = self._world.postgres.thaw
        return end

    def _pg_net(self, _: plans.Strike) -> Callable[[], None]:
        self._world.postgres.odds = Odds(0.1, 0.1, 0.15, 0.1, 0.1)
        return self._calm_postgres

    def _calm_postgres(self) -> None:
        self._world.postgres.odds = Odds()

    def _pg_cut_off(self, strike: plans.Strike) -> Callable[[], None]:
        self._world.postgres.partitioned.add(self._node(strike))
        end: Callable[[], None] = self._world.postgres.partitioned.clear
        return end

    def _kill_gateway(self, strike: plans.Strike) -> Callable[[], None]:
        place = strike.where % len(self._world.slots)
        self._world.kill(self._world.slots[place].process)

        def again() -> None:
            if not self._world.slots[place].process.alive:
                self._world.start_gateway(place)

        return again

    def _kill_worker(self, strike: plans.Strike) -> Callable[[], None]:
        node = self._node(strike)
        self._world.kill(self._world.workers[node])

        def again() -> None:
            if not self._world.workers[node].alive:
                self._world.start_worker(node)

        return again

    def _power(self, strike: plans.Strike) -> Callable[[], None]:
        node = self._node(strike)
        for process in self._world.processes:
            if process.node == node:
                self._world.kill(process, how="loses power")
        self._world.power_s[node] = self._world.loop.now_s
        self._world.disks[node].lose_power()

        def again() -> None:
            for place, found in enumerate(self._world.slots):
                if found.process.node == node and not found.process.alive:
                    self._world.start_gateway(place)
            if not self._world.workers[node].alive:
                self._world.start_worker(node)

        return again

    def _disk(self, strike: plans.Strike) -> Callable[[], None]:
        disk = self._world.disks[self._node(strike)]
        disk.state = self._world.chance.choice((FULL, BROKEN))
        self._world.disk_faults = True

        def works() -> None:
            disk.state = WORKS

        return works

    def _slow_disk(self, _: plans.Strike) -> Callable[[], None]:
        self._world.slow_disk = True

        def quick() -> None:
            self._world.slow_disk = False

        return quick

    def _leaving(self, _: plans.Strike) -> None:
        return None

    _skew = _leaving

    def _services(self, _: plans.Strike) -> Callable[[], None]:
        self._world.services.bad_odds = 0.5

        def good() -> None:
            self._world.services.bad_odds = 0.0

        return good

    def _twice(self, _: plans.Strike) -> Callable[[], None]:
        self._world.redis.odds = Odds(twice=0.3)
        self._world.postgres.odds = Odds(twice=0.4)

        def once() -> None:
            self._calm_redis()
            self._calm_postgres()

        return once
