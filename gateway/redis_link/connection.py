"""One connection: commands of one loop tick leave in one write, replies come back in order.

1. `send` queues the bytes of a command and its answer; the first of a tick schedules the write.
2. Replies resolve the oldest answer. An error reply goes to the owner, who may send again.
3. One timer looks at the oldest answer, not one timer per command. Late: the connection is
   dropped and everything that waits on it fails, because replies come in order or not at all.

Refuses to reconnect: that is the node's work.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import hiredis

from gateway.errors import RedisUnavailable
from gateway.redis_link.answer import Answer, Dropped
from gateway.redis_link.wire import encode

ASKING = encode("ASKING")
_SECOND_LOOK_S = 0.005
# Of a server that has not answered for a while, so many wait for the deadline; the rest is told no.
MOST_IN_DOUBT = 256
DOUBTFUL_S = 0.15
ErrorHandler = Callable[[Answer[object], str], None]


@dataclass(slots=True)
class Counters:
    """What a link has done: `round_trips` are writes, each with one or more commands."""

    commands: int = 0
    round_trips: int = 0
    failures: int = 0
    connects: int = 0
    restarts: int = 0
    memories: int = 0


class Counted:
    """The same, told to others."""

    _counters: Counters

    @property
    def commands(self) -> int:
        """Commands written so far."""
        return self._counters.commands

    @property
    def round_trips(self) -> int:
        """Batches written so far: one per node and loop tick."""
        return self._counters.round_trips

    @property
    def connects(self) -> int:
        """Connections made so far; more than nodes means that some were lost."""
        return self._counters.connects

    @property
    def restarts(self) -> int:
        """How often a server came back as another process: whatever it kept for us is lost."""
        return self._counters.restarts

    @property
    def failures(self) -> int:
        """Connections that were lost while somebody waited for an answer."""
        return self._counters.failures

    @property
    def memories(self) -> int:
        """Changes when what some server remembers may have begun anew: a process not met before."""
        return self._counters.memories


class Connection(asyncio.Protocol):
    """A socket to one server; `lost` is resolved with the reason when it ends."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deadline_s: float,
        counters: Counters,
        on_error: ErrorHandler,
    ) -> None:
        self.lost: asyncio.Future[str] = loop.create_future()
        self._loop = loop
        self._deadline_s = deadline_s
        self._counters = counters
        self._on_error = on_error
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Answer[object]] = deque()
        self._out: list[bytes] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._suspect: Answer[object] | None = None
        self._heard_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no instances of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop(f"connection lost: {exc or 'closed by the server'}")

    def send(self, answer: Answer[object]) -> None:
        """Queue the answer's command; it leaves before the loop's next round."""
        if self.lost.done():
            answer.fail(RedisUnavailable(self.lost.result()))
            return
        waiting = self._waiting
        if len(waiting) >= MOST_IN_DOUBT and self._is_late(waiting[0]):
            answer.fail(RedisUnavailable("it has not answered for a while"))
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        if answer.asking:
            answer.asking = False
            self._out.append(ASKING)
            self._waiting.append(Dropped(self._loop, None, ASKING, answer.queued_s))
        self._out.append(answer.command)
        self._waiting.append(answer)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._deadline_s, self._look_for_late)

    def _is_late(self, oldest: Answer[object]) -> bool:
        """Whether nothing was answered for so long that the server may be gone.

        What is queued in one piece, as by a scan, is not late before it could be answered.
        """
        heard_s = max(self._heard_s, oldest.queued_s)
        return self._loop.time() - heard_s > min(DOUBTFUL_S, self._deadline_s / 2)

    def drop(self, reason: str) -> None:
        """End the connection; everything that waits fails with `reason`. Harmless when ended."""
        if self.lost.done():
            return
        self.lost.set_result(reason)
        if self._sweep is not None:
            self._sweep.cancel()
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        self._out.clear()
        self._counters.failures += bool(waiting)
        for answer in waiting:
            answer.fail(RedisUnavailable(reason))

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        self._heard_s = self._loop.time()
        answer: Answer[object] | None = None
        try:
            reader.feed(data)
            reply = reader.gets()
            # False means that the rest has not come yet; this protocol has no booleans.
            while reply is not False:
                answer = self._waiting.popleft()
                if isinstance(reply, hiredis.ReplyError):
                    self._on_error(answer, str(reply))
                else:
                    answer.deliver(reply)
                reply = reader.gets()
        except (hiredis.ProtocolError, IndexError, TypeError, ValueError) as fault:
            reason = f"a reply that cannot be read: {fault!r}"
            if answer is not None:
                answer.fail(RedisUnavailable(reason))
            self.drop(reason)

    def _flush(self) -> None:
        out = self._out
        if not out or self._transport is None:
            return
        self._out = []
        self._counters.commands += len(out)
        self._counters.round_trips += 1
        self._transport.write(b"".join(out) if len(out) > 1 else out[0])

    def _look_for_late(self) -> None:
        self._sweep = None
        if not self._waiting:
            return
        now_s = self._loop.time()
        oldest = self._waiting[0]
        due_s = oldest.queued_s + self._deadline_s
        if now_s >= due_s and oldest is self._suspect:
            self.drop("no answer within the deadline")
            return
        if now_s >= due_s:
            # It may be us who stood still, with the answer unread: look once more after a read.
            self._suspect = oldest
            self._sweep = self._loop.call_later(_SECOND_LOOK_S, self._look_for_late)
            return
        for answer in self._waiting:
            # Sent again after a redirect: its own deadline may end before this node's.
            if now_s >= answer.started_s + self._deadline_s:
                answer.fail(RedisUnavailable("no answer within the deadline"))
        self._sweep = self._loop.call_at(due_s, self._look_for_late)
