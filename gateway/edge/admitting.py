"""Step 4: one round trip to the limiter; an admitted request becomes a passage.

Refuses to decide: `deciding` asks Redis, or does without it.
"""

import time
from typing import Final

from gateway.admission.ask import MAX_COPY_TOKENS, Ask, Code, Decision, tried
from gateway.edge import refusals
from gateway.edge.deciding import Decider
from gateway.edge.identify import Subject
from gateway.edge.measure import Measured
from gateway.edge.overload import PREMIUM, Overload
from gateway.edge.ratelimit_headers import lines_of
from gateway.errors import Problem
from gateway.metering.meter import Meter, Passage
from gateway.record import record
from gateway.telemetry import Telemetry

# A hold outlives its request's deadline by this, so that only a lost one is reaped.
GRACE_MS: Final = 30_000
_HELD: Final = Code.ALREADY_HELD
_NAMES: Final = {code: code.name for code in Code}
_CAPPED: Final = {
    Code.CAPPED_RATE: "limits",
    Code.CAPPED_PLACES: "open requests",
    Code.CAPPED_BALANCE: "balance",
}


@record
class Admitted:
    """A request that may be forwarded; `lines` are the headers that tell its limits."""

    passage: Passage
    measured: Measured
    lines: bytes


@record
class Refused:
    """A request that is not let in; `lines` tell the limits where they were looked at."""

    problem: Problem
    lines: bytes = b""


class Admitter:
    """Asks the gate and turns what it decides into a passage or a refusal."""

    def __init__(
        self, decider: Decider, meter: Meter, telemetry: Telemetry, overload: Overload
    ) -> None:
        self._overload = overload
        self._decider = decider
        self._meter = meter
        self._telemetry = telemetry

    async def admit(
        self, subject: Subject, measured: Measured, request_id: str, started_s: float
    ) -> Admitted | Refused:
        """All limits, the hold and the key's status at once.

        Raises StoresUnavailable or PostgresUnavailable; then nothing is held.
        """
        passage = self._passage(subject, measured, request_id, started_s)
        ask = self._ask(subject, measured, passage)
        decision = await self._decider.decide(subject, ask, passage)
        asked = measured
        if decision.code is Code.BALANCE_TOO_LOW and measured.is_open:
            measured = measured.within(decision.remaining_balance)
            decision = await self._decide_for_less(subject, measured, passage, decision)
        arrivals = self._meter.arrivals
        if arrivals is not None:
            last = ask if measured is asked else self._ask(subject, measured, passage)
            arrivals.arrived(last, decision)
        product = measured.product
        self._telemetry.admission(product.name, _NAMES[decision.code])
        if decision.code > _HELD:
            self._decider.give_up(passage)
            limits = (
                b"" if decision.code < Code.BALANCE_TOO_LOW else lines_of(product.family, decision)
            )
            return Refused(refusal_of(subject, asked, decision), limits)
        self._meter.opened(passage)
        if decision.tier == PREMIUM or self._overload.level:
            self._overload.decided(subject.text, decision.tier)
        limit_tokens = decision.limit_tokens
        if decision.shadow:
            self._tell_shadow(subject, product.name, decision)
            if limit_tokens is None:
                # Of tokens that are limited only in a shadow any number is fine.
                limit_tokens = passage.held_tpm = MAX_COPY_TOKENS
        if limit_tokens is None:
            passage.held_tpm = None
        elif limit_tokens < measured.tpm_tokens:
            # The window took no more than its limit.
            passage.held_tpm = limit_tokens
        return Admitted(passage, measured, lines_of(product.family, decision))

    def _tell_shadow(self, subject: Subject, product: str, decision: Decision) -> None:
        """Count what limits that are only tried would have done."""
        tier = decision.tier if subject.key_id is not None else "anonymous"
        looked, refused = tried(decision.shadow)
        for dimension in looked:
            self._telemetry.shadow_looked.labels(product, tier, dimension).inc()
        if refused is not None:
            self._telemetry.shadow_refused.labels(product, tier, refused).inc()

    async def _decide_for_less(
        self, subject: Subject, measured: Measured, passage: Passage, refused: Decision
    ) -> Decision:
        """Ask again with all that is left, for a body that may end before it."""
        if measured.most_bytes <= len(measured.prefix):
            return refused
        passage.held_tokens, passage.held_tpm = measured.hold_tokens, measured.tpm_tokens
        return await self._decider.decide(subject, self._ask(subject, measured, passage), passage)

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
    if decision.code in _CAPPED:
        return refusals.part_used_up(_CAPPED[decision.code], wait_ms)
    if decision.code is Code.CONCURRENCY:
        return refusals.concurrency(name, limit, limit)
    return refusals.never_fits(name, measured.hold_tokens, decision.limit_tokens or limit)
