"""Changes of a key that no shipper made, brought to Redis until it has them.

Refuses to order anything: rows carry versions, so copying one twice or late is harmless.
"""

from gateway.admission.gate import Gate
from gateway.ledger.book import Book


class Outbox:
    """Copies what is in the ledger's outbox into Redis."""

    def __init__(self, book: Book, gate: Gate) -> None:
        self._book = book
        self._gate = gate

    async def run_once(self) -> int:
        """Copy one bounded batch; answers how many keys were copied."""
        rows = await self._book.take_outbox()
        if rows:
            await self._gate.settle((), rows)
            await self._book.clear_outbox(rows)
        return len(rows)
