"""The gate: one Redis round trip admits a request or says why not.

1. `admit` answers from memory while a refusal is known to hold, else sends one command and
   returns its future at once; corrections of the subject's windows ride along.
2. While Redis does not answer, or was away and is not trusted yet (see `comeback`), questions fail
   with RedisUnavailable; `alone` decides then.
3. Behind the answer: `decided` makes the token window true, frees the place and leaves only the
   cost held: with the subject's next ask, with `flush`, or at once (`correct_now`). `settle` ends
   the hold together with the balance that follows from it.

Refuses to load balances, to know HTTP, and to answer a refusal from memory longer than a second.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from gateway.admission.ask import Ask, Decision, Extension, Hold, Settlement, Standing
from gateway.admission.copies import PATTERN, Copies
from gateway.admission.local import LocalLimiter
from gateway.admission.orphans import DEAD_AFTER_S, Orphans
from gateway.admission.refusals import Refusals
from gateway.admission.replies import decision, extension, hold_of, standing
from gateway.admission.riders import Riders
from gateway.admission.scripts import DEFAULT_BUCKETS, Scripts, holds_key, tag_of, tag_slots
from gateway.errors import RedisUnavailable
from gateway.ledger.rows import BalanceRow
from gateway.products.product import Limits
from gateway.redis_link import Answer, Node, RedisLink, Reply

SETTLEMENTS_PER_COMMAND: Final = 200
RIDERS_PER_FLUSH: Final = 5_000


class AdmitAnswer(Answer[Decision]):
    """The decision that will come."""

    __slots__ = ("ask", "gate", "riders")

    def __init__(
        self, gate: "Gate", ask: Ask, slot: int, command: bytes, riders: Sequence[Settlement]
    ) -> None:
        super().__init__(gate.loop, slot, command, gate.loop.time())
        self.gate = gate
        self.ask = ask
        self.riders = riders

    def deliver(self, reply: Reply) -> None:
        if self.done():
            return
        found = decision(reply)
        if found.retry_after_ms:
            self.gate.refusals.note(self.ask, found, self.started_s)
        self.set_result(found)

    def fail(self, fault: RedisUnavailable) -> None:
        if self.done():
            return
        for rider in self.riders:
            self.gate.riders.add(rider)
        super().fail(fault)


class KeyedAnswer(AdmitAnswer):
    """Of a request with a key: an old copy of its balance must not decide."""

    __slots__ = ()
    needs_trust = True


class Gate:
    """Admission over one link. Make it before the link opens: it brings the scripts.

    `local` has the windows of this process alone, for `alone`.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        buckets: int = DEFAULT_BUCKETS,
        clock_us: int = 0,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.refusals = Refusals(self.loop.time)
        self.scripts = Scripts(link, buckets=buckets)
        # 0: the server's clock. Tests give a time of their own.
        self.clock_us = clock_us
        self._link = link
        self.local = LocalLimiter(self.scripts.span_us)
        self._slots = tag_slots()
        self._orphans = Orphans(link, self.scripts, self._slots, self.loop.time)
        self._copies = Copies(link)
        # A copy that a snapshot brings back may be of before a revocation.
        link.forget_with_process(PATTERN)
        self.riders = Riders()

    def admit(self, ask: Ask) -> asyncio.Future[Decision]:
        """Ask; one round trip at most. The future cannot be cancelled and ends in its deadline.

        A task that is cancelled while it waits gets its CancelledError when the decision is
        there: look at the future's result then, a hold may have to be voided.
        Raises (through the future) RedisUnavailable.
        """
        riders = self.riders.take(ask.subject)
        if not riders:
            known = self.refusals.find(ask)
            if known is not None:
                future: asyncio.Future[Decision] = self.loop.create_future()
                future.set_result(known)
                return future
        command = self.scripts.admit(ask, riders, self.clock_us)
        kind = KeyedAnswer if ask.keyed else AdmitAnswer
        answer = kind(self, ask, self._slots[ask.tag], command, riders)
        self._link.send(answer)
        return answer

    async def judge(self, ask: Ask) -> Decision:
        """What `admit` would decide now; takes and writes nothing. Raises RedisUnavailable."""
        command = self.scripts.judge(ask, self.clock_us)
        send = self._link.ask_trusted if ask.keyed else self._link.write
        return decision(await send(self._slots[ask.tag], command))

    async def extend(self, subject: str, tag: str, request_id: str, hold_tokens: int) -> Extension:
        """Hold this much in all for a request that runs: all of it, or what is held stays.

        Safe to repeat, also after a lost reply. Raises RedisUnavailable.
        """
        command = self.scripts.extend(tag, subject, request_id, hold_tokens)
        return extension(await self._link.ask_trusted(self._slots[tag], command))

    def decided(self, told: Settlement) -> None:
        """The request has ended: Redis is told with the subject's next ask.

        Lazily and at most once; `settle` tells it too, so nothing is lost when this is.
        """
        if self.local.is_counting:
            self.local.decided(told)
        self.riders.add(told)

    async def correct_now(self, told: Settlement) -> None:
        """Tell it now: for a request that cost more than was thought.

        Returns when Redis knows. Raises RedisUnavailable; it then rides along later.
        """
        self.riders.add(told)
        command = self.scripts.correct(told.tag, told.subject, [told])
        await self._link.write(self._slots[told.tag], command)
        self.riders.drop(told)

    async def flush(self) -> int:
        """Tell what has waited longest for an ask of its subject; how many that were.

        For when settling is late. Raises RedisUnavailable; they then go on waiting.
        """
        riders = self.riders.take_some(RIDERS_PER_FLUSH)
        subjects: dict[tuple[str, str], list[Settlement]] = {}
        for rider in riders:
            subjects.setdefault((rider.tag, rider.subject), []).append(rider)
        answers = [
            self._link.write(self._slots[tag], self.scripts.correct(tag, subject, part))
            for (tag, subject), of_subject in subjects.items()
            for part in _parts(of_subject)
        ]
        try:
            await _all(answers)
        except RedisUnavailable:
            for rider in riders:
                self.riders.add(rider)
            raise
        return len(riders)

    @property
    def memory(self) -> int:
        """Which one Redis has: ask before a balance is read that is to be copied, see `settle`."""
        return self._link.memories

    async def put_balance(self, row: BalanceRow, memory: int | None = None) -> None:
        """Copy a balance row; a newer copy stays. Raises RedisUnavailable."""
        await self.settle((), (row,), memory)

    async def settle(
        self, batch: Sequence[Settlement], rows: Sequence[BalanceRow], memory: int | None = None
    ) -> None:
        """Release holds, correct windows, copy newest balances: one command per subject, all in
        one round trip per server. Safe to repeat. Raises RedisUnavailable when any part failed,
        or rows are older than `memory`: a newer one may have been lost before it. Read again.
        """
        if memory not in (None, self._link.memories):
            raise RedisUnavailable("it has begun anew since the balances were read")
        subjects: dict[str, list[Settlement]] = {f"k:{row.key_id}": [] for row in rows}
        for each in batch:
            subjects.setdefault(each.subject, []).append(each)
            self.riders.drop(each)
        # The newest row of a key comes last.
        by_subject = {f"k:{r.key_id}": r for r in sorted(rows, key=lambda row: row.version)}
        answers: list[Answer[Reply]] = []
        for subject, settlements in subjects.items():
            tag = settlements[0].tag if settlements else tag_of(subject)
            row = by_subject.get(subject)
            for part in _parts(settlements):
                command = self.scripts.settle(tag, subject, part, row)
                write = self._link.write if memory is None else self._link.write_now
                answers.append(write(self._slots[tag], command))
        await _all(answers)

    async def peek(self, subject: str, products: Sequence[tuple[str, Limits, Limits]]) -> Standing:
        """What a subject has left of each (product, limits of tier key, limits of premium).

        An address has the same limits twice. Writes nothing. Raises RedisUnavailable.
        """
        tag = tag_of(subject)
        command = self.scripts.peek(tag, subject, products, self.clock_us)
        reply = await self._link.write(self._slots[tag], command)
        return standing(reply, [name for name, _, _ in products])

    async def reassert(self, holds: Iterable[Hold]) -> int:
        """Put back the holds of requests that run, after Redis was emptied or away, and raise those
        that have grown meanwhile; how many were gone.
        """
        answers = []
        for hold in holds:
            tag = tag_of(hold.subject)
            command = self.scripts.reassert(tag, hold, self.clock_us)
            answers.append(self._link.write(self._slots[tag], command))
        return sum(reply == 1 for reply in await _all(answers))

    def tell_at_once(self, hold: Hold) -> None:
        """The same of one that was decided alone, where Redis is trusted again by now: before
        anybody else can ask it. Not waited for: what is lost, `comeback` tells again.
        """
        tag = tag_of(hold.subject)
        command = self.scripts.reassert(tag, hold, self.clock_us)
        self._link.ask_trusted(self._slots[tag], command)

    def is_at(self, node: Node, what: Hold | BalanceRow) -> bool:
        """Whether this server keeps a hold, or the copy of a balance."""
        subject = what.subject if isinstance(what, Hold) else f"k:{what.key_id}"
        return self._link.owns(node, self._slots[tag_of(subject)])

    async def holds(self, subject: str) -> tuple[int, int]:
        """Tokens held for a subject and how many of its requests are open."""
        found = await self.peek(subject, ())
        return found.held_tokens, found.open_requests

    async def hold(self, subject: str, request_id: str) -> Hold | None:
        """What is held for one request of this subject; None: nothing. Raises RedisUnavailable.

        It is there until the ledger has the request.
        """
        tag = tag_of(subject)
        packed = await self._link.call(
            self._slots[tag], "HGET", holds_key(tag, subject), request_id
        )
        if not isinstance(packed, bytes):
            return None
        return hold_of(f"- {subject} {request_id}", packed)

    async def beat(self, instance: str, ttl_ms: int) -> bool:
        """This instance is alive for `ttl_ms` from now; whether Redis knew that before."""
        return await self._orphans.beat(instance, ttl_ms)

    def declare_dead(self, instance: str) -> None:
        """This instance will never settle again: its holds are orphans from now on."""
        self._orphans.declare_dead(instance)

    async def orphans(self, dead_after_s: float = DEAD_AFTER_S) -> list[Hold]:
        """Holds past their deadline, or of an instance silent for `dead_after_s` under our eyes.

        One page of each tag: call again and again. A found hold stays until it is settled.
        """
        return await self._orphans.find(dead_after_s)

    async def copies(self) -> list[BalanceRow]:
        """The next balance copies in Redis, some thousands at a time, for the proof.

        Goes round: after the last one it begins again. Raises RedisUnavailable.
        """
        return await self._copies.read()


def _parts(settlements: Sequence[Settlement]) -> Iterator[Sequence[Settlement]]:
    """As many at a time as one command takes; one empty part of none."""
    for start in range(0, max(1, len(settlements)), SETTLEMENTS_PER_COMMAND):
        yield settlements[start : start + SETTLEMENTS_PER_COMMAND]


async def _all(answers: Sequence[Answer[Reply]]) -> list[Reply]:
    """Every reply; the last fault is raised once all have ended."""
    replies: list[Reply] = []
    fault: RedisUnavailable | None = None
    for answer in answers:
        try:
            replies.append(await answer)
        except RedisUnavailable as caught:
            fault = caught
    if fault is not None:
        raise fault
    return replies
