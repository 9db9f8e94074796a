"""The gate: one Redis round trip admits a request or says why not.

1. `admit` answers from memory while a refusal is known to hold, else sends one command and
   returns its future at once; corrections of the subject's windows ride along.
2. While Redis does not answer, requests without a key are let through by this process alone, to
   its share of the limits, and counted; requests with a key fail: there is no money without Redis
   or PostgreSQL.
3. Behind the answer: `decided` and `correct_now` make the token windows true, `settle` releases
   holds together with the balance that follows from them.

Refuses to load balances, to know HTTP, and to answer a refusal from memory longer than a second.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from gateway.admission.ask import Ask, Decision, Hold, Settlement, Standing
from gateway.admission.copies import Copies
from gateway.admission.local import LocalLimiter
from gateway.admission.orphans import DEAD_AFTER_S, Orphans
from gateway.admission.refusals import Refusals
from gateway.admission.replies import decision, standing
from gateway.admission.scripts import DEFAULT_BUCKETS, Scripts, tag_of, tag_slots
from gateway.errors import RedisUnavailable
from gateway.ledger.rows import BalanceRow
from gateway.products.product import Limits
from gateway.redis_link import Answer, RedisLink, Reply
from gateway.units import US_PER_S

# Corrections of one subject that wait for its next request; the rest wait for `settle`.
MAX_RIDERS: Final = 16
MAX_RIDING_SUBJECTS: Final = 10_000
SETTLEMENTS_PER_COMMAND: Final = 200


def _uncounted(_: str) -> None:
    return


class AdmitAnswer(Answer[Decision]):
    """The decision that will come; without Redis and without a key, a local one."""

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
            self.gate.ride(rider)
        if self.ask.keyed:
            super().fail(fault)
        else:
            self.set_result(self.gate.decide_alone(self.ask))


class Gate:
    """Admission over one link. Make it before the link opens: it brings the scripts.

    `shares`: how many processes admit side by side, so that each may let through its part while
    Redis is away. `on_degraded` is called with the product for each such decision.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        shares: int = 1,
        buckets: int = DEFAULT_BUCKETS,
        on_degraded: Callable[[str], None] = _uncounted,
        clock_us: int = 0,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.refusals = Refusals(self.loop.time)
        self.scripts = Scripts(link, buckets=buckets)
        # 0: the server's clock. Tests give a time of their own.
        self.clock_us = clock_us
        self._link = link
        self._local = LocalLimiter(self.scripts.span_us, shares)
        self._on_degraded = on_degraded
        self._slots = tag_slots()
        self._orphans = Orphans(link, self.scripts, self._slots, self.loop.time)
        self._copies = Copies(link)
        self._riding: dict[str, dict[str, Settlement]] = {}

    def admit(self, ask: Ask) -> asyncio.Future[Decision]:
        """Ask; one round trip at most. The future cannot be cancelled and ends in its deadline.

        A task that is cancelled while it waits gets its CancelledError when the decision is
        there: look at the future's result then, a hold may have to be voided.
        Raises (through the future) RedisUnavailable, only for requests with a key.
        """
        riders: Sequence[Settlement] = ()
        if self._riding and ask.subject in self._riding:
            riders = tuple(self._riding.pop(ask.subject).values())
        else:
            known = self.refusals.find(ask)
            if known is not None:
                future: asyncio.Future[Decision] = self.loop.create_future()
                future.set_result(known)
                return future
        command = self.scripts.admit(ask, riders, self.clock_us)
        answer = AdmitAnswer(self, ask, self._slots[ask.tag], command, riders)
        self._link.send(answer)
        return answer

    def decide_alone(self, ask: Ask) -> Decision:
        """The local decision of a request without a key, counted."""
        self._on_degraded(ask.product)
        return self._local.admit(ask, int(self.loop.time() * US_PER_S))

    def decided(
        self, subject: str, tag: str, product: str, request_id: str, actual_tpm: int | None
    ) -> None:
        """The request cost `actual_tpm`: tell the window with the subject's next request.

        Lazily and at most once; `settle` tells it too, so nothing is lost when this is.
        None: no token window counts it (`limit_tokens` of its decision was None).
        """
        self._local.decided(subject, product, request_id)
        if actual_tpm is not None:
            self.ride(Settlement(subject, tag, product, request_id, actual_tpm))

    def ride(self, rider: Settlement) -> None:
        """Let a correction wait for the subject's next request, within bounds."""
        waiting = self._riding.get(rider.subject)
        if waiting is None:
            if len(self._riding) >= MAX_RIDING_SUBJECTS:
                del self._riding[next(iter(self._riding))]
            waiting = self._riding[rider.subject] = {}
        if len(waiting) < MAX_RIDERS:
            waiting[rider.request_id] = rider

    async def correct_now(
        self, subject: str, tag: str, product: str, request_id: str, actual_tpm: int
    ) -> None:
        """Tell the window now: for a request that cost more than was thought.

        Returns when Redis knows. Raises RedisUnavailable; the correction then rides along later.
        """
        rider = Settlement(subject, tag, product, request_id, actual_tpm)
        self.ride(rider)
        await self._link.write(self._slots[tag], self.scripts.correct(tag, subject, [rider]))
        self._off(rider)

    async def put_balance(self, row: BalanceRow) -> None:
        """Copy a balance row; a newer copy stays. Raises RedisUnavailable."""
        await self.settle((), (row,))

    async def settle(self, batch: Sequence[Settlement], rows: Sequence[BalanceRow]) -> None:
        """Release holds, correct windows, copy newest balances: one command per subject, all in
        one round trip per server. Safe to repeat. Raises RedisUnavailable when any part failed.
        """
        subjects: dict[str, list[Settlement]] = {f"k:{row.key_id}": [] for row in rows}
        for each in batch:
            subjects.setdefault(each.subject, []).append(each)
            self._off(each)
        by_subject = {f"k:{row.key_id}": row for row in _newest(rows)}
        answers: list[Answer[Reply]] = []
        for subject, settlements in subjects.items():
            tag = settlements[0].tag if settlements else tag_of(subject)
            row = by_subject.get(subject)
            for start in range(0, max(1, len(settlements)), SETTLEMENTS_PER_COMMAND):
                part = settlements[start : start + SETTLEMENTS_PER_COMMAND]
                command = self.scripts.settle(tag, subject, part, row)
                answers.append(self._link.write(self._slots[tag], command))
        await _all(answers)

    async def peek(self, subject: str, products: Sequence[tuple[str, Limits, Limits]]) -> Standing:
        """What a subject has left of each (product, limits of tier key, limits of premium).

        An address has the same limits twice. Writes nothing. Raises RedisUnavailable.
        """
        tag = tag_of(subject)
        command = self.scripts.peek(tag, subject, products, self.clock_us)
        reply = await self._link.write(self._slots[tag], command)
        return standing(reply, [name for name, _, _ in products])

    async def reassert(self, asks: Iterable[Ask]) -> int:
        """Put back the holds of requests that run, after Redis was emptied; how many were gone."""
        answers = [
            self._link.write(self._slots[ask.tag], self.scripts.reassert(ask, self.clock_us))
            for ask in asks
        ]
        return sum(reply == 1 for reply in await _all(answers))

    async def holds(self, subject: str) -> tuple[int, int]:
        """Tokens held for a subject and how many of its requests are open."""
        found = await self.peek(subject, ())
        return found.held_tokens, found.open_requests

    async def beat(self, instance: str, ttl_ms: int) -> None:
        """This instance is alive for `ttl_ms` from now."""
        await self._orphans.beat(instance, ttl_ms)

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

    def _off(self, rider: Settlement) -> None:
        """This one rides no more: it has been told, or goes with the settlement."""
        waiting = self._riding.get(rider.subject)
        if waiting is None:
            return
        waiting.pop(rider.request_id, None)
        if not waiting:
            del self._riding[rider.subject]


def _newest(rows: Sequence[BalanceRow]) -> list[BalanceRow]:
    """Sorted so that the newest row of a key comes last."""
    return sorted(rows, key=lambda row: row.version)


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
