"""The future of one command: what is asked, since when, and what its reply becomes.

Refuses to be cancelled: a decision that Redis has taken must be known to somebody, so a task that
is cancelled while it waits learns of that only when the answer is there (within the deadline).
"""

import asyncio
from typing import ClassVar, TypeVar

from gateway.errors import RedisUnavailable

T = TypeVar("T")
# What a server may answer: bytes, an integer, None, or a list of these.
Reply = object


class Answer(asyncio.Future[T]):
    """A reply that will come: `deliver` and `fail` are called once, by the link.

    Subclasses turn the reply into what their caller waits for. `slot` None: any node will do.
    `needs_trust`: worth nothing from a server whose memory may be old (see `Node.is_doubted`).
    `may_wait`: for a new connection, which may lead to another process.
    """

    needs_trust: ClassVar[bool] = False
    may_wait: ClassVar[bool] = True

    __slots__ = ("asking", "attempts", "command", "queued_s", "slot", "started_s")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, slot: int | None, command: bytes, now_s: float
    ) -> None:
        super().__init__(loop=loop)
        self.slot = slot
        self.command = command
        self.started_s = now_s
        self.queued_s = now_s
        self.attempts = 0
        self.asking = False

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002
        """Refused: see the module."""
        return False

    def deliver(self, reply: Reply) -> None:
        """The server's answer is here."""
        raise AssertionError(f"each kind of answer reads its own reply, not {reply!r}")

    def fail(self, fault: RedisUnavailable) -> None:
        """There will be no answer."""
        if not self.done():
            self.set_exception(fault)
            # Seen: whoever asked may have gone, and that is no reason for a message in the log.
            self.exception()


class Plain(Answer[Reply]):
    """The reply as it came."""

    __slots__ = ()

    def deliver(self, reply: Reply) -> None:
        if not self.done():
            self.set_result(reply)


class Trusted(Plain):
    """The reply as it came, of a server whose memory is known to be new."""

    __slots__ = ()
    needs_trust = True


class Bound(Plain):
    """The reply as it came, of the process that is connected now."""

    __slots__ = ()
    may_wait = False


class Dropped(Answer[Reply]):
    """A reply that nobody waits for."""

    __slots__ = ()

    def deliver(self, reply: Reply) -> None:  # noqa: ARG002
        if not self.done():
            self.set_result(None)

    def fail(self, fault: RedisUnavailable) -> None:  # noqa: ARG002
        if not self.done():
            self.set_result(None)
