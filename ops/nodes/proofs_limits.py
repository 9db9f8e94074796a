"""(a) Limits stay exact over nodes. (b) What belongs together is in one slot."""

import asyncio
import time
from collections import Counter

from gateway.admission.gate import Gate
from gateway.admission.scripts import tag_of
from gateway.redis_link import RedisLink, slot_of
from ops.nodes.crowd import Asked, Want
from ops.nodes.monitor import Monitor
from ops.nodes.proofs_rolling import load
from ops.nodes.reckoning import Line, at_rest, exactly, most_in_window, none, reckon, told
from ops.nodes.shards import talk
from ops.nodes.site import Key, Site
from ops.nodes.waiting import until

SUBJECTS = 4
AT_ONCE = 150
LIMIT = 10
_TPM = 1_000
_GRANTED = 2_000
_AT_A_TIME = 90
_ROUNDS_S = 45.0
_TRICKLE = 8.0
_PRESSED_S = 75.0


async def limits(site: Site) -> list[Line]:
    """Requests, tokens and the balance, each asked for on all nodes at the same time."""
    return [
        *(await _requests(site)),
        *(await _pressed(site)),
        *(await _tokens(site)),
        *(await _balance(site)),
    ]


async def _burst(site: Site, want: Want, count: int = AT_ONCE) -> list[Asked]:
    nodes = [node.place for node in site.nodes]
    return list(
        await asyncio.gather(
            *(site.crowd.ask(want, nodes[number % len(nodes)]) for number in range(count))
        )
    )


async def _requests(site: Site) -> list[Line]:
    keys = [await site.mint(rpm=LIMIT) for _ in range(SUBJECTS)]
    bursts = await asyncio.gather(*(_burst(site, _of(key, wait_ms=300)) for key in keys))
    by_address = await _burst(site, Want(None, client="203.0.113.9"))
    asked = [each for burst in bursts for each in burst]
    passed = [sum(each.ok for each in burst) for burst in bursts]
    statuses = Counter(each.status for each in asked) + Counter(e.status for e in by_address)
    nodes = {each.node for each in asked if each.ok}
    return [
        exactly(
            f"of {AT_ONCE} at once on 3 nodes pass a limit of {LIMIT}, {SUBJECTS} keys",
            [LIMIT] * SUBJECTS,
            passed,
        ),
        exactly("the same without a key (20 for an address)", 20, sum(e.ok for e in by_address)),
        none(
            "answers that are neither 200 nor 429",
            sum(statuses.values()) - statuses[200] - statuses[429],
        ),
        told("nodes that let some pass", len(nodes)),
        *(await reckon(site, asked)),
    ]


async def _pressed(site: Site) -> list[Line]:
    """One key under constant pressure on all nodes for longer than a window."""
    key, over = await site.mint(rpm=LIMIT), asyncio.Event()
    begin = len(site.crowd.journal)
    asking = asyncio.create_task(site.crowd.steady(lambda _: _of(key), _TRICKLE, over))
    await asyncio.sleep(_PRESSED_S)
    over.set()
    await asking
    part = [e for e in site.crowd.journal[begin:] if e.want.key_id == key.key_id]
    passed = [each for each in part if each.ok]
    times = sorted(each.ended_s for each in passed)
    # The second ten may come as soon as the first ten are 60 s old, and not earlier.
    gap_s = times[LIMIT] - times[0] if len(times) > LIMIT else 0.0
    return [
        told(f"{_PRESSED_S:.0f} s of {_TRICKLE:.0f} requests/s on 3 nodes: asked", len(part)),
        exactly(f"most in any 60 s at a limit of {LIMIT}", LIMIT, most_in_window(passed)),
        exactly("passed in all", 2 * LIMIT, len(passed)),
        told("the 11th came after the 1st by", f"{gap_s:.2f} s"),
    ]


async def _until_none(site: Site, want: Want) -> list[Asked]:
    """Ask on all nodes at once, again and again, until nothing passes; in less than a window."""
    used: list[Asked] = []
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < _ROUNDS_S:
        burst = await _burst(site, want, _AT_A_TIME)
        used += burst
        if not any(each.ok for each in burst):
            break
        # What was held too much is free when it is settled; and a node answers a refusal from
        # memory for a second.
        await at_rest(site)
        await asyncio.sleep(1.2)
    return used


async def _tokens(site: Site) -> list[Line]:
    """Until nothing passes any more: what was used, and what one more would have needed."""
    key = await site.mint(tpm=_TPM)
    text = "one two three"
    held = await _held(site, text)
    used = await _until_none(site, _of(key, tokens=5, text=text))
    tokens = sum(each.tokens or 0 for each in used if each.ok)
    return [
        told("requests of 5 tokens on 3 nodes until none passes", len(used)),
        _just_below(f"tokens that pass a limit of {_TPM} in 60 s", _TPM, tokens, held),
        *(await reckon(site, used)),
    ]


async def _balance(site: Site) -> list[Line]:
    key = await site.mint(_GRANTED)
    text = "one two three four"
    held = await _held(site, text)
    used = await _until_none(site, _of(key, tokens=7, text=text))
    row = await _left(site, key)
    tokens = sum(each.tokens or 0 for each in used if each.ok)
    return [
        told("requests of 7 tokens on 3 nodes until none passes", len(used)),
        _just_below(f"tokens that a balance of {_GRANTED} buys", _GRANTED, tokens, held),
        *(await reckon(site, used)),
        exactly("what is left by the ledger", _GRANTED - tokens, row),
    ]


async def _held(site: Site, text: str) -> int:
    """What is set aside for such a request while it runs: an upper bound of its tokens."""
    key = await site.mint()
    asking = asyncio.create_task(site.crowd.ask(_of(key, wait_ms=3_000, text=text)))
    link = RedisLink(site.redis.url, deadline_ms=3_000)
    gate = Gate(link)
    try:
        await link.open()

        async def held() -> bool:
            return (await gate.holds(f"k:{key.key_id}"))[0] > 0

        await until(held, 3, 0.05)
        return (await gate.holds(f"k:{key.key_id}"))[0]
    finally:
        await link.close()
        await asking


def _just_below(what: str, limit: int, found: int, held: int) -> Line:
    """Never more; and less only by what one more request would have to hold."""
    asked = f"{limit - held + 1} to {limit} (one holds {held})"
    return Line(what, asked, str(found), limit - held < found <= limit)


async def _left(site: Site, key: Key) -> int:
    await at_rest(site)
    row = await site.book.load_balance(key.key_id)
    assert row is not None
    return row.trial


def _of(key: Key, *, tokens: int = 3, wait_ms: int = 0, text: str = "x") -> Want:
    return Want(key.text, key.key_id, tokens, wait_ms, text=text)


async def slots(site: Site) -> list[Line]:
    """Watch every command of all masters under load, then look at every key."""
    keys = [await site.mint() for _ in range(40)]
    masters = sorted({m.ip for m in await site.redis.members() if m.is_master})
    places = [place for place in site.redis.places if place.ip in masters]
    before = {place: await _crossed(site, place) for place in places}
    monitors = [Monitor(place) for place in places]
    watching = [asyncio.create_task(monitor.watch()) for monitor in monitors]
    begun_s = time.monotonic()
    async with load(site, keys, 40.0) as part:
        for number in range(40):
            await site.crowd.ask(Want(None, client=f"203.0.113.{number}"))
        await asyncio.sleep(5)
    seconds = time.monotonic() - begun_s
    for task in watching:
        task.cancel()
    await asyncio.wait(watching)
    lines = [await _keys(site)]
    commands: Counter[str] = sum((m.commands for m in monitors), Counter())
    crossing = [text for monitor in monitors for text in monitor.crossing]
    untagged = [text for monitor in monitors for text in monitor.untagged]
    after = {place: await _crossed(site, place) for place in places}
    return [
        *lines,
        told(
            f"commands with keys seen by MONITOR in {seconds:.0f} s, {len(part)} requests",
            f"{commands.total()}: {dict(commands.most_common(8))}",
        ),
        none("of them with keys of different slots", len(crossing), why=crossing[:2]),
        none("of them with a key without a tag", len(untagged), why=untagged[:2]),
        exactly(
            "CROSSSLOT and non-local-key errors of all masters (INFO errorstats)",
            list(before.values()),
            list(after.values()),
        ),
        none("such errors since the servers started", sum(after.values())),
    ]


async def _keys(site: Site) -> Line:
    """Every key of all masters: its tag is that of its subject, its slot is where it is."""
    count, wrong, by_server = 0, [], Counter[str]()
    for member in await site.redis.members():
        if not member.is_master:
            continue
        place = next(p for p in site.redis.places if p.ip == member.ip)
        for name in await talk(place, "KEYS", "*"):
            count += 1
            by_server[place.name] += 1
            tag, _, rest = name.partition("}")
            kind, _, subject = rest.partition(":")
            if kind in ("r", "t"):
                subject = subject.partition(":")[2]
            slot = int(await talk(place, "CLUSTER", "KEYSLOT", name))
            here = any(first <= slot <= last for first, last in member.slots)
            tagged = kind in ("d", "beat", "written") or tag + "}" == tag_of(subject)
            if not here or not tagged or slot != slot_of(name):
                wrong.append(name)
    return none(
        f"of {count} keys ({dict(by_server)}) not in the slot of their subject",
        len(wrong),
        why=wrong[:3],
    )


async def _crossed(site: Site, place: object) -> int:
    """Errors that say that a command crossed slots."""
    found = next(each for each in site.redis.places if each is place)
    text = str(await talk(found, "INFO", "errorstats"))
    count = 0
    for line in text.splitlines():
        name, _, value = line.partition(":count=")
        if name in ("errorstat_CROSSSLOT",):
            count += int(value)
    return count
