"""What must be true, along the way and when all is at rest: money, numbers, holds, windows."""

from collections import Counter
from typing import Any

from tests.simulation.clients import Journal
from tests.simulation.watcher import demand
from tests.simulation.world import World

# A mark of delivery waits for company (spool.MARK_WITHIN_S), then for the disk.
MARKED_S = 0.1
SLOW_MARKED_S = 2.0


def at_any_time(world: World) -> None:
    """What may be looked at whenever."""
    for key in world.twin.keys.values():
        demand(key.trial >= 0 and key.paid >= 0, "no balance below zero", key)
    _books_add_up(world)
    _local_windows(world)
    for name, subject in world.watcher.subjects.items():
        if subject.copy is not None:
            key = world.twin.keys[int(name[2:])]
            demand(subject.copy.version <= key.version, "no copy from the future", name)
    for inst, each in world.twin.instances.items():
        _numbers(world, inst, each)
    if world.journal_waits():
        _statuses(world)


def _statuses(world: World) -> None:
    """Whom Redis lets in and whom not, as it stands there now."""
    for at, found in world.talk.hashes("*}b:*").items():
        copy = world.watcher.of(at.partition("}b:")[2]).copy
        fine = copy is not None and copy.status == found["status"]
        demand(fine, "a tombstone stays until the ledger has it", (at, found, copy))


def at_rest(world: World) -> None:
    """After the last fault, when everything has had its time."""
    at_any_time(world)
    for name, subject in world.watcher.subjects.items():
        demand(not subject.holds, "all holds are gone", (name, subject.holds))
    demand(not world.twin.outbox, "the outbox is empty", world.twin.outbox)
    demand(not world.twin.contradictions, "no contradiction", world.twin.contradictions)
    for disk in world.disks.values():
        demand("/spool/refused.jsonl" not in disk.files, "no outcome is set aside")
    for found in world.slots:
        if found.meter is not None:
            demand(found.meter.is_idle, "every request is decided", found.instance)
            demand(found.spool.depth == 0, "the spool is empty", found.instance)
            demand(not found.spool._outstanding, "nothing is owed", found.instance)
    for found in world.gateways:
        if not found.process.alive:
            paths = [path for disk in world.disks.values() for path in disk.files]
            gone = not any(f"/spool/{found.instance}/" in path for path in paths)
            demand(gone, "dead spools are adopted", found.instance)
    for disk in world.disks.values():
        wanted = [path for path in disk.files if path.endswith((".revoke", ".lift"))]
        demand(not wanted, "the journal of revocations is empty", wanted)
    _never_overspent(world)
    _admitted_end(world)
    for journal in world.journals:
        _client(world, journal)
    _charges(world)
    world.watcher.compare(world.talk.hashes("*}h:*"))
    _copies(world)


def _never_overspent(world: World) -> None:
    """More was charged than there was only where an answer cost more than was held for it."""
    if {k for k in world.plan.kinds if k.startswith("redis")}:
        return
    above: Counter[int] = Counter()
    short: Counter[int] = Counter()
    for posted in world.twin.outcomes.values():
        if posted.key_id is not None:
            above[posted.key_id] += max(0, posted.cost - posted.event[6])
            short[posted.key_id] += posted.shortfall
    for key_id, tokens in short.items():
        fine = tokens <= above[key_id] or world.twin.keys[key_id].status == "revoked"
        demand(fine, "no token is spent twice", (key_id, tokens, above[key_id]))


def _books_add_up(world: World) -> None:
    """Balances are what came, less what was charged, plus what was given back."""
    ought: Counter[int] = Counter()
    for _, _, tokens, debit, credit in world.twin.transfers:
        if debit is not None:
            ought[debit] -= tokens
        if credit is not None:
            ought[credit] += tokens
    for posted in world.twin.outcomes.values():
        if posted.key_id is not None:
            ought[posted.key_id] -= posted.from_trial + posted.from_paid
        demand(
            posted.cost == posted.from_trial + posted.from_paid + posted.shortfall,
            "a charge is the sum of its parts",
            posted,
        )
    for key in world.twin.keys.values():
        demand(key.trial + key.paid == ought[key.key_id], "balances add up", key)


def _numbers(world: World, name: str, said: Any) -> None:
    """Each admission number ends once; below the mark none is missing."""
    numbers = [o.number for o in world.twin.outcomes.values() if o.instance == name]
    twice = [n for n, count in Counter(numbers).items() if count > 1]
    demand(not twice, "an admission number ends once", (name, twice))
    missing = set(range(1, said.complete_below)) - set(numbers) - said.unused
    demand(not missing, "no admission number is lost", (name, missing, said))


def _local_windows(world: World) -> None:
    """What each process admits by itself stays within its part in any 60 s; all within L."""
    seen: dict[tuple[str, str, str], list[tuple[float, int]]] = {}
    for at_s, ask, limit in world.local:
        times = seen.setdefault((ask.instance, ask.subject, ask.product), [])
        times.append((at_s, limit))
        recent = [most for each_s, most in times if each_s > at_s - 60.0]
        demand(len(recent) <= max(1, *recent, limit), "the local window", (ask, recent))
    if {"kill_gateway", "power"} & set(world.plan.kinds):
        return
    together: dict[tuple[str, str], list[float]] = {}
    for at_s, ask, _ in world.local:
        if at_s < world.counted_s:
            continue
        found = together.setdefault((ask.subject, ask.product), [])
        found.append(at_s)
        most = max(ask.limits_key.rpm, ask.limits_premium.rpm if ask.keyed else 0, 7)
        recent_s = sum(each_s > at_s - 60.0 for each_s in found)
        demand(recent_s <= max(most, world.plan.gateways), "local windows together", (ask, found))


def _copies(world: World) -> None:
    there = world.talk.hashes("*}b:*")
    for name, subject in world.watcher.subjects.items():
        if subject.copy is None:
            continue
        key = world.twin.keys[int(name[2:])]
        found = next(fields for at, fields in there.items() if at.endswith(f"}}b:{name}"))
        told = (int(found["version"]), int(found["trial"]), int(found["paid"]), found["status"])
        truth = (key.version, key.trial, key.paid, key.status)
        fine = told == truth and found["tier"] == key.tier
        demand(fine, "Redis' copy is the ledger's row", (name, told, truth))


def _admitted_end(world: World) -> None:
    """Whatever Redis has admitted has an outcome in the ledger, if anybody can know of it."""
    ids = Counter(ask.request_id for _, ask in world.watcher.admitted)
    lost = {name for name, (_, how) in world.killed_s.items() if how}
    for _, ask in world.watcher.admitted:
        if ask.request_id in world.twin.outcomes:
            continue
        dead = any(g.instance == ask.instance and g.process.name in lost for g in world.gateways)
        # Without a key, or with Redis' memory lost too, nothing tells of what a dead process had.
        told = ask.keyed and world.store.incarnation == 1 and "redis_old" not in world.plan.kinds
        demand(dead and not told, "an admitted request ends", ask)
    again = [i for i, count in ids.items() if count > 1]
    restarted = world.store.incarnation > 1
    demand(
        restarted or not again or "twice" in world.plan.kinds or _late(world),
        "nothing is admitted twice",
        again,
    )


def _late(world: World) -> bool:
    """Whether a command may have come a second time, or after its request had ended."""
    return bool({"redis_net", "redis_cut_off", "redis_freeze"} & set(world.plan.kinds))


def _client(world: World, journal: Journal) -> None:
    """What a client has had is charged as told; what it has not had is not."""
    posted = world.twin.outcomes.get(journal.request_id)
    given_back = world.twin.given_back.get(journal.request_id, 0)
    taken = 0 if posted is None else posted.from_trial + posted.from_paid
    if journal.whole_s is None or journal.status != 200:
        if journal.left_s is None:
            demand(taken == given_back, "no failure is charged", (journal, posted, given_back))
        return
    demand(posted is not None or journal.key_id is None, "what was delivered is posted", journal)
    if journal.key_id is None or posted is None:
        return
    told = world.services.told.get(journal.request_id)
    demand(told is not None, "what was answered was asked", journal)
    assert told is not None
    if journal.rule not in ("produced", "capped", "failed") and told.usages:
        ought = 0 if b'"error"' in journal.body else told.usages[-1]
        demand(posted.cost == ought, "charged as reported", (journal, posted, told))
    if told.fate in ("void", "error") and posted.event[7] != "balance_ended":
        demand(posted.cost == 0, "no void is charged", (journal, posted))
    if journal.tokens is not None:
        demand(posted.cost == journal.tokens, "charged as told", (journal, posted))
    if given_back:
        demand(_may_be_given_back(world, journal), "what was delivered is kept", (journal, posted))


def _may_be_given_back(world: World, journal: Journal) -> bool:
    """Only where the process died before its mark of delivery was on the disk."""
    known = world.killed_s.get(journal.gateway)
    if known is None or journal.whole_s is None:
        return False
    killed_s, _ = known
    node = next(g.process.node for g in world.gateways if g.process.name == journal.gateway)
    if world.power_s.get(node, 0.0) >= journal.whole_s:
        # Marks are written, not synced: they outlive the process, not the machine.
        return True
    slow = "slow_disk" in world.plan.kinds or world.disk_faults
    within_s = SLOW_MARKED_S if slow else MARKED_S
    return world.disk_faults or killed_s - journal.whole_s <= within_s


def _charges(world: World) -> None:
    """Whoever was charged has had something, and no more than was produced."""
    seen = {j.request_id: j for j in world.journals if j.request_id}
    for request_id, posted in world.twin.outcomes.items():
        taken = posted.from_trial + posted.from_paid - world.twin.given_back.get(request_id, 0)
        told = world.services.told.get(request_id)
        demand(told is None or told.times <= 1, "a service is asked once", told)
        demand(posted.kind == "charge" or posted.cost == 0, "a void is free", posted)
        if not taken:
            continue
        journal = seen.get(request_id)
        demand(journal is not None and told is not None, "a charge has a client", posted)
        assert journal is not None
        assert told is not None
        demand(journal.key_id == posted.key_id, "the right key is charged", (journal, posted))
        most = max(told.usages, default=len(journal.body) + 400)
        demand(posted.cost <= most, "no more than was produced", (posted, told))
        demand(
            journal.body_bytes > 0 or journal.whole_s is not None,
            "a charge was for something",
            journal,
        )
