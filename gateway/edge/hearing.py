"""The hearing side of a client connection: bytes become messages, and what is none is refused.

Refuses other protocols: what follows an upgrade is not read. aiohttp's own way of receiving serves
web sockets, forgets whose body broke, and gives a head no deadline.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web_protocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from gateway.edge.exchange import BodyBrokenError
from gateway.edge.malformed import (
    Malformed,
    endless_chunk,
    malformed_body,
    malformed_head,
    percent_encoded,
    too_large,
    too_many,
    too_slow,
)
from gateway.edge.same_head import MOST, Payload, SameHead, same_head
from gateway.units import MS_PER_S

# Of a head that comes in pieces, what is kept to tell whose envelope a refusal needs.
_KEPT_BYTES: Final = 4_096
# The parser bounds each field and their number; this bounds what thousands of heads may keep.
_HEAD_BYTES: Final = 64 * 1024
# Of all half heads of a process; the parser needs as much again. Beyond it long ones are refused.
_ALL_HEADS_BYTES: Final = 64 * 1024 * 1024
# A chunk of one byte takes six; extensions are read by nobody and could go on for ever.
_AROUND_BYTES: Final = 64 * 1024
_AROUND_EACH: Final = 8
_HEAD_END: Final = b"\r\n\r\n"


class HeadRoom:
    """What the half heads of all connections of a server keep, and how many keep a whole one."""

    def __init__(self) -> None:
        self.bytes = 0
        self.same = 0


class Hearing(web_protocol.RequestHandler):
    """Fills the queue of messages with requests, and with one Malformed as the last."""

    __slots__ = (
        "_body_bytes",
        "_clean",
        "_deaf",
        "_head_bytes",
        "_head_room",
        "_head_s",
        "_head_start",
        "_head_timer",
        "_payload",
        "_same",
    )

    def __init__(
        self, server: Any, header_deadline_ms: int, head_room: HeadRoom, **arguments: Any
    ) -> None:
        super().__init__(server, **arguments)
        self._head_room = head_room
        self._head_s = header_deadline_ms / MS_PER_S
        self._payload: Payload | None = None
        # Set: the last that the parser saw was one whole request, and nothing behind it.
        self._same: SameHead | None = None
        # The parser has nothing of a head; False also where that is not known.
        self._clean = True
        self._deaf = False
        self._head_start = b""
        self._head_bytes = 0
        self._body_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Parse; replaces aiohttp's, which serves web sockets and forgets whose body broke."""
        # Also while the server drains: a request that began before may have its body still to come.
        if self._deaf or self._parser is None:
            return
        same = self._same
        if same is not None:
            body = same.body_of(data) if self._is_idle() else None
            if body is not None:
                self._heard([(same.message, body)])
                return
            self._forget()
        payload = self._payload
        in_head = payload is None or payload.is_eof()
        try:
            messages, switched, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            fresh = in_head and self._clean
            mended = percent_encoded(data) if fresh else None
            if mended is not None:
                self._parser = self._new_parser()
                self.data_received(mended)
                return
            if fresh:
                data = self._good_before(data)
            self._broken(error, data)
            return
        self._clean = False
        if messages:
            # What follows an upgrade is another protocol, which nobody here speaks.
            self._deaf = switched
            self._look_back(data, messages)
            self._heard(messages)
        elif in_head and data:
            self._head_comes(data)
        elif isinstance(payload, StreamReader) and not payload.is_eof():
            self._body_comes(payload, data)

    def _is_idle(self) -> bool:
        """Whether all that came is answered."""
        waiter = self._waiter
        return waiter is not None and not (waiter.done() or self._messages)

    def _look_back(self, data: bytes, messages: Sequence[tuple[RawRequestMessage, Any]]) -> None:
        """Whether this packet left something of a head behind its last request; what may be kept.

        The parser does not tell. Without a body a request ends where its head does.
        """
        message, payload = messages[-1]
        if payload is EMPTY_PAYLOAD:
            self._clean = data.endswith(_HEAD_END)
        elif len(messages) == 1 and payload.is_eof() and self._head_room.same < MOST:
            self._same = same_head(data, message)
            if self._same is not None:
                self._head_room.same += 1
                self._clean = True

    def _forget(self) -> None:
        self._same = None
        self._head_room.same -= 1

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called for every body that is taken; only where one was too long is there anything."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _heard(self, messages: Any) -> None:
        if self._head_timer is not None:
            self._head_came()
        self._payload = messages[-1][1]
        self._body_bytes = 0
        self._messages.extend(messages)
        self._wake()
        if not self._buffer_paused and len(self._messages) >= self._max_msg_queue_size:
            self._pause_reading_for_buffer()

    def _good_before(self, data: bytes) -> bytes:
        """Hear the whole requests of a packet in front of what is none; what is left of it.

        The parser forgets them at its error, so another one reads the packet head by head.
        """
        parser, at = self._new_parser(), 0
        while at < len(data):
            end = data.find(_HEAD_END, at)
            end = len(data) if end < 0 else end + len(_HEAD_END)
            try:
                messages, _, _ = parser.feed_data(data[at:end])
            except HttpProcessingError:
                break
            if messages:
                self._heard(messages)
            at = end
        return data[at:]

    def _new_parser(self) -> HttpRequestParser:
        """As aiohttp makes it for each connection; the old one has stopped for good."""
        return HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web_protocol.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _broken(self, error: HttpProcessingError, data: bytes) -> None:
        """Nothing after these bytes can be understood; the answer to them is the last one."""
        payload = self._payload
        if isinstance(payload, StreamReader) and not payload.is_eof():
            self._deaf = True
            payload.set_exception(BodyBrokenError(malformed_body(error)))
        else:
            self._refuse(malformed_head(error, self._head_start + data))

    def _refuse(self, malformed: Malformed) -> None:
        self._deaf = True
        self._head_came()
        self._messages.append((malformed, EMPTY_PAYLOAD))  # type: ignore[arg-type]
        self._wake()

    def _head_comes(self, data: bytes) -> None:
        """A head in pieces: from now on it has its deadline, and its size is watched."""
        self._head_bytes += len(data)
        self._head_room.bytes += len(data)
        self._head_start = (self._head_start + data)[:_KEPT_BYTES]
        if self._head_timer is None:
            self._head_timer = self._loop.call_later(self._head_s, self._head_is_late)
        if self._head_bytes > _HEAD_BYTES:
            self._refuse(too_large(self._head_start))
        elif self._head_room.bytes > _ALL_HEADS_BYTES and self._head_bytes > _KEPT_BYTES:
            self._refuse(too_many(self._head_start))

    def _body_comes(self, payload: StreamReader, data: bytes) -> None:
        """More of a body; what is said around its chunks must not be most of it."""
        self._body_bytes += len(data)
        if self._body_bytes > _AROUND_BYTES + _AROUND_EACH * payload.total_bytes:
            self._deaf = True
            payload.set_exception(BodyBrokenError(endless_chunk()))

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._head_start = b""
        self._head_room.bytes -= self._head_bytes
        self._head_bytes = 0

    def _head_is_late(self) -> None:
        self._refuse(too_slow(self._head_start))

    def is_drained(self) -> bool:
        """See Writable."""
        return not self._paused and self.transport is not None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_came()
        if self._same is not None:
            self._forget()
        super().connection_lost(exc)
