"""Requests with an Idempotency-Key: done and charged once, answered as often as they are asked.

1. `claim`: the name is taken in PostgreSQL before admission; who comes second is told the kept
   answer, or why he cannot have it. Only requests with the header and a key come here.
2. A `Repeat` sees the answer on its way. What was charged is kept before its last byte goes; what
   cost nothing frees the name before its first. A kept answer counts as delivered: its owner can
   have it for a day, whatever became of his connection.
3. What PostgreSQL did not take then is tried again until it does (`run_once`).

Refuses to keep more than MAX_KEPT_BYTES of one answer, and says so to who asks again. The states
are in ops/decisions/idempotency.md.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from gateway.edge import refusals
from gateway.edge.exchange import Exchange
from gateway.edge.forward import allowed_lines
from gateway.edge.measure import Measured
from gateway.edge.passing import cors_lines
from gateway.edge.repeat import MAX_HELD_BYTES, Repeat
from gateway.edge.repeat_name import REPLAYED, repeat_name
from gateway.errors import PostgresUnavailable, Problem
from gateway.ledger.answers import Answers, Claim, Claimed, KeptAnswer, Known
from gateway.metering.meter import Meter
from gateway.telemetry import Telemetry

_LOG = logging.getLogger("sluice.repeats")
# Beyond the product's deadline, for the client to take the answer.
_GRACE_MS: Final = 60_000
# A claim whose reply was lost may be written a moment later than what ends it.
_UNSURE_S: Final = 5.0
_WAIT_MS: Final = 1_000
_LAST_TRIES: Final = 3
# So many wait for PostgreSQL, some 5 MB. Beyond it names of requests that cost nothing are left to
# end with their time: who is refused for PostgreSQL may ask as often as he likes.
MOST_LATER: Final = 10_000


@dataclass(frozen=True, slots=True)
class Replay:
    """An answer that was kept, to be told again."""

    answer: KeptAnswer

    async def tell(self, exchange: Exchange) -> None:
        """Send it; the headers of this request's limits are not in it, as it counts for none."""
        lines = b"%b%b: true\r\n" % (self.answer.header_lines, REPLAYED.encode("ascii"))
        lines += cors_lines(exchange.headers.get("Origin"))
        await exchange.send(self.answer.http_status, lines, self.answer.body)


@dataclass(frozen=True, slots=True)
class _Later:
    """What PostgreSQL did not take: an answer to keep, else the end of a claim."""

    claim: Claim
    answer: KeptAnswer | None
    charged: bool
    not_before_s: float


class Repeats:
    """All requests of this process that are to be done once."""

    def __init__(self, answers: Answers, meter: Meter, telemetry: Telemetry) -> None:
        self._answers = answers
        self._meter = meter
        self._telemetry = telemetry
        self._now_s: Callable[[], float] = asyncio.get_running_loop().time
        self._later: list[_Later] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self.held_bytes = 0

    async def claim(
        self, exchange: Exchange, key_id: int, measured: Measured, request_id: str
    ) -> Replay | Problem | None:
        """None: the request may run, and is seen to its end. Raises PostgresUnavailable."""
        name = repeat_name(exchange.headers)
        if name is None or isinstance(name, Problem):
            return name
        if measured.body is None:
            return refusals.idempotent_body_too_large()
        claim = Claim(key_id, name, request_id)
        lives_ms = measured.product.deadline_ms + _GRACE_MS
        work = self._answers.claim(
            claim, _digest(exchange, measured), self._meter.instance, lives_ms
        )
        claimed = await self._undisturbed(claim, work)
        self._telemetry.repeats.labels(claimed.known.value.lower()).inc()
        if claimed.known is Known.CLAIMED:
            exchange.tap = Repeat(self, self._meter, exchange, claim)
            return None
        if claimed.answer is not None:
            return Replay(claimed.answer)
        return _refusal(claimed)

    async def _undisturbed(self, claim: Claim, work: Coroutine[Any, Any, Claimed]) -> Claimed:
        """To its end, also when the client leaves: what nobody waits for any more is ended."""
        task = self.background(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda _: self.background(self.end(claim, charged=False)))
            raise
        except PostgresUnavailable:
            self._put_off(claim, None, charged=False, after_s=_UNSURE_S)
            raise

    async def keep(self, claim: Claim, answer: KeptAnswer) -> bool:
        """Keep it now; False when it is put off, or the name belongs to another by now."""
        try:
            return await self._answers.keep(claim, answer)
        except PostgresUnavailable as fault:
            _LOG.warning("an answer is kept later: %s", fault)
            self._put_off(claim, answer, charged=True)
            return False

    async def end(self, claim: Claim, *, charged: bool) -> None:
        """It ended without an answer to keep: now, or later."""
        try:
            await self._answers.end(claim, charged=charged)
        except PostgresUnavailable as fault:
            _LOG.warning("a name is freed later: %s", fault)
            self._put_off(claim, None, charged=charged)

    def background(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Work that goes on when its client has left."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    def _put_off(
        self, claim: Claim, answer: KeptAnswer | None, *, charged: bool, after_s: float = 0.0
    ) -> None:
        if not charged and len(self._later) >= MOST_LATER:
            return
        if answer is not None:
            size = len(answer.body)
            if self.held_bytes + size > MAX_HELD_BYTES:
                answer = None
            else:
                self.held_bytes += size
        self._later.append(_Later(claim, answer, charged, self._now_s() + after_s))

    async def run_once(self) -> int:
        """Do what was put off and is due; raises PostgresUnavailable while that is away."""
        now_s, done = self._now_s(), 0
        for each in [each for each in self._later if each.not_before_s <= now_s]:
            if each.answer is None:
                await self._answers.end(each.claim, charged=each.charged)
            else:
                await self._answers.keep(each.claim, each.answer)
                self.held_bytes -= len(each.answer.body)
            self._later.remove(each)
            done += 1
        return done

    async def close(self) -> None:
        """Let what runs end, and try what was put off for the last time."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        for _ in range(_LAST_TRIES):
            try:
                await self.run_once()
            except PostgresUnavailable as fault:
                _LOG.warning("%d names are not freed: %s", len(self._later), fault)


def _digest(exchange: Exchange, measured: Measured) -> bytes:
    """What makes a request the same one: method, path, the headers that its service sees, body."""
    seen = allowed_lines(measured.product, exchange.raw_headers)
    found = hashlib.sha256(
        f"{measured.product.name}\n{exchange.method}\n{measured.upstream_path}\n".encode(
            "utf-8", "surrogateescape"
        )
    )
    found.update(b"%d\n%b" % (len(seen), seen))
    found.update(measured.body or b"")
    return found.digest()


def _refusal(claimed: Claimed) -> Problem:
    if claimed.known is Known.OTHER:
        return refusals.idempotency_key_reused()
    if claimed.known is Known.RUNNING:
        return refusals.idempotent_still_running(_WAIT_MS)
    if claimed.known is Known.NOT_KEPT:
        return refusals.idempotent_answer_not_kept(claimed.request_id or "")
    return refusals.suspended() if claimed.known is Known.SUSPENDED else refusals.revoked()
