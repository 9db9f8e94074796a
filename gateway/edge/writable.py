"""What an exchange needs of its connection. Refuses nothing: connections implement it."""

import asyncio


class Writable:
    """What an exchange needs of its connection: a transport and its back-pressure."""

    transport: asyncio.Transport | None

    def is_drained(self) -> bool:
        """Whether `drained` would return at once: the usual case, without a coroutine."""
        raise AssertionError("implemented by the connection")

    async def drained(self, until_s: float | None) -> None:
        """Return when the transport takes more; raises ConnectionResetError when it is gone.

        A client that takes nothing until `until_s` (loop time), or for long, is taken for gone.
        """
        raise AssertionError(f"implemented by the connection, until {until_s}")

    def is_cut(self) -> bool:
        """Whether we end it, because this process stops and its drain is over."""
        raise AssertionError

    def has_left(self) -> bool:
        """Whether the client has closed its side, also while nothing is read from it."""
        raise AssertionError("implemented by the connection")
