"""(d) The primary of PostgreSQL dies, its standby is promoted, and no acknowledged charge is lost.

Twice: the process is killed; and the whole machine no longer answers, so that nothing refuses a
connection. Between the two the old primary comes back, rewound, and follows.
"""

import asyncio
import time

import asyncpg

from ops.nodes.crowd import Want
from ops.nodes.pair import Server
from ops.nodes.proofs_rolling import failed, load
from ops.nodes.reckoning import Line, at_most, degraded, exactly, none, reckon, told
from ops.nodes.site import Key, Site

_AWAY_S = 3.0
_RECOVERED_S = 10.0


async def primary(site: Site) -> list[Line]:
    """Killed, then unreachable."""
    first, second = site.primary, site.standby
    lines = await _failover(site, "killed", first, second)
    lines += await _back(first, second)
    lines += await _alone(site, second, first)
    lines += await _failover(site, "unreachable", second, first)
    return lines


async def _failover(site: Site, name: str, old: Server, new: Server) -> list[Line]:
    await site.until_all_ok()
    keys = [await site.mint() for _ in range(6)]
    stranger = await site.mint()
    before = await degraded(site)
    async with load(site, keys) as part:
        await asyncio.sleep(2)
        begun_s = time.monotonic()
        if name == "killed":
            await old.kill()
        else:
            await site.net.cut(old.place, new.place, *(node.place for node in site.nodes))
        await asyncio.sleep(_AWAY_S)
        late = await _without(site, stranger)
        # Fence first: whoever promotes must be sure that the old one takes no more writes.
        await old.kill()
        await new.commits_on(None)
        await new.promote()
        promoted_s = time.monotonic()
        await site.until_all_ok(60)
        ok_s = time.monotonic()
        await asyncio.sleep(3)
    await site.net.heal()
    counted = await degraded(site) - before
    return [
        told(f"**primary {name}**: promoted after", f"{promoted_s - begun_s:.1f} s"),
        at_most(
            "all nodes are ok by themselves, after that", _RECOVERED_S, ok_s - promoted_s, " s"
        ),
        failed(part),
        told("a key that no node knew, meanwhile", late),
        told("degraded decisions, by kind", dict(counted)),
        exactly(
            "the new primary is in recovery", False, await new.value("select pg_is_in_recovery()")
        ),
        *(await reckon(site, part)),
    ]


async def _alone(site: Site, stays: Server, goes: Server) -> list[Line]:
    """The synchronous standby dies: commits wait until somebody says that they need not."""
    await site.until_all_ok()
    keys = [await site.mint() for _ in range(6)]
    async with load(site, keys) as part:
        await asyncio.sleep(2)
        await goes.kill()
        await asyncio.sleep(_AWAY_S)
        decided_s = time.monotonic()
        await stays.commits_on(None)
        await site.until_all_ok(60)
        ok_s = time.monotonic()
        await asyncio.sleep(2)
    await goes.start()
    await stays.commits_on(goes.place)
    return [
        at_most(
            "**standby killed**: all nodes are ok by themselves, after commits need it no more",
            _RECOVERED_S,
            ok_s - decided_s,
            " s",
        ),
        failed(part),
        *(await reckon(site, part)),
    ]


async def _without(site: Site, stranger: Key) -> str:
    """A key that no node has seen cannot be looked up; those that are known go on."""
    want = Want(stranger.text, stranger.key_id, 1)
    asked = [await site.crowd.ask(want, node.place) for node in site.nodes]
    texts = {each.body[:110].decode(errors="replace").partition(",")[0] for each in asked}
    return f"{[each.status for each in asked]} {texts}"


async def _back(old: Server, new: Server) -> list[Line]:
    """The old primary follows the new one, and commits wait for it again."""
    begun_s = time.monotonic()
    await old.rewind(new)
    await old.start()
    await new.commits_on(old.place)
    seconds = time.monotonic() - begun_s
    try:
        await old.value("create table must_not_be (n int)")
        refused = 0
    except asyncpg.ReadOnlySQLTransactionError:
        refused = 1
    return [
        told(
            "the old primary is rewound and a synchronous standby again after", f"{seconds:.1f} s"
        ),
        none("writes that it took", 1 - refused),
    ]
