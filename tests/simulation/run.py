"""Runs a seed from beginning to rest, and says what broke."""

from dataclasses import dataclass
from typing import Any

from tests.simulation import plan as plans
from tests.simulation.clockwork import OUTSIDE, START_S
from tests.simulation.promptness import soon
from tests.simulation.reckoning import at_any_time, at_rest
from tests.simulation.redis_store import Talk
from tests.simulation.seams import Holder
from tests.simulation.watcher import Broken, demand
from tests.simulation.world import World

_LOOK_EVERY_S = 1.0
_CLOSE_LOOK_S = 0.1
_REST_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Run:
    """How a seed went: what broke ("" nothing), the hash of its trace, how much happened."""

    seed: int
    broken: str
    digest: str
    tail: tuple[str, ...]
    steps: int
    decisions: int
    virtual_s: float

    def told(self) -> str:
        """For a person: what broke, how to see it again, and what came before it."""
        kinds = plans.draw(self.seed).kinds
        return "\n".join(
            (
                f"seed {self.seed} breaks: {self.broken}",
                f"faults of this seed: {', '.join(kinds) or 'none'}",
                f"again: make simulate SIMULATION_SEED={self.seed}",
                *self.tail,
            )
        )


def run_seed(seed: int, talk: Talk, holder: Holder) -> Run:
    """One seed; never raises for what it finds."""
    world = World(plans.draw(seed), talk)
    holder.now = world
    broken = ""
    try:
        world.loop.run_until_complete(_play(world))
        demand(not world.loop.accidents, "no accident", world.loop.accidents)
    except Broken as found:
        broken = str(found)
    except Exception as error:  # noqa: BLE001
        # Whatever a run ends with is what its seed is told to have found.
        broken = f"{type(error).__name__}: {error}"
    finally:
        world.loop.bury(world.processes)
        holder.now = None
        loop = world.loop
        loop.close()
    return Run(
        seed,
        broken,
        loop.trace.digest(),
        tuple(loop.trace.tail),
        loop.steps,
        world.watcher.decisions,
        loop.now_s - START_S,
    )


async def _play(world: World) -> None:
    plan, loop = world.plan, world.loop
    for place in range(plan.gateways):
        world.start_gateway(place)
    for node in world.nodes:
        world.start_worker(node)
    work: list[tuple[float, Any, Any]] = [(each.at_s, world.ask, each) for each in plan.asks]
    work += [(each.at_s, world.faults.strike, each) for each in plan.strikes]
    work += [(each.at_s, world.do, each) for each in plan.deeds]
    for at_s, what, about in work:
        loop.call_at(START_S + at_s, what, about, context=OUTSIDE)
    last_s = START_S + max(
        [plans.ACTIVE_S, *(s.at_s + s.for_s for s in plan.strikes), *(a.at_s for a in plan.asks)]
    )
    while loop.now_s < last_s:
        look_s = _CLOSE_LOOK_S if world.journal_waits() else _LOOK_EVERY_S
        await _pause(world, min(look_s, last_s - loop.now_s + 0.001))
        at_any_time(world)
        soon(world)
    await _rest(world)


async def _rest(world: World) -> None:
    """Until nothing is left to do, and not for ever."""
    end_s = world.loop.now_s + plans.MOST_REST_S
    while True:
        await _pause(world, _CLOSE_LOOK_S if world.journal_waits() else _REST_EVERY_S)
        soon(world)
        if world.journal_waits():
            at_any_time(world)
        demand(not world.loop.accidents, "no accident", world.loop.accidents)
        try:
            at_rest(world)
        except Broken:
            if world.loop.now_s >= end_s:
                raise
        else:
            return


async def _pause(world: World, for_s: float) -> None:
    done = world.loop.create_future()
    world.loop.call_later(for_s, done.set_result, None, context=OUTSIDE)
    await done
    if world.loop.broken is not None:
        raise world.loop.broken
