"""One admitted request on its way through, and what it costs at any moment of it.

Refuses to charge what the table of who pays does not: an error, a void, a request without a key.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from gateway.edge.answer import Answer
from gateway.edge.exchange import Exchange
from gateway.edge.measure import Measured
from gateway.edge.reports import VOID, Watch, promised, reported, rule_of
from gateway.edge.usage import NOTHING_READ, Reading
from gateway.metering.meter import Passage, Verdict
from gateway.metering.outcomes import Outcome
from gateway.products.counting import Price, Reported, price
from gateway.units import KIB, MIB

LEFT_STATUS: Final = 499
ENDED_STATUS: Final = 402
# The rule of a charge that its client's X-Max-Charge has made smaller.
CAPPED: Final = "capped"
# Counting takes some 35 ms per MiB. What a request may stop the event loop for, and what the
# ending of one whose client has left, which cannot wait.
_COUNTED_AT_ONCE_BYTES: Final = 64 * KIB
_COUNTED_IN_HASTE_BYTES: Final = MIB


@dataclass(slots=True)
class Crossing:
    """`lines` are the headers that every answer to it carries. `watch` follows a streamed body.

    `counted` is the gateway's own count of a long input, where it was needed.
    """

    exchange: Exchange
    passage: Passage
    measured: Measured
    lines: bytes
    answer: Answer | None = None
    watch: Watch | None = None
    counted: int | None = None

    @property
    def is_long(self) -> bool:
        """Whether its input, if it has to be counted, must not be counted on the event loop."""
        body = self.measured.body
        return body is not None and len(body) > _COUNTED_AT_ONCE_BYTES

    async def count(self, reading: Reading) -> None:
        """Where the service told no usage of a long input: count it beside the event loop."""
        assert self.answer is not None
        if self.passage.key_id is None:
            return
        if reported(self.measured.product, self.answer, reading) is None:
            self.counted = await asyncio.to_thread(self.measured.own_count)

    def verdict(self, reading: Reading) -> Verdict:
        """How a complete 2xx answer ends; `reading` is what its body says."""
        answer = self.answer
        assert answer is not None
        tokens = reported(self.measured.product, answer, reading)
        rule = rule_of(answer)
        if rule == VOID:
            return Verdict(Outcome.SERVICE_VOID, answer.status, tokens, 0, "failed")
        if reading.is_error:
            return Verdict(Outcome.ANSWER_SAYS_ERROR, answer.status, tokens, 0, "failed")
        outcome = Outcome.COMPLETE if tokens is not None else Outcome.COMPLETE_UNREPORTED
        cost = self._price(tokens, rule)
        return Verdict(outcome, answer.status, tokens, cost.tokens, cost.rule)

    def promise(self) -> Price | None:
        """What a streamed answer will cost if nothing fails, where its head tells it."""
        assert self.answer is not None
        tokens = promised(self.measured.product, self.answer)
        rule = rule_of(self.answer)
        return None if tokens is None or rule == VOID else self._price(tokens, rule)

    def left(self) -> Verdict:
        """The client went away: what was produced up to now, if anything of it was sent."""
        if not self.exchange.sent_bytes or self.answer is None:
            return Verdict(Outcome.CLIENT_LEFT_BEFORE, LEFT_STATUS)
        reading = self.watch.reading() if self.watch is not None else NOTHING_READ
        tokens = reported(self.measured.product, self.answer, reading)
        rule = rule_of(self.answer)
        if rule == VOID or (reading.is_error and not reading.is_broken):
            return Verdict(Outcome.CLIENT_LEFT_MIDWAY, LEFT_STATUS, tokens, 0, "failed")
        cost = self._price(tokens, rule)
        name = "produced" if cost.tokens and cost.rule != CAPPED else cost.rule
        return Verdict(Outcome.CLIENT_LEFT_MIDWAY, LEFT_STATUS, tokens, cost.tokens, name)

    def ended(self) -> Verdict:
        """We ended it: what was produced, and no more than was held."""
        assert self.answer is not None
        reading = self.watch.reading() if self.watch is not None else NOTHING_READ
        tokens = reported(self.measured.product, self.answer, reading)
        rule = rule_of(self.answer)
        if rule == VOID or reading.is_error:
            return Verdict(Outcome.BALANCE_ENDED, ENDED_STATUS, tokens, 0, "failed")
        cost = self._price(tokens, rule)
        charged = min(cost.tokens, self.passage.held_tokens)
        name = cost.rule if cost.rule == CAPPED else "produced"
        return Verdict(Outcome.BALANCE_ENDED, ENDED_STATUS, tokens, charged, name)

    def _price(self, tokens: int | None, rule: str | None) -> Price:
        if self.passage.key_id is None:
            return Price(0, "no_key")
        own = self._own_count() if tokens is None else None
        cost, cap = (
            price(self.measured.product, Reported(tokens, rule), own),
            self.measured.max_charge,
        )
        return cost if cap is None or cost.tokens <= cap else Price(cap, CAPPED)

    def _own_count(self) -> int | None:
        """Of a long input only what was counted beside the loop: nobody's leaving may stop it."""
        if self.counted is not None or len(self.measured.body or b"") > _COUNTED_IN_HASTE_BYTES:
            return self.counted
        return self.measured.own_count()
