"""Changes of a key that no shipper made, or could tell, brought to Redis until it has them.

Where Redis came back as another process, the revocations of the last days are told again: who had
read a balance before its key was revoked may have written it down after Redis forgot.

Refuses to order anything: rows carry versions, so copying one twice or late is harmless.
"""

from collections.abc import Callable
from typing import Final

from gateway.admission.gate import Gate
from gateway.ledger.book import Book

# As long as a copy lives.
REVOKED_DAYS: Final = 7
_PAGE: Final = 1_000


class Outbox:
    """Copies what is in the ledger's outbox into Redis.

    `restarts` counts how often Redis came back as another process.
    """

    def __init__(self, book: Book, gate: Gate, restarts: Callable[[], int]) -> None:
        self._book = book
        self._gate = gate
        self._restarts = restarts
        self._told_restarts = -1

    async def run_once(self) -> int:
        """Copy one bounded batch; answers how many keys were copied."""
        restarts = self._restarts()
        if restarts != self._told_restarts:
            await self._tell_revocations()
            self._told_restarts = restarts
        memory = self._gate.memory
        rows = await self._book.take_outbox()
        if rows:
            await self._gate.settle((), rows, memory)
            await self._book.clear_outbox(rows)
        return len(rows)

    async def _tell_revocations(self) -> None:
        last = 0
        while rows := await self._book.recently_revoked(REVOKED_DAYS, last, _PAGE):
            await self._gate.settle((), rows)
            last = rows[-1].key_id
