"""Clients: each asks once over a connection of its own, may leave, and keeps a journal.

Refuses to believe a head: an answer counts as had only when its last byte has come.
"""

from dataclasses import dataclass
from typing import Any

from tests.simulation.clockwork import VirtualLoop, outside
from tests.simulation.network import Wire


@dataclass(slots=True)
class Journal:
    """What one client knows. `whole_s`: when the last byte came; `left_s`: when it hung up."""

    number: int
    product: str
    key_id: int | None
    gateway: str
    asked_s: float
    status: int = 0
    request_id: str = ""
    tokens: int | None = None
    rule: str = ""
    body_bytes: int = 0
    whole_s: float | None = None
    left_s: float | None = None
    cut_s: float | None = None
    broken: bool = False
    body: bytes = b""


class Client:
    """The client's end of its connection to a gateway."""

    def __init__(self, loop: VirtualLoop, journal: Journal) -> None:
        self.loop = loop
        self.journal = journal
        self.wire: Wire | None = None
        self._data = b""

    def connect(self, protocol: Any, context: Any, address: int) -> Wire:
        """In the gateway's process."""
        self.wire = Wire(protocol, context, self.loop)
        self.wire.peer = f"192.0.2.{address}"
        self.wire.server = self
        protocol.connection_made(self.wire)
        return self.wire

    def heard(self, data: bytes) -> None:
        """The gateway has written: its kernel has it, and nothing takes it back."""
        self._data += data
        self._read()

    def ended(self) -> None:
        """The connection is closed; an answer that is not whole stays so."""
        journal = self.journal
        if journal.whole_s is None and journal.left_s is None and journal.cut_s is None:
            journal.cut_s = self.loop.now_s

    def leave(self) -> None:
        """Hang up, wherever the gateway is with it."""
        journal, wire = self.journal, self.wire
        if journal.whole_s is None and journal.cut_s is None:
            journal.left_s = self.loop.now_s
            self.loop.trace.add(self.loop.now_s, f"c{journal.number}", "leaves")
        if wire is not None and not wire.closed:
            wire.closed = True
            self.loop.call_soon(wire.protocol.connection_lost, None, context=wire.context)

    def killed(self) -> None:
        """The gateway is dead; its kernel says so."""
        if self.wire is not None:
            self.wire.closed = True
        self.ended()

    def _read(self) -> None:
        journal = self.journal
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found or journal.whole_s is not None:
            return
        lines = head.lower().split(b"\r\n")
        journal.status = int(lines[0][9:12])
        fields = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
        journal.request_id = fields.get(b"x-request-id", b"").decode()
        trailers: dict[bytes, bytes] = {}
        if b"content-length" in fields:
            body, whole = rest, len(rest) >= int(fields[b"content-length"])
        else:
            body, whole, trailers = _chunks(rest)
        journal.body_bytes, journal.body = len(body), body
        if not whole:
            return
        told = trailers.get(b"x-usage-tokens", fields.get(b"x-usage-tokens"))
        journal.tokens = None if told is None else int(told)
        journal.rule = trailers.get(b"x-usage-rule", fields.get(b"x-usage-rule", b"")).decode()
        journal.whole_s = self.loop.now_s
        self.loop.trace.add(
            self.loop.now_s, f"c{journal.number}", f"has {journal.status} for {journal.tokens}"
        )
        outside(self.loop, self.loop.now_s + 0.001, self.leave)


def _chunks(rest: bytes) -> tuple[bytes, bool, dict[bytes, bytes]]:
    """The body so far, whether it is whole, its trailers."""
    body, at = b"", 0
    while True:
        end = rest.find(b"\r\n", at)
        if end < 0:
            return body, False, {}
        size = int(rest[at:end], 16)
        if size == 0:
            if not rest.endswith(b"\r\n\r\n"):
                return body, False, {}
            lines = rest[end + 2 :].lower().split(b"\r\n")
            return body, True, dict(x.split(b": ", 1) for x in lines if b": " in x)
        if len(rest) < end + 4 + size:
            return body + rest[end + 2 : end + 2 + size], False, {}
        body += rest[end + 2 : end + 2 + size]
        at = end + 4 + size
