"""Keeps what is held for a streamed answer ahead of what it has used; ends it when that fails.

1. `look` after each piece: a new running usage comes near what is held, so more is asked for.
2. One question at a time, beside the stream: no byte ever waits for it.
3. All that was held is used and no more is granted, or the key is dead: the service's connection
   is closed, and the reader of the answer gets `BalanceEnded`.

Refuses to guess: an answer that tells no running usage keeps the hold that it was admitted with.
"""

import asyncio
from contextlib import suppress
from typing import Final

from gateway.admission.alone import Alone
from gateway.admission.ask import Extension, Grant
from gateway.admission.gate import Gate
from gateway.edge import refusals
from gateway.edge.answer import Answer
from gateway.edge.crossing import Crossing
from gateway.edge.sse import SseWatch
from gateway.errors import PostgresUnavailable, Problem, RedisUnavailable, ServiceFault
from gateway.ledger.book import Book

# A refusal may be over a moment later, when another request ends or tokens are bought.
_ASK_AGAIN_S: Final = 1.0


class BalanceEnded(ServiceFault):
    """The answer was ended by us; `problem` is what the client is told."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Grower:
    """Follows the streams of one gateway."""

    def __init__(self, gate: Gate, alone: Alone, book: Book) -> None:
        self._gate = gate
        self._alone = alone
        self._book = book

    def follow(self, crossing: Crossing, answer: Answer) -> "Growth | None":
        """What looks after this answer; None where a hold never grows."""
        product, watch = crossing.measured.product, crossing.watch
        if not product.block_tokens or crossing.passage.key_id is None:
            return None
        if not isinstance(watch, SseWatch):
            return None
        return Growth(self, crossing, watch, answer)

    async def extend(self, crossing: Crossing, wanted_tokens: int) -> Extension:
        """Hold this much, or all that is left if that is more than now."""
        found = await self._ask(crossing, wanted_tokens)
        if found.grant is Grant.BALANCE_NOT_LOADED:
            await self._load(crossing)
            found = await self._ask(crossing, wanted_tokens)
        if found.grant in (Grant.BALANCE_TOO_LOW, Grant.CAPPED) and found.free_tokens:
            rest = await self._ask(crossing, found.hold_tokens + found.free_tokens)
            found = rest if rest.grant is Grant.GRANTED else found
        return found

    async def _ask(self, crossing: Crossing, wanted_tokens: int) -> Extension:
        passage = crossing.passage
        subject, held = passage.subject, passage.held_tokens
        try:
            found = await self._gate.extend(subject, passage.tag, passage.request_id, wanted_tokens)
        except RedisUnavailable:
            found = await self._alone.extend(subject, passage.product, held, wanted_tokens)
            passage.untold |= found.grant is Grant.GRANTED
        if found.grant is not Grant.GONE and not passage.decided:
            # Also what an earlier question was granted whose reply was lost.
            passage.held_tokens = max(passage.held_tokens, found.hold_tokens)
        return found

    async def _load(self, crossing: Crossing) -> None:
        key_id = crossing.passage.key_id
        assert key_id is not None
        memory = self._gate.memory
        row = await self._book.load_balance(key_id)
        assert row is not None, "a found key has a balance"
        with suppress(RedisUnavailable):
            # Away again: then what follows is decided without it.
            await self._gate.put_balance(row, memory)


class Growth:
    """Of one answer."""

    __slots__ = (
        "_ahead",
        "_answer",
        "_asking",
        "_block",
        "_cap",
        "_crossing",
        "_grower",
        "_loop",
        "_not_before_s",
        "_seen",
        "_watch",
    )

    def __init__(self, grower: Grower, crossing: Crossing, watch: SseWatch, answer: Answer) -> None:
        measured = crossing.measured
        self._grower = grower
        self._crossing = crossing
        self._watch = watch
        self._answer = answer
        self._block = measured.product.block_tokens
        # A budget of the client's own is enough for most; it grows only by what is beyond it.
        self._ahead = self._block // 2 if measured.bound.in_blocks else 0
        self._cap = measured.max_charge
        self._seen = -1
        self._not_before_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._asking: asyncio.Task[None] | None = None

    def look(self) -> None:
        """See the newest running usage; returns at once."""
        used = self._watch.running_tokens
        if used is not None and used > self._seen:
            self._seen = used
            self._weigh()

    def stop(self) -> None:
        """The answer is over: what is held now is what was held."""
        if self._asking is not None:
            self._asking.cancel()

    def _weigh(self) -> None:
        held = self._crossing.passage.held_tokens
        if self._asking is not None or self._seen + self._ahead < held:
            return
        if self._cap is not None and held >= self._cap:
            # The service has the cap for its budget, and may pass it by its last step.
            if self._seen >= self._cap + self._block:
                self._end(refusals.max_charge_used(self._cap))
            return
        if self._seen >= held or self._loop.time() >= self._not_before_s:
            self._asking = self._loop.create_task(self._grow())

    async def _grow(self) -> None:
        try:
            problem = self._judged(await self._grower.extend(self._crossing, self._wanted()))
        except (RedisUnavailable, PostgresUnavailable):
            problem = refusals.hold_used_up(self._crossing.passage.held_tokens)
        finally:
            self._asking = None
        if problem is None:
            self._weigh()
            return
        self._not_before_s = self._loop.time() + _ASK_AGAIN_S
        is_dead = problem.code != refusals.BALANCE_ENDED
        if is_dead or self._seen >= self._crossing.passage.held_tokens:
            self._end(problem)

    def _wanted(self) -> int:
        """So many blocks more that the newest usage is well within them."""
        held = self._crossing.passage.held_tokens
        missing = self._seen + self._ahead + 1 - held
        wanted = held + -(-missing // self._block) * self._block
        return wanted if self._cap is None else min(wanted, self._cap)

    def _judged(self, found: Extension) -> Problem | None:
        if found.grant is Grant.GRANTED:
            return None
        if found.grant is Grant.REVOKED:
            return refusals.revoked()
        if found.grant is Grant.SUSPENDED:
            return refusals.suspended()
        held = self._crossing.passage.held_tokens
        if found.grant is Grant.BALANCE_TOO_LOW:
            return refusals.balance_ended(held)
        # Redis forgot it a moment ago and will be told again, or is away, and our part is in use.
        return refusals.hold_used_up(held)

    def _end(self, problem: Problem) -> None:
        if not self._crossing.passage.decided:
            self._answer.give_up(BalanceEnded(problem))
