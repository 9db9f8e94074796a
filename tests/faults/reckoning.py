"""The journal of a cell against the ledger, the windows and the books, once all is at rest.

- nothing lost: each whole answer is in the ledger with the price that its client was told
- nothing doubled: a request, and all attempts under one name, is charged once at most
- no failure charged: who has no whole answer pays nothing
- every hold gone, every admission number ended, every check of the proof empty
- the balance of each key is its grant less what it paid
- behind the fault no request fails
- windows: no more requests of a limited subject reached a service than its limit lets through

What is given back "for the customer" is bounded: only where a gateway was killed, and no more than
its clients can have had in the moments before a mark of delivery is written.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tests.crash.house import GRANT, Posted, until
from tests.faults.crowd import CLIENTS, HEALED_S, Run
from tests.faults.house import ANONYMOUS_RPM, LOW_RPM, FaultHouse

# Of one gateway's clients, each has two answers at most within 20 ms of a kill.
MOST_GIVEN_BACK = 2 * CLIENTS
_SHED = "SERVICE_OVERLOADED"
# A window less what a request may take from its admission to its service.
_WINDOW_S = 55.0
# Numbers of a gateway are told every second.
_COUNTED_S = 60.0


@dataclass(frozen=True, slots=True)
class Reckoned:
    """One line of the table."""

    requests: int
    answered: int
    failed: int
    refused: int
    charged: int
    given_back: int
    healed_s: float
    rest_s: float
    wrong: tuple[str, ...]


async def reckon(house: FaultHouse, run: Run) -> Reckoned:
    """Wait for rest, then compare."""
    begun_s = time.monotonic()
    wrong: list[str] = []
    try:
        await until(lambda: _at_rest(house, run), HEALED_S, 0.05)
    except TimeoutError:
        wrong.append(f"not at rest: {await _unrest(house, run)}")
    rest_s = time.monotonic() - begun_s
    mine = {key.key_id for key in run.keys + run.low}
    posted = [each for each in await house.posted() if each.key_id in mine]
    wrong += _money(run, posted)
    for key in run.keys + run.low:
        paid = sum(each.cost_tokens - each.back for each in posted if each.key_id == key.key_id)
        left = await house.trial(key)
        if left != GRANT - paid:
            wrong.append(f"balance of {key.key_id}: {left}, not {GRANT} - {paid}")
    wrong += await _windows(house, run)
    wrong += _living(house)
    wrong += _healed(run)
    if proof := await house.proof():
        wrong.append(f"the proof finds {proof}")
    seen = Counter(entry.seen[-1].status for entry in run.entries if entry.seen)
    return Reckoned(
        len(run.entries),
        seen[200],
        sum(seen.values()) - seen[200] - seen[429],
        seen[429],
        sum(each.cost_tokens > each.back for each in posted),
        sum(each.back > 0 for each in posted),
        run.healed_s,
        rest_s,
        tuple(wrong),
    )


def _ids(run: Run) -> set[str]:
    return {
        each.request_id
        for entry in run.entries
        for each in entry.seen
        if each.status == 200 and entry.key_id is not None and each.request_id is not None
    }


async def _unrest(house: FaultHouse, run: Run) -> str:
    known = {each.request_id for each in await house.posted()}
    return (
        f"{len(house.spools)} spools of {house.live_gateways} gateways, "
        f"left in Redis: {await house.contents()}, not in the ledger: {_ids(run) - known}, "
        f"proof: {await house.proof()}"
    )


async def _at_rest(house: FaultHouse, run: Run) -> bool:
    if len(house.spools) > house.live_gateways or await house.leftovers():
        return False
    known = {each.request_id for each in await house.posted()}
    return _ids(run) <= known and not await house.proof()


def _money(run: Run, posted: list[Posted]) -> list[str]:
    wrong = []
    by_id = {each.request_id: each for each in posted}
    answered = _ids(run)
    given_back = sum(each.back > 0 for each in posted if each.request_id in answered)
    if given_back > (MOST_GIVEN_BACK if run.fault.kills_gateway else 0):
        wrong.append(f"{given_back} answers that were delivered were given back")
    for entry in run.entries:
        if entry.key_id is None:
            continue
        whole, asked = entry.whole, entry.asked
        kept = [
            each
            for each in posted
            if each.cost_tokens > each.back
            and (each.key_id, each.cost_tokens) == (entry.key_id, asked.tokens)
        ]
        if len(kept) > 1:
            wrong.append(f"charged {len(kept)} times: {entry}")
        if whole is None:
            if kept:
                wrong.append(f"a failure was charged: {entry} {kept}")
            continue
        if whole.told_tokens != asked.tokens:
            wrong.append(f"told another price: {entry}")
        row = by_id.get(whole.request_id or "")
        if row is None:
            wrong.append(f"lost: {entry}")
        elif row.cost_tokens != asked.tokens:
            wrong.append(f"charged {row.cost_tokens}: {entry}")
    return wrong + _strange(run, posted)


def _strange(run: Run, posted: list[Posted]) -> list[str]:
    asked = {(entry.key_id, entry.asked.tokens) for entry in run.entries}
    return [
        f"charged what nobody asked for: {each}"
        for each in posted
        if each.cost_tokens and (each.key_id, each.cost_tokens) not in asked
    ]


async def _windows(house: FaultHouse, run: Run) -> list[str]:
    """In no time as long as a window did more requests reach the services than the limit.

    More than the limit, up to one limit more each, may pass where gateways had to decide without
    Redis, which they must have counted, and where Redis has lost its memory.
    """
    reached: dict[str, dict[str, float]] = {}
    for each in house.services.arrivals[run.first_arrival :]:
        reached.setdefault(each.subject, {}).setdefault(each.request_id, each.at_s)
    limits = {key.subject: LOW_RPM for key in run.low}
    limits |= {name: ANONYMOUS_RPM for name in reached if run.address in name}
    forgot = int(run.fault.forgets_windows)
    wrong = []
    for subject, limit in limits.items():
        count = _most_in_a_window(reached.get(subject, {}).values())
        alone = 0
        if count > limit * (1 + forgot):
            alone = await _decided_alone(house, run)
        if count > limit * (1 + forgot + alone):
            wrong.append(
                f"{count} of {subject} passed a limit of {limit}; counted without Redis: {alone}, "
                f"memory lost: {forgot}"
            )
    low = {key.key_id for key in run.low}
    refused = [e for e in run.entries if e.key_id in low and e.seen and e.seen[-1].status == 429]
    if not refused and not run.fault.may_spare_limits and not _was_shed(run):
        wrong.append("no limit was reached, so nothing is known of them")
    return wrong


def _most_in_a_window(moments: Iterable[float]) -> int:
    """Of these the most that lie within a window."""
    found = sorted(moments)
    return max(
        (bisect_left(found, each + _WINDOW_S) - n for n, each in enumerate(found)), default=0
    )


def _was_shed(run: Run) -> bool:
    return any(_SHED in seen.why for entry in run.entries for seen in entry.seen)


async def _decided_alone(house: FaultHouse, run: Run) -> int:
    """1 if a gateway has counted a decision without Redis in this cell; they tell each second."""

    async def counted() -> bool:
        return await house.local_decisions() > run.local_before

    try:
        await until(counted, _COUNTED_S)
    except TimeoutError:
        return 0
    return 1


def _healed(run: Run) -> list[str]:
    """Behind the fault everybody is answered; a machine that is busy may let some go."""
    return [
        f"failed behind the fault: {entry}"
        for entry in run.after
        if entry.seen and entry.seen[-1].status not in (200, 429)
    ]


def _living(house: FaultHouse) -> list[str]:
    return [
        f"process {place} has ended with {process.returncode}"
        for place, process in house.processes.items()
        if process.poll() is not None
    ]
