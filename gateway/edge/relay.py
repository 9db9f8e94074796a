"""From a service's answer to the client's last byte, with the outcome recorded in between.

Refuses to let the last byte go before the outcome is durable. A small answer is read whole and
sent in one piece; a large or streamed one flows through with one piece held back.
"""

from dataclasses import dataclass
from typing import Final

from gateway.edge import refusals
from gateway.edge.answer import Answer
from gateway.edge.exchange import Exchange
from gateway.edge.foreign import is_envelope, refused_by_service
from gateway.edge.measure import Measured
from gateway.edge.passing import service_lines, usage_lines
from gateway.edge.usage import (
    NOTHING_READ,
    RULE_HEADER,
    USAGE_HEADER,
    JsonEdges,
    Reading,
    SseTail,
    field,
    read_json,
    tokens_of,
)
from gateway.errors import AnswerBroken, Problem, ServiceFault, ServiceTimeout
from gateway.metering.meter import Meter, Passage, Verdict
from gateway.metering.outcomes import Outcome
from gateway.products.counting import Reported, price
from gateway.products.product import Product
from gateway.telemetry import Telemetry
from gateway.units import KIB

_WHOLE_BYTES: Final = 256 * KIB
# A JSON body is always parsed up to here; a larger one with its usage in a header only when it
# has the word that makes it free.
_PARSE_BYTES: Final = 16 * KIB


@dataclass(frozen=True, slots=True)
class Crossing:
    """What relaying one answer needs to know."""

    exchange: Exchange
    passage: Passage
    product: Product
    lines: bytes
    measured: Measured


class Relay:
    """Sends answers on and decides their outcome."""

    def __init__(self, meter: Meter, telemetry: Telemetry) -> None:
        self._meter = meter
        self._telemetry = telemetry

    async def relay(self, crossing: Crossing, answer: Answer) -> Problem | None:
        """Pass one answer on; a Problem when the client must be told something else instead."""
        if answer.status >= 400 or answer.status < 200:
            return await self._refusal(crossing, answer)
        if answer.ended or await _gathered(answer):
            return await self._whole(crossing, answer, answer.buffered())
        await self._stream(crossing, answer)
        return None

    async def _whole(self, crossing: Crossing, answer: Answer, body: bytes) -> Problem | None:
        product, passage = crossing.product, crossing.passage
        reported, reading = _read_whole(product, answer, body)
        if reading.is_error and reported is None and _is_json(answer) and not _parses(body):
            # Nothing has been sent yet, so an unreadable answer can still become an honest one.
            return refusals.service_broke_off(product.name)
        verdict = self._verdict(crossing, answer, reported, is_error=reading.is_error or not body)
        await self._meter.settle_now(passage, verdict)
        if crossing.exchange.gone:
            self._meter.undelivered(passage)
            return None
        usage = usage_lines(verdict.cost_tokens, verdict.rule)
        lines = crossing.lines + service_lines(answer.headers) + usage
        await crossing.exchange.send(answer.status, lines, body)
        self._meter.delivered(passage)
        return None

    async def _stream(self, crossing: Crossing, answer: Answer) -> None:
        exchange, product = crossing.exchange, crossing.product
        watch = _watch(product, answer)
        reported = tokens_of(field(answer.headers, USAGE_HEADER))
        lines = crossing.lines + service_lines(answer.headers)
        if reported is not None:
            cost = price(product, Reported(reported, _rule(answer)), None)
            charged = 0 if crossing.passage.key_id is None else cost.tokens
            crossing.passage.told_tokens = charged
            lines += usage_lines(charged, cost.rule)
        else:
            lines += b"trailer: x-usage-tokens\r\n" if answer.body_bytes is None else b""
        await exchange.start(answer.status, lines, answer.body_bytes)
        try:
            last = await self._pass_on(crossing, answer, watch)
        except ServiceFault as fault:
            await self._broke_off(crossing, answer, fault)
            return
        reading = watch.reading() if watch is not None else NOTHING_READ
        reported = _reported(answer, reading)
        verdict = self._verdict(crossing, answer, reported, is_error=reading.is_error)
        await self._meter.settle_now(crossing.passage, verdict)
        if exchange.gone:
            self._meter.undelivered(crossing.passage)
            return
        await exchange.finish(last, b"x-usage-tokens: %d\r\n" % verdict.cost_tokens)
        self._meter.delivered(crossing.passage)

    async def _pass_on(
        self, crossing: Crossing, answer: Answer, watch: "JsonEdges | SseTail | None"
    ) -> bytes:
        """Everything but the last piece, which is returned; the cap of the product holds."""
        exchange, size = crossing.exchange, 0
        while True:
            piece = await answer.read()
            size += len(piece)
            if size > crossing.product.max_answer_bytes:
                raise AnswerBroken("the answer is larger than this product's cap")
            if watch is not None:
                watch.feed(piece)
                crossing.passage.seen = watch
            if answer.ended and not answer.pending:
                return piece
            await exchange.write(piece)

    async def _broke_off(self, crossing: Crossing, answer: Answer, fault: ServiceFault) -> None:
        """The service failed in the middle: void, and the client can see that it is not whole."""
        self._decide_failure(crossing.passage, fault)
        exchange = crossing.exchange
        if _is_sse(answer) and not exchange.gone:
            await exchange.finish(b'event: error\ndata: {"error":"the answer broke off"}\n\n')
            exchange.keep_alive = False
        else:
            exchange.break_off()

    def _decide_failure(self, passage: Passage, fault: ServiceFault) -> None:
        slow = isinstance(fault, ServiceTimeout)
        outcome = Outcome.SERVICE_TIMEOUT if slow else Outcome.SERVICE_BROKE_OFF
        self._meter.decide(passage, Verdict(outcome, 504 if slow else 502))

    async def _refusal(self, crossing: Crossing, answer: Answer) -> Problem | None:
        """A service's own 4xx in its envelope passes; anything else is told in ours."""
        product = crossing.product
        if answer.status >= 500 or answer.status < 200:
            return refusals.service_failed(product.name, answer.status)
        if not (answer.ended or await _gathered(answer)):
            return refusals.service_broke_off(product.name)
        body = answer.buffered()
        if not (_is_json(answer) and is_envelope(body, product.family)):
            return refused_by_service(product.name, answer.status, body)
        verdict = Verdict(
            Outcome.SERVICE_VOID if _rule(answer) == "void" else Outcome.SERVICE_REFUSED,
            answer.status,
        )
        await self._meter.settle_now(crossing.passage, verdict)
        lines = crossing.lines + service_lines(answer.headers) + usage_lines(0, "failed")
        await crossing.exchange.send(answer.status, lines, body)
        self._meter.delivered(crossing.passage)
        return None

    def _verdict(
        self, crossing: Crossing, answer: Answer, reported: int | None, *, is_error: bool
    ) -> Verdict:
        if _rule(answer) == "void":
            return Verdict(Outcome.SERVICE_VOID, answer.status, reported, 0, "failed")
        if is_error:
            return Verdict(Outcome.ANSWER_SAYS_ERROR, answer.status, reported, 0, "failed")
        own = crossing.measured.own_count() if reported is None else None
        cost = price(crossing.product, Reported(reported, _rule(answer)), own)
        anonymous = crossing.passage.key_id is None
        if reported is not None:
            crossing.measured.observe(reported)
        else:
            self._telemetry.usage_alarms.labels(crossing.product.name, "missing").inc()
        outcome = Outcome.COMPLETE if reported is not None else Outcome.COMPLETE_UNREPORTED
        charged = 0 if anonymous else cost.tokens
        rule = "no_key" if anonymous else cost.rule
        return Verdict(outcome, answer.status, reported, charged, rule)


def _rule(answer: Answer) -> str | None:
    value = answer.header(RULE_HEADER)
    return None if value is None else value.decode("latin-1")


def _content_type(answer: Answer) -> bytes:
    return (answer.header(b"content-type") or b"").partition(b";")[0].strip().lower()


def _is_json(answer: Answer) -> bool:
    kind = _content_type(answer)
    return kind == b"application/json" or kind.endswith(b"+json")


def _is_sse(answer: Answer) -> bool:
    return _content_type(answer) == b"text/event-stream"


def _parses(body: bytes) -> bool:
    return read_json(body, ()) != Reading(None, True) or body.strip() in (b"{}", b"null")


def _watch(product: Product, answer: Answer) -> "JsonEdges | SseTail | None":
    if _is_sse(answer):
        return SseTail(product.usage_paths)
    return JsonEdges(product.usage_paths) if _is_json(answer) else None


def _reported(answer: Answer, reading: Reading) -> int | None:
    """The first source that tells; a header or trailer is cheaper and meant for us."""
    for fields in (answer.headers, answer.trailers):
        tokens = tokens_of(field(fields, USAGE_HEADER))
        if tokens is not None:
            return tokens
    return reading.tokens


def _read_whole(product: Product, answer: Answer, body: bytes) -> tuple[int | None, Reading]:
    reading = NOTHING_READ
    if _is_json(answer):
        told = _reported(answer, NOTHING_READ)
        if told is None or len(body) <= _PARSE_BYTES or b'"error"' in body:
            reading = read_json(body, product.usage_paths)
    elif _is_sse(answer):
        tail = SseTail(product.usage_paths)
        tail.feed(body)
        reading = tail.reading()
    return _reported(answer, reading), reading


async def _gathered(answer: Answer) -> bool:
    """Wait for a small answer to be whole; False when it is large or meant to be streamed."""
    if answer.body_bytes is None:
        if _is_sse(answer):
            return False
    elif answer.body_bytes > _WHOLE_BYTES:
        return False
    while not answer.ended and answer.pending <= _WHOLE_BYTES:
        await answer.more()
    return answer.ended
