"""What an operator asks of the books: usage exports, closed days, what the canary saw.

Refuses to change anything.
"""

from collections.abc import Mapping
from typing import Any

from gateway.control.call import Reply, Stream
from gateway.control.exporting import days_of, export_of, published_of
from gateway.control.owner import iso
from gateway.errors import Problem
from gateway.keys.format import parse_key_id
from gateway.ledger.canary import MAX_DAYS
from gateway.ledger.shelf import Shelf

Path = Mapping[str, str]
Query = Mapping[str, str]


class AdminBooks:
    """The handlers; each takes path parameters, query and JSON body."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def export(self, path: Path, query: Query, _body: Any) -> Stream | Problem:
        """The lines of any key, a revoked one too."""
        key_id = await self._known(path)
        if isinstance(key_id, Problem):
            return key_id
        return export_of(self._shelf.exports, key_id, query)

    async def days(self, path: Path, query: Query, _body: Any) -> Reply | Problem:
        """The digests of any key's closed days."""
        key_id = await self._known(path)
        if isinstance(key_id, Problem):
            return key_id
        return await days_of(self._shelf.exports, key_id, query)

    async def published(self, _path: Path, query: Query, _body: Any) -> Reply | Problem:
        """The published digests."""
        return await published_of(self._shelf.exports, query)

    async def canary(self, _path: Path, query: Query, _body: Any) -> Reply | Problem:
        """`?days=`: how every subject was the last time, and by the day."""
        text = query.get("days", "90")
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:4]) <= MAX_DAYS:
            return Problem("INPUT_INVALID", 400, f"days must be a number from 1 to {MAX_DAYS}")
        latest = await self._shelf.canary.latest()
        days = await self._shelf.canary.days(int(text))
        return Reply(
            200,
            {
                "latest": [
                    {
                        "subject": seen.subject,
                        "ok": seen.ok,
                        "ms": seen.ms,
                        "text": seen.text,
                        "at": iso(seen.at_ms),
                    }
                    for seen in latest
                ],
                "days": [
                    {
                        "subject": span.subject,
                        "day": iso(span.start_ms)[:10],
                        "runs": span.runs,
                        "failures": span.failures,
                        "mean_ms": span.mean_ms,
                        "most_ms": span.most_ms,
                    }
                    for span in days
                ],
            },
        )

    async def _known(self, path: Path) -> int | Problem:
        key_id = parse_key_id(path["key_id"])
        if key_id is None:
            text = "The key id must look like key_ and 11 characters"
            return Problem("INPUT_INVALID", 400, text)
        if await self._shelf.key_view(key_id) is None:
            return Problem("RESOURCE_NOT_FOUND", 404, "There is no key with this id")
        return key_id
