"""Finds holds that nobody will settle: past their deadline, or of an instance that is silent.

1. Every instance beats: a key that lives a few seconds.
2. A scan pages through the deadlines of all tags, in one round trip per server.
3. An instance without a beat is dead only when that has been seen for `dead_after_s`: an emptied
   Redis has no beats either, for a moment. One that was declared dead is so at once.

Refuses to release anything: the reaper decides, as only the ledger knows how a request ended.
"""

from collections.abc import Callable, Mapping
from typing import Final

from gateway.admission.ask import Hold
from gateway.admission.replies import hold_of
from gateway.admission.scripts import BEAT_TAG, Scripts, beat_key, deadlines_key
from gateway.redis_link import RedisLink, Reply
from gateway.units import US_PER_MS, US_PER_S

# Looked at per tag and scan; the next scan goes on behind them.
PAGE: Final = 200
MAX_DECLARED: Final = 1_000
DEAD_AFTER_S: Final = 5.0


class Orphans:
    """The scan over one link. `slots`: the cluster slot of every tag."""

    def __init__(
        self,
        link: RedisLink,
        scripts: Scripts,
        slots: Mapping[str, int],
        clock_s: Callable[[], float],
    ) -> None:
        self._link = link
        self._scripts = scripts
        self._slots = slots
        self._clock_s = clock_s
        self._offsets: dict[str, int] = {}
        self._silent_since_s: dict[str, float] = {}
        self._declared: dict[str, None] = {}

    def declare_dead(self, instance: str) -> None:
        """Somebody knows that this instance is dead: nobody need wait for its silence."""
        self._declared[instance] = None
        if len(self._declared) > MAX_DECLARED:
            del self._declared[next(iter(self._declared))]

    async def beat(self, instance: str, ttl_ms: int) -> bool:
        """This instance is alive for `ttl_ms` from now; whether Redis knew that before."""
        words = ("SET", beat_key(instance), "1", "PX", str(ttl_ms), "GET")
        return await self._link.call(self._slots[BEAT_TAG], *words) is not None

    async def find(self, dead_after_s: float) -> list[Hold]:
        """Holds of this page that nobody will settle."""
        named = await self._page()
        if not named:
            return []
        now_ms = await self._now_ms()
        dead = await self._dead({_instance(member) for _, member, _ in named}, dead_after_s)
        return await self._records(
            [
                (tag, member)
                for tag, member, deadline_ms in named
                if deadline_ms <= now_ms or _instance(member) in dead
            ]
        )

    async def _page(self) -> list[tuple[str, str, int]]:
        """(tag, member, deadline ms) of the next page of every tag."""
        asked = []
        for tag, slot in self._slots.items():
            start = self._offsets.get(tag, 0)
            end = start + PAGE - 1
            words = ("ZRANGE", deadlines_key(tag), start, end, "WITHSCORES")
            asked.append((tag, self._link.call(slot, *words)))
        named = []
        for tag, answer in asked:
            flat = await answer
            assert isinstance(flat, list)
            full = len(flat) == 2 * PAGE
            self._offsets[tag] = self._offsets.get(tag, 0) + PAGE if full else 0
            for place in range(0, len(flat), 2):
                named.append((tag, flat[place].decode(), int(float(flat[place + 1]))))
        return named

    async def _now_ms(self) -> int:
        clock = await self._link.call(self._slots[BEAT_TAG], "TIME")
        assert isinstance(clock, list)
        return (int(clock[0]) * US_PER_S + int(clock[1])) // US_PER_MS

    async def _dead(self, instances: set[str], dead_after_s: float) -> set[str]:
        """Those that have been without a beat for long enough, as seen from here."""
        slot = self._slots[BEAT_TAG]
        asked = {name: self._link.call(slot, "EXISTS", beat_key(name)) for name in instances}
        beats: dict[str, Reply] = {name: await answer for name, answer in asked.items()}
        now_s = self._clock_s()
        self._silent_since_s = {
            name: self._silent_since_s.get(name, now_s) for name, beat in beats.items() if beat == 0
        }
        return {
            name
            for name, since_s in self._silent_since_s.items()
            if now_s - since_s >= dead_after_s
        } | (instances & self._declared.keys())

    async def _records(self, named: list[tuple[str, str]]) -> list[Hold]:
        asked = []
        for tag, member in named:
            _, subject, request_id = member.split(" ")
            command = self._scripts.orphan(tag, subject, request_id, member)
            asked.append((member, self._link.write(self._slots[tag], command)))
        holds = []
        for member, answer in asked:
            packed = await answer
            if isinstance(packed, bytes):
                holds.append(hold_of(member, packed))
        return holds


def _instance(member: str) -> str:
    return member.partition(" ")[0]
