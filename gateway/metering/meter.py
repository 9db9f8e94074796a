"""The end of every admitted request: one outcome, decided exactly once, and made durable.

Refuses to wait: deciding is synchronous, so that a cancelled client task still accounts; only the
future that it returns (durable) is awaited, by whoever still has a client to answer.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gateway.admission.ask import Hold, Settlement
from gateway.admission.gate import Gate
from gateway.admission.local import Own
from gateway.admission.unposted import Unposted
from gateway.arrivals.log import ArrivalLog
from gateway.errors import RedisUnavailable, SpoolUnavailable
from gateway.ledger.rows import BalanceRow
from gateway.metering.event import CHARGE, VOID, encoded
from gateway.metering.numbers import AdmissionNumbers
from gateway.metering.outcomes import WHO_PAYS, Charge, Outcome
from gateway.metering.spool import Spool
from gateway.record import record
from gateway.telemetry import Telemetry

_NAMES: Final = {outcome: outcome.value for outcome in Outcome}


@dataclass(slots=True)
class Passage:
    """One admitted request on its way: what is held for it, until it is `decided`.

    `held_tpm` None: tokens per minute do not limit it. `key_id` None: anonymous. `ended`: the
    client has its last byte, or it is settled that it never will. `unsure`: an answer of Redis was
    lost, which may hold it. `untold`: admitted, or grown, without Redis, which has to be told.
    """

    request_id: str
    product: str
    subject: str
    tag: str
    key_id: int | None
    admission_no: int
    held_tokens: int
    held_tpm: int | None
    admitted_ms: int
    started_s: float
    deadline_ms: int = 0
    decided: bool = False
    ended: bool = False
    cost_tokens: int = 0
    unsure: bool = False
    untold: bool = False


@record
class Verdict:
    """How a request ended; `cost_tokens` is 0 unless the ending may charge."""

    outcome: Outcome
    http_status: int
    reported_tokens: int | None = None
    cost_tokens: int = 0
    rule: str = "none"


class Meter:
    """Decides passages; owns the admission numbers of this instance."""

    def __init__(
        self,
        spool: Spool,
        gate: Gate,
        numbers: AdmissionNumbers,
        telemetry: Telemetry,
        instance: str,
        now_s: Callable[[], float],
    ) -> None:
        self._spool = spool
        self._gate = gate
        self.numbers = numbers
        self._telemetry = telemetry
        self.instance = instance
        self.now_s = now_s
        self._open: dict[int, Passage] = {}
        # The same by subject, without those of whom nothing is open.
        self._open_of: dict[str, dict[int, Passage]] = {}
        spool.under_way = self._open
        self._owed: dict[int, str] = {}
        # Told of every decision and of every end; None where no such log is kept.
        self.arrivals: ArrivalLog | None = None
        self.unposted = Unposted()
        spool.voided = self.unposted.voided
        # Little disk, and no ledger that empties the spool: nothing more that is to be charged.
        self.short_of_room = False

    @property
    def healthy(self) -> bool:
        """Whether outcomes can be made durable; nothing is admitted while they cannot."""
        return self._spool.healthy

    @property
    def is_idle(self) -> bool:
        """Whether every request that was admitted is decided, and nothing is to be given back."""
        return not self._open and not self._owed

    def opened(self, passage: Passage) -> None:
        """It was admitted, or may have been; from here on it will be decided."""
        number, subject = passage.admission_no, passage.subject
        self._open[number] = passage
        of_subject = self._open_of.get(subject)
        if of_subject is None:
            self._open_of[subject] = {number: passage}
        else:
            of_subject[number] = passage
        self._telemetry.open_requests.inc()

    def open_holds(self) -> list[Hold]:
        """The holds that Redis has of requests that still run."""
        return [self.hold_of(passage) for passage in self._open.values()]

    def untold_holds(self) -> list[Hold]:
        """Those of which Redis has to be told, as it was away when they were made or grew."""
        return [self.hold_of(passage) for passage in self._open.values() if passage.untold]

    def told(self, holds: Iterable[Hold]) -> None:
        """Redis has these holds; one that has grown since is told again."""
        for hold in holds:
            passage = self._open.get(hold.admission_no)
            if passage is not None and passage.held_tokens == hold.hold_tokens:
                passage.untold = False

    def own(self, subject: str, product: str) -> Own:
        """What a subject has in this process."""
        running, tokens = 0, self.unposted.tokens(subject)
        for passage in self._open_of.get(subject, {}).values():
            tokens += passage.held_tokens
            running += passage.product == product
        return Own(running, tokens, self.unposted.spent(subject))

    def posted(
        self,
        numbers: Iterable[int],
        settlements: Iterable[Settlement],
        rows: Sequence[BalanceRow],
    ) -> None:
        """These outcomes are in the ledger; `rows` are the newest of the keys that they touched."""
        for number in numbers:
            self.numbers.posted(number)
        self.unposted.posted(settlements, rows)

    def hold_of(self, passage: Passage) -> Hold:
        """What Redis has, or should have, of a passage."""
        return Hold(
            passage.request_id,
            passage.subject,
            passage.product,
            passage.held_tokens,
            self.instance,
            passage.admission_no,
            passage.deadline_ms,
        )

    def decide(self, passage: Passage, verdict: Verdict) -> asyncio.Future[None]:
        """Record the end of a request; the future is done when it is durable.

        It raises SpoolUnavailable if the disk did not take it; then nothing is charged.
        """
        assert not passage.decided, "a request ends exactly once"
        passage.decided = True
        ending = WHO_PAYS[verdict.outcome]
        used = verdict.cost_tokens if verdict.cost_tokens else (verdict.reported_tokens or 0)
        actual_tpm = used if ending.counts_tpm else 0
        anonymous = passage.key_id is None
        charged = ending.charge is not Charge.NOTHING and not anonymous
        cost_tokens = passage.cost_tokens = verdict.cost_tokens if charged else 0
        known = Outcome.NO_KEY if anonymous and ending.counts_tpm else verdict.outcome
        outcome = _NAMES[known]
        event = encoded(
            passage.request_id,
            CHARGE if charged else VOID,
            passage.key_id,
            passage.product,
            cost_tokens,
            verdict.reported_tokens,
            passage.held_tokens,
            outcome,
            verdict.rule,
            verdict.http_status,
            passage.admission_no,
            passage.admitted_ms,
            time.time_ns() // 1_000_000,
            self.instance,
        )
        settlement = _settlement(passage, actual_tpm)
        self.unposted.decided(passage.subject, cost_tokens)
        self._gate.decided(settlement)
        if self.arrivals is not None:
            self.arrivals.ended(passage.request_id, actual_tpm)
        if self._open.pop(passage.admission_no, None) is not None:
            of_subject = self._open_of[passage.subject]
            del of_subject[passage.admission_no]
            if not of_subject:
                del self._open_of[passage.subject]
        self._telemetry.open_requests.dec()
        self._telemetry.finished(
            passage.product, outcome, cost_tokens, self.now_s() - passage.started_s
        )
        return self._spool.append(event, passage.admission_no, settlement)

    async def settle_now(self, passage: Passage, verdict: Verdict) -> None:
        """Decide, and wait until it is durable; raises SpoolUnavailable.

        A service that reports more than was held is believed, so the window has to know before
        the client can ask again.
        """
        used = verdict.reported_tokens or 0
        durable = self.decide(passage, verdict)
        counts = WHO_PAYS[verdict.outcome].counts_tpm
        if counts and passage.held_tpm is not None and used > passage.held_tpm:
            self._telemetry.usage_alarms.labels(passage.product, "above_hold").inc()
            # Without Redis now, the correction rides along with the subject's next request.
            with suppress(RedisUnavailable):
                await self._gate.correct_now(_settlement(passage, used))
        try:
            await durable
        except SpoolUnavailable:
            passage.cost_tokens = 0
            raise

    async def settle_failed(self, passage: Passage, verdict: Verdict) -> None:
        """Decide a void; the client is told of the failure even if the disk fails as well."""
        with suppress(SpoolUnavailable):
            await self.decide(passage, verdict)

    def delivered(self, passage: Passage) -> None:
        """The last byte was handed over to the client's connection."""
        passage.ended = True
        self._spool.delivered(passage.admission_no)

    def undelivered(self, passage: Passage) -> None:
        """It was decided, and the client will never get its last byte: give back what it cost.

        No mark of delivery is written before that is done, so a crash in between forgets nothing.
        """
        passage.ended = True
        if passage.cost_tokens:
            self._owed[passage.admission_no] = passage.request_id

    def owes(self, passage: Passage) -> bool:
        """Whether what it cost is to be given back."""
        return passage.admission_no in self._owed

    def refunds_due(self) -> dict[int, str]:
        """What is to be given back and is posted: request ids by admission number."""
        return {n: each for n, each in self._owed.items() if self.numbers.is_posted(n)}

    def refunded(self, numbers: Iterable[int]) -> None:
        """These are settled with their clients."""
        for number in numbers:
            self._owed.pop(number, None)
            self._spool.delivered(number)


def _settlement(passage: Passage, used: int) -> Settlement:
    actual_tpm = None if passage.held_tpm is None else used
    return Settlement(
        passage.subject,
        passage.tag,
        passage.product,
        passage.request_id,
        actual_tpm,
        passage.cost_tokens,
    )
