"""(c) A shard loses its master: killed, frozen, cut off from all, cut off from its peers, stale.

Each time clients press one key of each shard, and ask with keys without limits besides. What is
asked of the other shards must not notice; what is asked of this one is answered by Redis again
soon after its replica has taken over; in between it is answered or refused, never lost.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.admission.scripts import tag_of
from gateway.redis_link import slot_of
from ops.nodes.crowd import Asked, Want
from ops.nodes.net import Place
from ops.nodes.proofs_limits import LIMIT
from ops.nodes.reckoning import Line, at_most, degraded, exactly, most_in_window, none, reckon, told
from ops.nodes.shards import SHARDS
from ops.nodes.site import Key, Site

_RATE = 24.0
RECOVERED_S = 10.0


@dataclass
class Struck:
    """One fault: when, how long until the replica was master, until all nodes said ok."""

    begun_s: float = 0.0
    moved_s: float = 0.0
    healthy_s: float = 0.0
    began: int = 0
    trouble: str = ""
    degraded: Counter[str] = field(default_factory=Counter)


Strike = Callable[[Site, Place], Awaitable[Callable[[], Awaitable[None]]]]


async def keys_of_shards(site: Site, **limits: int) -> list[Key]:
    """One key for each shard, in the order of the slots."""
    found: dict[int, Key] = {}
    while len(found) < SHARDS:
        key = await site.mint(**limits)
        found.setdefault(shard_of(key), key)
    return [found[shard] for shard in range(SHARDS)]


def shard_of(key: Key) -> int:
    """Which third of the slots a key's subject is in."""
    return slot_of(tag_of(f"k:{key.key_id}")) * SHARDS // 16_384


async def shards(site: Site) -> list[Line]:
    """All five."""
    lines: list[Line] = []
    for shard, (name, strike) in enumerate(
        (("killed", _kill), ("frozen", _freeze), ("cut off from all", _cut)), start=0
    ):
        lines += await _one(site, shard % SHARDS, name, strike)
    lines += await _one(site, 0, "cut off from its peers only", _cut_from_peers)
    return lines + await _stale(site)


@asynccontextmanager
async def pressed(site: Site, keys: list[Key]) -> AsyncIterator[list[Asked]]:
    """These keys are asked for in turn on all nodes; the list is filled at the end."""
    over, begin, part = asyncio.Event(), len(site.crowd.journal), list[Asked]()
    places = [node.place for node in site.nodes]
    turn = itertools.count()
    tasks: set[asyncio.Task[Asked]] = set()

    async def ask() -> None:
        while not over.is_set():
            number = next(turn)
            key = keys[number % len(keys)]
            want = Want(key.text, key.key_id, 1 + number % 9)
            node = places[number // len(keys) % len(places)]
            task = asyncio.create_task(site.crowd.ask(want, node))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(1 / _RATE)
        await asyncio.gather(*tasks)

    asking = asyncio.create_task(ask())
    try:
        yield part
    finally:
        over.set()
        await asking
        known = {key.key_id for key in keys}
        part += [e for e in site.crowd.journal[begin:] if e.want.key_id in known]


async def _one(site: Site, shard: int, name: str, strike: Strike) -> list[Line]:
    await site.redis.whole()
    await site.until_all_ok()
    plain = await keys_of_shards(site)
    slot = slot_of(tag_of(f"k:{plain[shard].key_id}"))
    master = await site.redis.master_of(slot)
    assert master is not None
    struck = Struck(began=len(site.crowd.journal))
    before = await degraded(site)
    async with pressed(site, plain) as part:
        await asyncio.sleep(2)
        struck.begun_s = time.monotonic()
        heal = await strike(site, master)
        await site.redis.until_moved(slot, master)
        struck.moved_s = time.monotonic()
        try:
            await site.until_all_ok(30)
        except TimeoutError as late:
            struck.trouble = str(late)
        struck.healthy_s = time.monotonic()
        await asyncio.sleep(2)
        await heal()
        await site.redis.whole()
        await asyncio.sleep(2)
    struck.degraded = await degraded(site) - before
    return [*_told(name, shard, struck, plain, part), *(await reckon(site, part))]


def _told(name: str, shard: int, struck: Struck, keys: list[Key], part: list[Asked]) -> list[Line]:
    mine = [e for e in part if e.want.key_id == keys[shard].key_id]
    others = [e for e in part if e.want.key_id != keys[shard].key_id]
    refused = Counter(e.status for e in mine if not e.ok)
    wrong = [e for e in others if not e.ok]
    late = [e.ended_s for e in mine if not e.ok]
    odd = sum(count for status, count in refused.items() if status not in (503, 429))
    return [
        told(f"**master {name}**: replica is master after", _s(struck.moved_s - struck.begun_s)),
        at_most(
            "every node is ok by itself, after that",
            RECOVERED_S,
            struck.healthy_s - struck.moved_s,
            " s",
        ),
        none(
            "other shards: requests not answered",
            len(wrong),
            why=[(e.node, e.status, e.body[:160]) for e in wrong[:2]],
        ),
        told("this shard: asked, not answered", f"{len(mine)}, {dict(refused)}"),
        none("this shard: refused otherwise than by 503 or 429", odd),
        told(
            "this shard: last refusal after the takeover",
            _s(max(late, default=struck.moved_s) - struck.moved_s),
        ),
        told("decisions that were counted as degraded", dict(struck.degraded)),
        *([none("nodes in trouble", 1, why=struck.trouble)] if struck.trouble else []),
    ]


def _s(seconds: float) -> str:
    return f"{seconds:.1f} s"


async def _kill(site: Site, master: Place) -> Callable[[], Awaitable[None]]:
    await site.redis.servers[master.name].program.kill()
    return lambda: site.redis.start(master)


async def _freeze(site: Site, master: Place) -> Callable[[], Awaitable[None]]:
    program = site.redis.servers[master.name].program
    program.freeze()

    async def thaw() -> None:
        program.thaw()

    return thaw


async def _cut(site: Site, master: Place) -> Callable[[], Awaitable[None]]:
    await site.net.cut(master, *(p for p in site.redis.places if p != master))
    await site.net.cut(master, *(node.place for node in site.nodes))
    return site.net.heal


async def _cut_from_peers(site: Site, master: Place) -> Callable[[], Awaitable[None]]:
    """The gateways still reach it: it must not be believed for ever."""
    await site.net.cut(master, *(p for p in site.redis.places if p != master))
    return site.net.heal


async def _stale(site: Site) -> list[Line]:
    """The replica has not heard of the last admissions when its master dies: one more L, once."""
    await site.redis.whole()
    key = (await keys_of_shards(site, rpm=LIMIT))[0]
    slot = slot_of(tag_of(f"k:{key.key_id}"))
    master = await site.redis.master_of(slot)
    assert master is not None
    replica = await site.redis.replica_of(master)
    await site.net.cut(master, replica)
    want = Want(key.text, key.key_id, 2)
    places = [node.place for node in site.nodes]
    first = await asyncio.gather(*(site.crowd.ask(want, p) for p in places * 10))
    await site.redis.servers[master.name].program.kill()
    await site.redis.until_moved(slot, master)
    await site.until_all_ok(30)
    counted = await degraded(site)
    second = await asyncio.gather(*(site.crowd.ask(want, p) for p in places * 10))
    await asyncio.sleep(3)
    second += await asyncio.gather(*(site.crowd.ask(want, p) for p in places * 10))
    alone = (await degraded(site) - counted)["local_money"]
    await site.net.heal()
    await site.redis.start(master)
    await site.redis.whole()
    asked, passed = [*first, *second], sum(each.ok for each in second)
    most = most_in_window([each for each in asked if each.ok])
    return [
        exactly("**stale replica**: passed before the kill", LIMIT, sum(e.ok for e in first)),
        told("passed after the takeover, and how many of them without Redis", f"{passed}, {alone}"),
        at_most("of them by what the replica had not heard: one more L", LIMIT, passed - alone),
        at_most("of them without Redis: one L", LIMIT, alone),
        at_most("most in any 60 s", 3 * LIMIT, most),
        *(await reckon(site, asked)),
    ]
