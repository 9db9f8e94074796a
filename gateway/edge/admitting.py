"""Step 4: one round trip to the limiter; an admitted request becomes a passage.

Refuses to leave a hold behind: when the client goes away while Redis decides, or Redis does not
answer, the request is recorded as a void, which also releases whatever may be held.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from gateway.admission.ask import Ask, Code, Decision
from gateway.admission.gate import Gate
from gateway.edge import refusals
from gateway.edge.identify import Subject
from gateway.edge.measure import Measured
from gateway.edge.overload import PREMIUM, Overload
from gateway.edge.ratelimit_headers import lines_of
from gateway.errors import Problem, RedisUnavailable
from gateway.ledger.book import Book
from gateway.metering.meter import Meter, Passage, Verdict
from gateway.metering.outcomes import Outcome
from gateway.telemetry import Telemetry

# A hold outlives its request's deadline by this, so that only a lost one is reaped.
GRACE_MS: Final = 30_000
_HELD: Final = Code.ALREADY_HELD


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may be forwarded; `lines` are the headers that tell its limits."""

    passage: Passage
    measured: Measured
    lines: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that is not let in; `lines` tell the limits where they were looked at."""

    problem: Problem
    lines: bytes = b""


class Admitter:
    """Asks the gate and turns what it decides into a passage or a refusal."""

    def __init__(
        self, gate: Gate, book: Book, meter: Meter, telemetry: Telemetry, overload: Overload
    ) -> None:
        self._overload = overload
        self._gate = gate
        self._book = book
        self._meter = meter
        self._telemetry = telemetry

    async def admit(
        self, subject: Subject, measured: Measured, request_id: str, started_s: float
    ) -> Admitted | Refused:
        """All limits, the hold and the key's status at once.

        Raises RedisUnavailable or PostgresUnavailable; then nothing is held.
        """
        passage = self._passage(subject, measured, request_id, started_s)
        ask = self._ask(subject, measured, passage)
        decision = await self._decide(ask, passage)
        if decision.code is Code.BALANCE_NOT_LOADED:
            decision = await self._load_and_decide(subject, ask, passage)
        asked = measured
        if decision.code is Code.BALANCE_TOO_LOW and measured.is_open:
            measured = measured.within(decision.remaining_balance)
            decision = await self._decide_for_less(subject, measured, passage, decision)
        product = measured.product
        self._telemetry.admission(product.name, decision.code.name)
        if decision.code > _HELD:
            self._meter.numbers.give_back(passage.admission_no)
            limits = (
                b"" if decision.code < Code.BALANCE_TOO_LOW else lines_of(product.family, decision)
            )
            return Refused(refusal_of(subject, asked, decision), limits)
        self._meter.opened(passage)
        if decision.tier == PREMIUM or self._overload.level:
            self._overload.decided(subject.text, decision.tier)
        limit_tokens = decision.limit_tokens
        if limit_tokens is None:
            passage.held_tpm = None
        elif limit_tokens < measured.tpm_tokens:
            # The window took no more than its limit.
            passage.held_tpm = limit_tokens
        return Admitted(passage, measured, lines_of(product.family, decision))

    async def _load_and_decide(self, subject: Subject, ask: Ask, passage: Passage) -> Decision:
        assert subject.key_id is not None
        try:
            row = await self._book.load_balance(subject.key_id)
            assert row is not None, "a found key has a balance"
            await self._gate.put_balance(row)
        except BaseException:
            self._meter.numbers.give_back(passage.admission_no)
            raise
        return await self._decide(ask, passage)

    async def _decide_for_less(
        self, subject: Subject, measured: Measured, passage: Passage, refused: Decision
    ) -> Decision:
        """Ask again with all that is left, for a body that may end before it."""
        if measured.most_bytes <= len(measured.prefix):
            return refused
        passage.held_tokens, passage.held_tpm = measured.hold_tokens, measured.tpm_tokens
        return await self._decide(self._ask(subject, measured, passage), passage)

    async def _decide(self, ask: Ask, passage: Passage) -> Decision:
        future = self._gate.admit(ask)
        # What is over before anything was written to Redis cannot have left a hold there.
        sent = not future.done()
        try:
            return await future
        except asyncio.CancelledError:
            # The gate's futures end before the cancellation arrives, so this one has a result.
            if future.cancelled() or future.exception() or future.result().code <= _HELD:
                self._unknown(passage, Verdict(Outcome.CLIENT_LEFT_BEFORE, 499))
            else:
                self._meter.numbers.give_back(passage.admission_no)
            raise
        except RedisUnavailable:
            if not sent:
                self._meter.numbers.give_back(passage.admission_no)
            else:
                self._unknown(passage, Verdict(Outcome.GATEWAY_FAILED, 503))
            raise

    def _unknown(self, passage: Passage, verdict: Verdict) -> None:
        """Redis may or may not hold it: its number ends as a void, which also releases a hold."""
        self._meter.opened(passage)
        self._meter.decide(passage, verdict)
        self._meter.delivered(passage)

    def _passage(
        self, subject: Subject, measured: Measured, request_id: str, started_s: float
    ) -> Passage:
        now_ms = time.time_ns() // 1_000_000
        return Passage(
            request_id,
            measured.product.name,
            subject.text,
            subject.tag,
            subject.key_id,
            self._meter.numbers.take(),
            measured.hold_tokens if subject.key_id is not None else 0,
            measured.tpm_tokens,
            now_ms,
            started_s,
            now_ms + measured.product.deadline_ms + GRACE_MS,
        )

    def _ask(self, subject: Subject, measured: Measured, passage: Passage) -> Ask:
        product = measured.product
        limits = product.key if subject.key_id is not None else product.anonymous
        assert limits is not None, "checked before admission"
        return Ask(
            subject.text,
            subject.tag,
            product.name,
            passage.request_id,
            limits,
            product.premium,
            measured.tpm_tokens,
            passage.held_tokens,
            passage.deadline_ms,
            self._meter.instance,
            passage.admission_no,
            subject.key_id is not None,
        )


def refusal_of(subject: Subject, measured: Measured, decision: Decision) -> Problem:
    """The sentence for each code that refuses."""
    name, wait_ms = measured.product.name, decision.retry_after_ms
    limit, left = decision.limit_requests, decision.remaining_requests
    if decision.code is Code.BALANCE_NOT_LOADED:
        return refusals.degraded()  # it was loaded a moment ago: Redis forgets at once
    if decision.code is Code.REVOKED:
        return refusals.revoked()
    if decision.code is Code.SUSPENDED:
        return refusals.suspended()
    if decision.code is Code.BALANCE_TOO_LOW:
        return refusals.balance_too_low(decision.remaining_balance, measured.hold_tokens)
    if decision.code is Code.RPM:
        refuse = refusals.rate_requests if subject.key_id is not None else refusals.rate_ip
        return refuse(name, max(0, limit - left), limit, wait_ms)
    if decision.code is Code.TPM:
        most = decision.limit_tokens or 0
        return refusals.rate_tokens(name, most - decision.remaining_tokens, most, wait_ms)
    if decision.code is Code.CONCURRENCY:
        return refusals.concurrency(name, limit, limit)
    return refusals.never_fits(name, measured.hold_tokens, decision.limit_tokens or limit)
