"""(f) One node cut off from Redis, from PostgreSQL, from both. (g) One node dies with its spool."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from ops.nodes.crowd import Asked, Want, fetch
from ops.nodes.net import Place
from ops.nodes.proofs_rolling import mixed
from ops.nodes.proofs_shards import pressed
from ops.nodes.reckoning import (
    Line,
    at_most,
    at_rest,
    degraded,
    exactly,
    holds,
    none,
    posted,
    reckon,
    told,
)
from ops.nodes.site import Key, Node, Site

_CUT_S = 12.0
_RECOVERED_S = 10.0
_LIMIT = 12


async def cuts(site: Site) -> list[Line]:
    """The rows of section 9 for one node, while the other two go on."""
    redis, postgres = site.redis.places, [site.primary.place, site.standby.place]
    lines: list[Line] = []
    for name, away, ready in (
        ("Redis", redis, 200),
        ("PostgreSQL", postgres, 200),
        ("both", [*redis, *postgres], 503),
    ):
        lines += await _one(site, name, away, ready)
    return lines


async def _one(site: Site, name: str, away: Sequence[Place], ready: int) -> list[Line]:
    await site.until_all_ok()
    cut_off = site.nodes[0]
    keys = [await site.mint() for _ in range(3)]
    fresh = await site.mint()
    before = await degraded(site)
    begin = len(site.crowd.journal)
    async with pressed(site, keys) as part:
        await asyncio.sleep(2)
        begun_s = time.monotonic()
        await site.net.cut(cut_off.place, *away)
        seen = await _look(site, cut_off, fresh)
        shared = await _shared(site) if name == "Redis" else []
        await site.net.heal()
        healed_s = time.monotonic()
        await site.until_all_ok(60)
        ok_s = time.monotonic()
        await asyncio.sleep(2)
    counted = await degraded(site) - before
    mine = [e for e in part if e.node == cut_off.place.name]
    within = [e for e in mine if begun_s + 3 < e.began_s < healed_s]
    elsewhere = [e for e in part if e.node != cut_off.place.name and not e.ok]
    everything = [e for e in site.crowd.journal[begin:] if e.want.key_id is not None]
    return [
        exactly(f"**gateway1 without {name}**: /ready", ready, seen.ready),
        told("/ready says", seen.ready_text[:300]),
        none(
            "requests to the other nodes that were not answered",
            len(elsewhere),
            why=[(e.node, e.status, e.body[:150]) for e in elsewhere[:2]],
        ),
        told("gateway1, a key that it knows (after 3 s)", _statuses(within)),
        told("gateway1, a key that it never saw", _statuses(seen.unknown)),
        told("gateway1, without a key", _statuses(seen.keyless)),
        told("degraded decisions, by kind", dict(counted)),
        at_most("all nodes are ok again, after the cut", _RECOVERED_S, ok_s - healed_s, " s"),
        none(
            "refused otherwise than by 503 or 429",
            sum(e.status not in (200, 429, 503) for e in [*mine, *seen.unknown, *seen.keyless]),
            why=Counter((e.status, e.error) for e in mine).most_common(4),
        ),
        *shared,
        *(await reckon(site, everything)),
    ]


async def _shared(site: Site) -> list[Line]:
    """A limit that two nodes share in Redis, while the third has only its part of it."""
    key = await site.mint(rpm=_LIMIT)
    want = Want(key.text, key.key_id)
    passed = Counter[str]()
    for _ in range(2):
        asks = [site.crowd.ask(want, node.place) for node in site.nodes for _ in range(30)]
        passed.update(each.node for each in await asyncio.gather(*asks) if each.ok)
    alone = passed[site.nodes[0].place.name]
    return [
        exactly(
            f"of 120 pass a limit of {_LIMIT} on the two nodes with Redis",
            _LIMIT,
            passed.total() - alone,
        ),
        at_most("of 60 on the one without it: its part, a third", _LIMIT / len(site.nodes), alone),
    ]


class Seen:
    """What was seen of a node that is cut off."""

    def __init__(self) -> None:
        self.ready = 0
        self.ready_text = ""
        self.unknown: list[Asked] = []
        self.keyless: list[Asked] = []


async def _look(site: Site, node: Node, fresh: Key) -> Seen:
    seen, end_s = Seen(), time.monotonic() + _CUT_S
    number = 0
    while time.monotonic() < end_s:
        number += 1
        keyless = Want(None, client=f"198.51.100.{number % 200}")
        unknown = Want(fresh.text, fresh.key_id)
        for want, found in ((keyless, seen.keyless), (unknown, seen.unknown)):
            asked = await site.crowd.ask(want, node.place)
            # What was asked before the node knew is neither.
            if time.monotonic() > end_s - _CUT_S + 3:
                found.append(asked)
        await asyncio.sleep(0.3)
    seen.ready, seen.ready_text = await fetch(node.place, "/ready", within_s=5.0)
    return seen


def _statuses(asked: list[Asked]) -> str:
    counts = Counter(each.status for each in asked)
    texts = {e.status: e.body[:110].decode(errors="replace") for e in asked if not e.ok}
    return f"{dict(counts)} {texts or ''}".strip()


async def died(site: Site) -> list[Line]:
    """kill -9 of a whole node while PostgreSQL is away from it: its spool is on its disk alone."""
    victim, *_ = site.nodes
    keys = [await site.mint() for _ in range(3)]
    begin = len(site.crowd.journal)
    want = mixed(keys)
    # Warm on the node, then without PostgreSQL: what it decides from here on is in its spool only.
    for number in range(30):
        await site.crowd.ask(want(number), victim.place)
    await site.net.cut(victim.place, site.primary.place, site.standby.place)
    await asyncio.gather(*(site.crowd.ask(want(n), victim.place) for n in range(200)))
    slow = [
        asyncio.create_task(
            site.crowd.ask(Want(keys[0].text, keys[0].key_id, wait_ms=8_000), victim.place)
        )
        for _ in range(10)
    ]
    await asyncio.sleep(1)
    await site.kill_node(victim)
    begun_s = time.monotonic()
    await asyncio.gather(*slow)
    part = site.crowd.journal[begin:]
    ids = [key.key_id for key in keys]
    known = await posted(site, ids)
    whole = [each for each in part if each.ok and each.request_id]
    missing = [each for each in whole if each.request_id not in known]
    spooled = sum(path.stat().st_size for path in victim.folder.glob("spool/*/*"))
    await asyncio.sleep(8)
    held = await holds(site)
    await site.net.heal()
    await site.start_node(victim)
    await at_rest(site)
    ended_s = time.monotonic()
    return [
        told(
            "whole answers of the node, of which only its disk knew",
            f"{len(whole)}, {len(missing)} ({spooled} bytes of spool)",
        ),
        told("open at that moment", len(slow)),
        told("tags with holds that wait for its disk, 8 s later", held),
        told("spools on its disk after it is back (its own)", len(victim.spools)),
        told(
            "from the kill to no hold left, with 8 s of waiting and a start",
            f"{ended_s - begun_s:.1f} s",
        ),
        *(await reckon(site, part, killed=True)),
    ]
