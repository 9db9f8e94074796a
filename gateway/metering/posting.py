"""What the shipper and the reaper share: post outcomes, tell Redis, set aside what is refused.

Refuses to let one impossible outcome hold up the others: it is found by halving, written to
`refused.jsonl` beside the spools, counted, and left to a person.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from gateway.admission.ask import Settlement
from gateway.admission.gate import Gate
from gateway.errors import RedisUnavailable
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow, OutcomesRefused

_LOG = logging.getLogger("sluice.posting")
# A batch in the ledger is worth more patience than a look-up.
_POST_DEADLINE_MS = 10_000
REFUSED_FILE = "refused.jsonl"


async def post_outcomes(
    book: Book, events: Sequence[bytes], directory: Path
) -> Sequence[BalanceRow]:
    """Post encoded events in one transaction; the newest row of every key they touch."""
    try:
        text = b"[" + b",".join(events) + b"]"
        return await book.post_outcomes(text, deadline_ms=_POST_DEADLINE_MS)
    except OutcomesRefused as refused:
        if len(events) == 1:
            _LOG.exception("an outcome was refused and set aside: %r", events[0])
            await asyncio.to_thread(_set_aside, directory.parent, events[0], str(refused))
            return ()
        half = len(events) // 2
        first = await post_outcomes(book, events[:half], directory)
        second = await post_outcomes(book, events[half:], directory)
        return (*first, *second)


async def settle_or_log(
    gate: Gate, settlements: Sequence[Settlement], rows: Sequence[BalanceRow]
) -> None:
    """Redis learns what PostgreSQL knows; if it cannot now, a later version will tell it."""
    try:
        await gate.settle(settlements, rows)
    except RedisUnavailable as fault:
        _LOG.warning("settle of %d outcomes failed: %s", len(settlements), fault)


def _set_aside(root: Path, event: bytes, why: str) -> None:
    with (root / REFUSED_FILE).open("ab") as file:
        file.write(event + b" // " + why.encode() + b"\n")
