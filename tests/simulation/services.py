"""The services behind the gateway, as bytes: whole, streamed, void, failing, silent, cut, greedy.

What each told about usage, and when, is kept for the reckoning (`told`).
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.simulation.clockwork import VirtualLoop, outside
from tests.simulation.network import Wire

WHOLE = "whole"
# What else may become of a request, with its weight when services misbehave.
BAD = {
    "5xx": 3,
    "4xx": 3,
    "void": 3,
    "error": 3,
    "hang": 2,
    "cut": 3,
    "garbage": 1,
    "greedy": 3,
    "unreported": 2,
    "slow": 3,
}


@dataclass(slots=True)
class Told:
    """What a service said of one request: usages in order, and how it was meant to end."""

    product: str
    fate: str
    usages: list[int] = field(default_factory=list)
    times: int = 0


class Services:
    """All services of a run."""

    def __init__(self, loop: VirtualLoop, chance: Random) -> None:
        self.loop = loop
        self.chance = chance
        self.told: dict[str, Told] = {}
        self.bad_odds = 0.0

    def connected(self, product: str) -> Any:
        return lambda wire: ServiceLine(self, product, wire)

    def fate(self) -> str:
        if self.chance.random() >= self.bad_odds:
            return WHOLE
        return self.chance.choices(list(BAD), list(BAD.values()))[0]


class ServiceLine:
    """The service's end of one connection."""

    def __init__(self, services: Services, product: str, wire: Wire) -> None:
        self.services = services
        self.product = product
        self.wire = wire
        self.gone = False

    def ended(self) -> None:
        """The gateway wants no more."""
        self.gone = True

    def heard(self, data: bytes) -> None:
        """A request, whole: they are small."""
        services = self.services
        head, _, body = data.partition(b"\r\n\r\n")
        request_id = head.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()
        told = services.told.get(request_id)
        if told is None:
            told = services.told[request_id] = Told(self.product, services.fate())
        told.times += 1
        at_s = services.loop.now_s + services.chance.uniform(0.002, 0.05)
        if told.fate == "slow":
            at_s += services.chance.uniform(0.5, 6.0)
        if told.fate == "hang":
            return
        if told.fate in ("5xx", "4xx"):
            self._refuse(told, at_s)
        elif b'"stream":true' in body:
            self._stream(told, at_s)
        else:
            self._whole(told, at_s, len(body))

    def _refuse(self, told: Told, at_s: float) -> None:
        status, body = b"503 Busy", b'{"detail":"busy"}'
        if told.fate == "4xx":
            status = b"422 Odd"
        self._later(at_s, _answer(status, body, b"content-type: application/json\r\n"))

    def _whole(self, told: Told, at_s: float, size: int) -> None:
        chance, lines = self.services.chance, b""
        tokens = chance.randint(1, max(1, size))
        if told.fate == "greedy":
            tokens = size + chance.randint(1, 300)
        if self.product == "reader":
            tokens = chance.randint(1, 60)
            kind, body = b"text/plain", b"page " * chance.randint(1, 20)
        else:
            kind = b"application/json"
            body = b'{"data":[],"usage":{"total_tokens":%d}}' % tokens
        if told.fate == "unreported":
            body = body if self.product == "reader" else b'{"data":[]}'
        elif self.product == "reader":
            lines += b"x-usage-tokens: %d\r\n" % tokens
        if told.fate == "void":
            lines += b"x-charge-rule: void\r\n"
        elif told.fate == "error":
            kind, body = b"application/json", b'{"error":{"message":"no"},"x":"%d"}' % tokens
        elif told.fate == "garbage":
            kind, body = b"application/json", b'{"data":['
        if told.fate != "unreported":
            told.usages.append(tokens)
        answer = _answer(b"200 OK", body, b"content-type: %b\r\n%b" % (kind, lines))
        if told.fate == "cut":
            self._later(at_s, answer[: chance.randint(0, len(answer) - 1)])
            outside(self.services.loop, at_s + 0.01, self.wire.cut)
        else:
            self._later(at_s, answer)

    def _stream(self, told: Told, at_s: float) -> None:
        chance = self.services.chance
        if told.fate in ("void", "garbage"):
            # Those are said by a head, or of a body as a whole.
            told.fate = WHOLE
        head = (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        self._later(at_s, head)
        used, pieces = 0, chance.randint(1, 6)
        for _ in range(pieces):
            at_s += chance.uniform(0.05, 1.5)
            used += chance.randint(1, 250 if told.fate == "greedy" else 120)
            outside(self.services.loop, at_s, self._running, told, used)
        if told.fate == "hang":
            return
        at_s += 0.05
        if told.fate == "cut":
            outside(self.services.loop, at_s, self.wire.cut)
            return
        outside(self.services.loop, at_s, self._last, told, used + chance.randint(0, 30))

    def _running(self, told: Told, used: int) -> None:
        if self.gone:
            return
        told.usages.append(used)
        event = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n: usage %d\n\n' % used
        self._send(b"%x\r\n%b\r\n" % (len(event), event))

    def _last(self, told: Told, used: int) -> None:
        if self.gone:
            return
        usage = b""
        if told.fate != "unreported":
            told.usages.append(used)
            usage = b',"usage":{"total_tokens":%d}' % used
        if told.fate == "error":
            event = b'data: {"error":{"message":"no"}}\n\n'
        else:
            event = b'data: {"choices":[{"finish_reason":"stop"}]%b}\n\ndata: [DONE]\n\n' % usage
        self._send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))

    def _later(self, at_s: float, data: bytes) -> None:
        outside(self.services.loop, at_s, self._send, data)

    def _send(self, data: bytes) -> None:
        if not self.gone:
            loop = self.services.loop
            delay_s = 0.0005
            loop.call_at(loop.now_s + delay_s, self.wire.tell, data, context=self.wire.context)


def _answer(status: bytes, body: bytes, lines: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, lines, len(body), body)
