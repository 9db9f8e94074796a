"""What must be so soon after the last fault, and not only when the reaper has come.

Everything here is healed in the end; without these looks a part that does nothing any more would
hide behind the part that heals it.
"""

from typing import Any

from tests.simulation.subjects import demand
from tests.simulation.world import World

# Breakers, beats and what is told again pause for a second at most; a call of PostgreSQL may still
# have its two seconds.
SOON_S = 4.0
# A beat sees that Redis was emptied.
BEAT_S, ASKED_S = 2.8, 1.0


def soon(world: World) -> None:
    """Where no fault has been for a while."""
    living = {
        found.instance: found.meter
        for found in world.slots
        if found.process.alive and found.meter is not None
    }
    if world.calm_s() >= SOON_S:
        _ends_are_told(world, living)
    if world.calm_s() >= BEAT_S:
        for meter in living.values():
            _holds_are_there(world, meter)


def _ends_are_told(world: World, living: dict[str, Any]) -> None:
    """Whoever lives has told Redis what the ledger has: it takes a place and tokens till then."""
    since_ms = (world.now_us() - int(SOON_S * 1_000_000)) // 1_000
    for name, subject in world.watcher.subjects.items():
        for request_id in subject.holds.keys() - world.watcher.settled:
            posted = world.twin.outcomes.get(request_id)
            if posted is None or posted.instance not in living or posted.event[12] > since_ms:
                continue
            demand(False, "what has ended is told soon", (name, request_id, posted))


def _holds_are_there(world: World, meter: Any) -> None:
    """Redis knows of every request that runs, also when it has lost its memory meanwhile."""
    for passage in meter._open.values():
        if world.loop.now_s - passage.started_s < ASKED_S:
            continue
        held = world.watcher.of(passage.subject).holds.get(passage.request_id)
        fine = held is not None and held.tokens >= passage.held_tokens
        demand(fine, "what runs is held", (passage, held))
