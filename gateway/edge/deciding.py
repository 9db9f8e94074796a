"""One decision on one passage: by Redis in one round trip, else by this process alone.

Refuses to leave a number open or a hold behind: where Redis may hold what is not let in after all
(its answer was lost, or the client went away while it decided), the passage ends as a void, which
also releases what may be held; else its number is given back.
"""

import asyncio
from typing import Final

from gateway.admission.alone import Alone
from gateway.admission.ask import Ask, Code, Decision
from gateway.admission.gate import Gate
from gateway.edge.identify import Subject
from gateway.errors import RedisUnavailable
from gateway.ledger.book import Book
from gateway.metering.meter import Meter, Passage, Verdict
from gateway.metering.outcomes import Outcome

_HELD: Final = Code.ALREADY_HELD
# Redis may be emptied between the balance and the question, hardly three times.
_LOADS: Final = 3
_LEFT: Final = Verdict(Outcome.CLIENT_LEFT_BEFORE, 499)
_FAILED: Final = Verdict(Outcome.GATEWAY_FAILED, 503)


class Decider:
    """Decides for the admitter. Whatever it raises: the passage ended, or its number is free."""

    def __init__(self, gate: Gate, alone: Alone, book: Book, meter: Meter) -> None:
        self._gate = gate
        self._alone = alone
        self._book = book
        self._meter = meter

    async def decide(self, subject: Subject, ask: Ask, passage: Passage) -> Decision:
        """Ask Redis, having told it the balance if it has none; without Redis decide here.

        The caller notes an admission before he waits for anything. Raises StoresUnavailable,
        and PostgresUnavailable where a balance cannot be loaded.
        """
        try:
            try:
                decision = await self._ask_redis(ask, passage)
                for _ in range(_LOADS):
                    if decision.code is not Code.BALANCE_NOT_LOADED or subject.key_id is None:
                        break
                    await self._load(subject.key_id)
                    decision = await self._ask_redis(ask, passage)
            except RedisUnavailable:
                decision = await self._alone.admit(ask)
                passage.untold = decision.code is Code.ADMITTED
                if passage.untold:
                    # It may be back since.
                    self._gate.tell_at_once(self._meter.hold_of(passage))
        except asyncio.CancelledError:
            self.give_up(passage, _LEFT)
            raise
        except BaseException:
            # Also a bug of ours must leave no number open.
            self.give_up(passage)
            raise
        return decision

    def give_up(self, passage: Passage, verdict: Verdict = _FAILED) -> None:
        """It is not let in."""
        if not passage.unsure:
            self._meter.numbers.give_back(passage.admission_no)
            return
        self._meter.opened(passage)
        self._meter.decide(passage, verdict)
        self._meter.delivered(passage)

    async def _ask_redis(self, ask: Ask, passage: Passage) -> Decision:
        future = self._gate.admit(ask)
        # What is over before anything was written to Redis cannot have left a hold there.
        sent = not future.done()
        try:
            return await future
        except asyncio.CancelledError:
            # The gate's futures end before the cancellation arrives, so this one has a result.
            if future.cancelled() or future.exception() or future.result().code <= _HELD:
                passage.unsure = True
            raise
        except RedisUnavailable:
            passage.unsure |= sent
            raise

    async def _load(self, key_id: int) -> None:
        memory = self._gate.memory
        row = await self._book.load_balance(key_id)
        assert row is not None, "a found key has a balance"
        await self._gate.put_balance(row, memory)
