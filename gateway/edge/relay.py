"""From a service's answer to the client's last byte, with the outcome recorded in between.

Refuses to let the last byte go before the outcome is durable. A small answer is read whole and
sent in one piece; a large or streamed one flows through, without what may be its end: of a body in
chunks the newest byte, of a stream of events an event after which nothing need follow.
"""

import logging
from typing import Final

from gateway.edge import refusals
from gateway.edge.answer import Answer
from gateway.edge.connection import ClientTooSlow
from gateway.edge.crossing import Crossing
from gateway.edge.endings import ended_event, error_event
from gateway.edge.foreign import NOT_LET_IN, is_envelope, is_other_form, refused_by_service
from gateway.edge.growing import BalanceEnded, Grower, Growth
from gateway.edge.passing import retry_line, service_lines, usage_lines
from gateway.edge.reports import (
    VOID,
    Watch,
    content_type,
    is_json,
    is_sse,
    read_whole,
    rule_of,
    watch_of,
)
from gateway.edge.sse import SseWatch
from gateway.edge.usage import NOTHING_READ, Reading
from gateway.errors import AnswerBroken, Problem, ServiceFault, ServiceTimeout
from gateway.metering.meter import Meter, Verdict
from gateway.metering.outcomes import Outcome
from gateway.telemetry import Telemetry
from gateway.units import KIB

_LOG = logging.getLogger("sluice.relay")
_WHOLE_BYTES: Final = 256 * KIB
_TRAILER: Final = b"trailer: x-usage-tokens, x-usage-rule\r\n"
_EMPTY: Final = Reading(None, True)
# Beyond the product's deadline, for the client to take the last of a streamed answer; the hold
# lives longer than both.
_TAKE_S: Final = 10.0


class Relay:
    """Sends answers on and decides their outcome."""

    def __init__(self, meter: Meter, telemetry: Telemetry, grower: Grower) -> None:
        self._meter = meter
        self._grower = grower
        self._telemetry = telemetry

    async def relay(self, crossing: Crossing, answer: Answer) -> Problem | None:
        """Pass one answer on; a Problem when the client must be told something else instead."""
        crossing.answer = answer
        product = crossing.measured.product
        if not 200 <= answer.status < 300:
            return await self._refusal(crossing, answer)
        if (answer.body_bytes or 0) > product.max_answer_bytes:
            return refusals.service_broke_off(product.name)
        if answer.ended or await _gathered(answer):
            return await self._whole(crossing, answer, answer.buffered())
        await self._stream(crossing, answer)
        return None

    async def _whole(self, crossing: Crossing, answer: Answer, body: bytes) -> Problem | None:
        product = crossing.measured.product
        reading = read_whole(product, answer, body)
        if (body and reading.is_broken) or len(body) > product.max_answer_bytes:
            # Nothing has been sent yet, so an unreadable answer can still become an honest one.
            return refusals.service_broke_off(product.name)
        if not body:
            reading = _EMPTY
        if crossing.is_long:
            await crossing.count(reading)
        verdict = self._verdict(crossing, reading)
        await self._meter.settle_now(crossing.passage, verdict)
        usage = usage_lines(verdict.cost_tokens, verdict.rule)
        lines = crossing.lines + service_lines(answer.headers) + usage
        await self._deliver(crossing, answer.status, lines, body)
        return None

    async def _deliver(self, crossing: Crossing, status: int, lines: bytes, body: bytes) -> None:
        if crossing.exchange.gone:
            self._meter.undelivered(crossing.passage)
            return
        await crossing.exchange.send(status, lines, body)
        self._meter.delivered(crossing.passage)

    async def _stream(self, crossing: Crossing, answer: Answer) -> None:
        exchange, passage = crossing.exchange, crossing.passage
        product = crossing.measured.product
        crossing.watch = watch_of(product, answer)
        exchange.until_s = passage.started_s + product.deadline_ms / 1_000 + _TAKE_S
        lines = crossing.lines + service_lines(answer.headers)
        promise, length = crossing.promise(), answer.body_bytes
        if promise is not None:
            lines += usage_lines(promise.tokens, promise.rule)
        else:
            # In chunks, whatever the length: the price must have a place behind the body.
            length = None
        await exchange.start(answer.status, lines, length, _TRAILER)
        growth = self._grower.follow(crossing, answer)
        try:
            last = await self._pass_on(crossing, answer, growth)
        except BalanceEnded as ended:
            await self._balance_ended(crossing, answer, ended.problem)
            return
        except ServiceFault as fault:
            await self._broke_off(crossing, answer, fault)
            return
        finally:
            if growth is not None:
                growth.stop()
        reading = crossing.watch.reading() if crossing.watch is not None else NOTHING_READ
        if crossing.is_long:
            await crossing.count(reading)
        verdict = self._verdict(crossing, reading)
        await self._meter.settle_now(passage, verdict)
        await exchange.finish(last, usage_lines(verdict.cost_tokens, verdict.rule))
        self._meter.delivered(passage)

    async def _pass_on(self, crossing: Crossing, answer: Answer, growth: Growth | None) -> bytes:
        """Everything but what may be the end, which is returned; the product's cap holds."""
        exchange, watch, size, held = crossing.exchange, crossing.watch, 0, b""
        most_bytes = crossing.measured.product.max_answer_bytes
        while True:
            try:
                piece = await answer.read()
            except ServiceFault:
                await exchange.write(held)
                raise
            size += len(piece)
            if size > most_bytes:
                raise AnswerBroken("the answer is larger than this product's cap")
            if watch is not None:
                watch.feed(piece)
                if growth is not None:
                    growth.look()
            if answer.ended and not answer.pending:
                return held + piece
            if held:
                piece = held + piece
            keep = _may_be_end(answer, watch, len(piece))
            held = piece[len(piece) - keep :]
            await exchange.write(piece[: len(piece) - keep] if keep else piece)

    async def _balance_ended(self, crossing: Crossing, answer: Answer, problem: Problem) -> None:
        """We ended it: what was produced is charged, and the last event says why."""
        exchange, passage = crossing.exchange, crossing.passage
        verdict = crossing.ended()
        self._telemetry.refusals.labels(problem.code).inc()
        await self._meter.settle_now(passage, verdict)
        watch = crossing.watch
        if isinstance(watch, SseWatch) and watch.at_boundary and answer.body_bytes is None:
            family = crossing.measured.product.family
            event = ended_event(problem, family, passage.request_id, verdict.cost_tokens)
            await exchange.finish(event, usage_lines(verdict.cost_tokens, verdict.rule))
        else:
            exchange.break_off()
        self._meter.delivered(passage)

    async def _broke_off(self, crossing: Crossing, answer: Answer, fault: ServiceFault) -> None:
        """The service failed in the middle: void, and the client can see that it is not whole."""
        exchange, passage = crossing.exchange, crossing.passage
        if isinstance(fault, ClientTooSlow):
            self._meter.decide(passage, crossing.left())
            self._meter.delivered(passage)
            exchange.break_off()
            return
        slow = isinstance(fault, ServiceTimeout)
        outcome = Outcome.SERVICE_TIMEOUT if slow else Outcome.SERVICE_BROKE_OFF
        self._meter.decide(passage, Verdict(outcome, 504 if slow else 502))
        watch, product = crossing.watch, crossing.measured.product
        if isinstance(watch, SseWatch) and watch.at_boundary and answer.body_bytes is None:
            name, family = product.name, product.family
            problem = (
                refusals.service_timeout(name, product.deadline_ms)
                if slow
                else refusals.service_broke_off(name)
            )
            event = error_event(problem, family, passage.request_id)
            await exchange.finish(event, usage_lines(0, "failed"))
            exchange.keep_alive = False
        else:
            exchange.break_off()

    async def _refusal(self, crossing: Crossing, answer: Answer) -> Problem | None:
        """A service's own 4xx in its envelope passes; anything else is told in ours."""
        product = crossing.measured.product
        if not 400 <= answer.status < 500:
            return refusals.service_failed(product.name, answer.status)
        if not (answer.ended or await _gathered(answer)):
            return refusals.service_broke_off(product.name)
        body = answer.buffered()
        if answer.status in NOT_LET_IN:
            told = {"request_id": crossing.passage.request_id}
            _LOG.error("%s does not let the gateway in: %r", product.name, body[:200], extra=told)
            return refusals.service_failed(product.name, answer.status)
        known = is_json(answer) and is_envelope(body, product.family)
        if not known and not is_other_form(content_type(answer), body, product.family):
            return refused_by_service(product.name, answer.status, body)
        voided = rule_of(answer) == VOID
        outcome = Outcome.SERVICE_VOID if voided else Outcome.SERVICE_REFUSED
        await self._meter.settle_now(crossing.passage, Verdict(outcome, answer.status))
        lines = crossing.lines + service_lines(answer.headers) + usage_lines(0, "failed")
        if answer.status == 429:
            lines += retry_line(answer.header(b"retry-after"))
        await self._deliver(crossing, answer.status, lines, body)
        return None

    def _verdict(self, crossing: Crossing, reading: Reading) -> Verdict:
        verdict = crossing.verdict(reading)
        if verdict.outcome is Outcome.COMPLETE_UNREPORTED:
            product = crossing.measured.product.name
            self._telemetry.usage_alarms.labels(product, "missing").inc()
        elif verdict.outcome is Outcome.COMPLETE and verdict.reported_tokens is not None:
            crossing.measured.observe(verdict.reported_tokens)
        return verdict


def _may_be_end(answer: Answer, watch: Watch | None, size: int) -> int:
    """How many bytes at the end of a piece may be the last ones of the answer."""
    if answer.body_bytes is not None:
        return 0  # the last byte is known by its number
    if isinstance(watch, SseWatch):
        return size if watch.may_end else 0
    return 1


async def _gathered(answer: Answer) -> bool:
    """Wait for a small answer to be whole; False when it is large or meant to be streamed."""
    if answer.body_bytes is None:
        if is_sse(answer):
            return False
    elif answer.body_bytes > _WHOLE_BYTES:
        return False
    while not answer.ended and answer.pending <= _WHOLE_BYTES:
        await answer.more()
    return answer.ended
