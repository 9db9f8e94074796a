"""The journal of the clients against the ledger, and the lines of the report."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.admission.gate import Gate
from gateway.errors import PostgresUnavailable
from gateway.ledger.reconcile import Reconciler
from gateway.redis_link import RedisLink
from gateway.sql import load_queries
from ops.nodes.crowd import BROKEN, Asked, fetch
from ops.nodes.site import Site
from ops.nodes.waiting import until

_POSTED_S = 60.0
_WINDOW_S = 60.0
# As tests.crash.house asks: what was given back stands beside the charge.
_OUTCOMES = """
select o.request_id::text, o.kind, o.cost_tokens, o.key_id,
    coalesce((select sum(t.tokens) from transfer t where t.kind = 'undelivered'
        and t.ref in (o.request_id || '/trial', o.request_id || '/paid')), 0)::bigint as back
from outcome o where o.key_id = any($1)
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report; `right` None: only told."""

    what: str
    asked: str
    found: str
    right: bool | None = None


def none(what: str, count: int, *, why: object = "") -> Line:
    """Something that must not be."""
    return Line(what, "0", f"{count} {why}".strip() if count else "0", count == 0)


def exactly(what: str, asked: object, found: object) -> Line:
    """Something that must be this."""
    return Line(what, str(asked), str(found), asked == found)


def at_most(what: str, most: float, found: float, unit: str = "") -> Line:
    """Something that has a bound."""
    shown = f"{found:.1f}" if isinstance(found, float) else str(found)
    return Line(what, f"<= {most}{unit}", f"{shown}{unit}", found <= most)


def told(what: str, found: object) -> Line:
    """Something worth knowing."""
    return Line(what, "-", str(found))


@dataclass(frozen=True, slots=True)
class Posted:
    """One request as the ledger has it."""

    kind: str
    cost: int
    key_id: int
    back: int


async def posted(site: Site, key_ids: Sequence[int]) -> dict[str, Posted]:
    """What the ledger has of these keys."""
    rows = await site.postgres.rows(_OUTCOMES, list(key_ids), deadline_ms=30_000)
    return {row[0]: Posted(row[1], row[2], row[3], row[4]) for row in rows}


async def reckon(site: Site, part: Sequence[Asked], *, killed: bool = False) -> list[Line]:
    """Every whole answer is charged once, as it was told; nothing else is. `killed`: a node was.

    A killed node gives back what it had delivered in its last 20 ms.
    """
    asked = [each for each in part if each.want.key_id is not None]
    key_ids = sorted({each.want.key_id for each in asked if each.want.key_id is not None})
    answered = {each.request_id: each for each in asked if each.ok and each.request_id}
    found = await _when_posted(site, key_ids, set(answered))
    kept = {name for name, each in found.items() if each.cost > each.back}
    seen = {each.request_id for each in asked if each.request_id}
    unnamed = sum(each.status == BROKEN and each.request_id is None for each in asked)
    told_of = {name: found[name] for name in answered if name in found}
    back = [name for name, each in told_of.items() if each.back]
    own = {name for name in kept if name in seen}
    lines = [
        told("requests by status (0: no whole answer)", _statuses(asked)),
        none("whole answers that the ledger does not have", len(set(answered) - set(found))),
        none(
            "whole answers charged otherwise than told",
            sum(
                each.kind != "charge" or each.cost != answered[name].tokens
                for name, each in told_of.items()
            ),
        ),
        none("charged and kept without a whole answer", len(own - set(answered))),
        at_most("charged, and no client knows the request", unnamed, len(kept - seen)),
    ]
    if killed:
        lines.append(told("given back (delivered in the last 20 ms of the killed)", len(back)))
    else:
        lines.append(none("whole answers given back", len(back)))
    return lines


def _statuses(asked: Sequence[Asked]) -> str:
    counts = Counter(each.status for each in asked)
    return f"{len(asked)}: " + ", ".join(f"{n} x {s}" for s, n in sorted(counts.items()))


async def _when_posted(site: Site, key_ids: Sequence[int], names: set[str]) -> dict[str, Posted]:
    """The ledger once it has all these requests; as it is when that takes too long."""
    found: dict[str, Posted] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(_POSTED_S):
            while True:
                with suppress(PostgresUnavailable):
                    found = await posted(site, key_ids)
                    if names <= set(found):
                        # What is decided but not delivered is given back a moment later.
                        await asyncio.sleep(1.0)
                        return await posted(site, key_ids)
                await asyncio.sleep(0.2)
    return found


def most_in_window(passed: Sequence[Asked], weight: dict[int, int] | None = None) -> int:
    """The most that passed in any 60 s for certain: begun and ended within it.

    `weight`: what each counts, by its place; else 1.
    """
    ends = sorted(
        (each.ended_s, each.began_s, weight[n] if weight else 1) for n, each in enumerate(passed)
    )
    best = 0
    for ended_s, _, _ in ends:
        inside = sum(w for e, b, w in ends if e <= ended_s and b > ended_s - _WINDOW_S)
        best = max(best, inside)
    return best


async def degraded(site: Site) -> Counter[str]:
    """Degraded decisions by kind, of all nodes that answer."""
    found: Counter[str] = Counter()
    for node in site.nodes:
        _, text = await fetch(node.place, "/metrics")
        for line in text.splitlines():
            if line.startswith("sluice_degraded") and "{" in line:
                name = line.partition('"')[2].partition('"')[0]
                found[name] += int(float(line.rpartition(" ")[2]))
    return found


async def at_rest(site: Site, within_s: float = 60.0) -> float:
    """Until Redis has no hold; the seconds that took."""
    begun_s = time.monotonic()

    async def released() -> bool:
        return not await holds(site)

    await until(released, within_s, 0.2)
    return time.monotonic() - begun_s


async def holds(site: Site) -> int:
    """Every hold that Redis has, whoever's."""
    link = RedisLink(site.redis.url, deadline_ms=3_000)
    try:
        await link.open()
        count = 0
        for node in link.masters:
            names = await link.call_at(node, "KEYS", "{s*}d")
            assert isinstance(names, list)
            count += len(names)
        return count
    finally:
        await link.close()


async def proof(site: Site) -> dict[str, int]:
    """What the reconciliation finds, the copies in Redis included."""
    reconciler = Reconciler(site.postgres, load_queries())
    checks = await reconciler.run()
    link = RedisLink(site.redis.url, deadline_ms=3_000)
    gate = Gate(link)
    try:
        await link.open()
        checks.append(await reconciler.compare_copies(await gate.copies()))
    finally:
        await link.close()
    return {check.name: check.differences for check in checks if check.differences}
