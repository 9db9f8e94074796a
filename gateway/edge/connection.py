"""One connection to an internal service: a request goes out, its answer comes back.

Refuses to be kept when it is not clean: an answer that came before the request was written to its
end, or with bytes behind it, ends the connection.
"""

import asyncio
from typing import Final, Protocol, cast

from gateway.edge.answer import MAX_HEAD_BYTES, Answer, parse_head
from gateway.errors import AnswerBroken, Fault, ServiceFault, ServiceTimeout, StaleConnection

# A service may say that it goes on working; who says nothing else is broken.
_MOST_INTERIM: Final = 20
_SWITCHING: Final = 101
# A pooled connection that the service had closed ends within a round trip. One that ends later
# was working on the request, which may be what killed the service: it is not sent again.
_STALE_WITHIN_S: Final = 1.0
# Within an answer a service may be as silent as before it, and no longer than this: who thinks for
# longer says so (deepsearch every 10 s).
_SILENCE_S: Final = 200.0
_SERVER_ERRORS: Final = 500
_NOT_IMPLEMENTED: Final = 501
_BUSY: Final = 503


class ClientTooSlow(ServiceFault):
    """The answer was held up by its client until the deadline."""


class Pool(Protocol):
    """Where a connection belongs."""

    name: str

    def release(self, connection: "Connection") -> None:
        """It is free for another request."""

    def answered(self) -> None:
        """The service has given an answer that speaks for it."""

    def failed(self, subject: str) -> None:
        """It has failed a request of this subject."""

    def forget(self, connection: "Connection") -> None:
        """It is gone."""


class Connection(asyncio.Protocol):
    """`begin` a request, await its answer's head; one at a time."""

    __slots__ = (
        "_answer",
        "_began_s",
        "_buffer",
        "_drain",
        "_head",
        "_interim",
        "_loop",
        "_over",
        "_pool",
        "_silence_s",
        "_spoke",
        "_transport",
        "_used",
        "_writing",
        "deadline_s",
        "first_byte_s",
        "idle_since_s",
        "is_idle",
        "silent_until_s",
        "subject",
    )

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._head: asyncio.Future[Answer] | None = None
        self._answer: Answer | None = None
        self._buffer = b""
        self._drain: asyncio.Future[None] | None = None
        self._used = 0
        self._began_s = 0.0
        self._interim = 0
        self._writing = False
        self._over = False
        self._spoke = False
        self._silence_s = 0.0
        self.subject = ""
        self.is_idle = False
        self.silent_until_s = 0.0
        self.idle_since_s = 0.0
        self.deadline_s = 0.0
        self.first_byte_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def begin(
        self, request: bytes, first_byte_ms: int, deadline_ms: int, *, goes_on: bool = False
    ) -> asyncio.Future[Answer]:
        """Write the head (and a small body); the future is the answer once its head is here.

        `goes_on`: the body follows with `write`, until `written`.
        """
        assert self._head is None
        now = self._began_s = self._loop.time()
        self._used += 1
        self._interim = 0
        self._writing = goes_on
        self.deadline_s = now + deadline_ms / 1_000
        self._silence_s = first_byte_ms / 1_000
        self.first_byte_s = now + self._silence_s
        head = self._head = self._loop.create_future()
        if self._transport is None:
            head.set_exception(self._unanswered())
        else:
            self._transport.write(request)
        return head

    async def write(self, data: bytes) -> None:
        """Stream more of the body with back-pressure; nothing once the answer has come."""
        if self._transport is None or self._head is None:
            return
        self._transport.write(data)
        if self._drain is not None:
            await self._drain

    def written(self, first_byte_ms: int) -> None:
        """The body has been written to its end; from here on the service's time counts."""
        self._writing = False
        self.first_byte_s = self._loop.time() + first_byte_ms / 1_000

    def blame(self) -> None:
        """The service failed in a way that only the caller sees; it gives the request up."""
        self._pool.failed(self.subject)

    @property
    def is_full(self) -> bool:
        """Whether the service does not take what was written."""
        return self._drain is not None

    def pause_writing(self) -> None:
        if self._drain is None:
            self._drain = self._loop.create_future()

    def resume_writing(self) -> None:
        drain, self._drain = self._drain, None
        if drain is not None and not drain.done():
            drain.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._spoke = True
        try:
            if self._answer is None:
                data = self._take_head(data)
            if self._answer is not None:
                self._take_body(self._answer, data)
        except AnswerBroken as broken:
            self.fail(broken)

    def _take_head(self, data: bytes) -> bytes:
        """Begin the answer if its head is whole; what of its body came along."""
        if self._head is None:
            raise AnswerBroken("bytes without a request")
        assert self._transport is not None
        if self._buffer:
            data = self._buffer + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            answer = parse_head(data[:end], self._transport)
            data = data[end + 4 :]
            if answer.status >= 200:
                self._buffer = b""
                self._answer = answer
                return data
            self._interim += 1
            if answer.status == _SWITCHING or self._interim > _MOST_INTERIM:
                raise AnswerBroken("no answer but interim ones")
        if len(data) > MAX_HEAD_BYTES:
            raise AnswerBroken("an endless head")
        self._buffer = data
        return b""

    def _take_body(self, answer: Answer, data: bytes) -> None:
        if data and (answer.ended or answer.feed(data)):
            broken = AnswerBroken("bytes behind the answer")
            answer.spoil(broken)
            raise broken
        head = self._head
        if head is not None and not head.done():
            head.set_result(answer)
            self._judge(answer)
        if answer.ended:
            self._finish(answer)

    def _judge(self, answer: Answer) -> None:
        """What the head says of the service; see `breaker` for what counts."""
        status = answer.status
        if status < _SERVER_ERRORS:
            self._pool.answered()
        elif status != _NOT_IMPLEMENTED and (
            status != _BUSY or answer.header(b"retry-after") is None
        ):
            self._pool.failed(self.subject)

    def _finish(self, answer: Answer) -> None:
        self._answer = self._head = None
        answer.resume()
        if answer.keep_alive and not self._writing and self._transport is not None:
            self.idle_since_s = self._loop.time()
            self._pool.release(self)
        else:
            self.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.resume_writing()
        self._pool.forget(self)
        answer, head = self._answer, self._head
        if answer is not None:
            was_given_up = answer.has_failed
            answer.connection_ended(in_order=exc is None)
            if answer.has_failed and not (was_given_up or self._over):
                self._pool.failed(self.subject)
        if head is not None and not head.done():
            failure = self._unanswered()
            if not isinstance(failure, StaleConnection):
                self._pool.failed(self.subject)
            head.set_exception(failure)

    def _unanswered(self) -> Fault:
        silent = not self._buffer and not self._interim
        at_once = self._loop.time() - self._began_s < _STALE_WITHIN_S
        if self._used > 1 and silent and at_once:
            return StaleConnection("the pooled connection was closed")
        return AnswerBroken("closed before an answer")

    def fail(self, failure: Fault) -> None:
        """Give the request up: the waiter gets the failure and the connection is closed."""
        if self._head is not None and not isinstance(failure, ClientTooSlow):
            self._pool.failed(self.subject)
        if self._answer is not None:
            self._answer.fail(failure)
        if self._head is not None and not self._head.done():
            self._head.set_exception(failure)
        self.close()

    def close(self) -> None:
        """Drop the connection at once; the service sees that nobody waits any more."""
        self._over = True
        self._pool.forget(self)
        if self._head is not None and not self._head.done():
            self._head.cancel()
        if self._transport is not None:
            self._transport.abort()

    def sweep(self, now_s: float) -> None:
        """Fail when a deadline has passed."""
        if self._head is None:
            return
        if now_s > self.deadline_s:
            # Whoever held the answer up is who is too slow.
            if self._answer is not None and self._answer.is_held_up:
                self.fail(ClientTooSlow("the client took too long to read its answer"))
            else:
                self.fail(ServiceTimeout(f"{self._pool.name} is past its deadline"))
        elif self._answer is None and not self._writing and now_s > self.first_byte_s:
            self.fail(ServiceTimeout(f"{self._pool.name} is past its deadline"))
        elif self._answer is not None:
            self._listen(self._answer, now_s)

    def _listen(self, answer: Answer, now_s: float) -> None:
        """Fail an answer in whose middle the service has fallen silent."""
        if self._spoke or answer.is_held_up:
            self._spoke = False
            self.silent_until_s = now_s + min(self._silence_s, _SILENCE_S)
        elif now_s > self.silent_until_s:
            self.fail(ServiceTimeout(f"{self._pool.name} fell silent in its answer"))
