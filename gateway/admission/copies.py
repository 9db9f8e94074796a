"""Reads balance copies back from Redis, so that the proof can compare them with PostgreSQL.

Refuses to read everything at once: a bounded part per call, from where the last call ended. Copies
of balances that were clamped are left out, as they differ by design.
"""

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Final

from gateway.admission.ask import MAX_COPY_TOKENS
from gateway.admission.scripts import NOT_NAMED, NULL, OWN_LIMITS, OWN_NAMES, SHADOW_NAMES
from gateway.ledger.rows import BalanceRow
from gateway.redis_link import Node, RedisLink, Reply

PATTERN: Final = "{s*}b:k:*"
KEYS_PER_SCAN: Final = 1_000
SCANS_PER_READ: Final = 20
_START: Final = b"0"


class Copies:
    """Goes round the copies of all servers of a link."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._cursors: dict[str, bytes] = {}

    async def read(self) -> list[BalanceRow]:
        """The copies of the next part of every server."""
        found: dict[int, BalanceRow] = {}
        for node in self._link.masters:
            for _ in range(SCANS_PER_READ):
                # A scan may tell a key twice.
                found |= {row.key_id: row for row in await self._page(node)}
                if self._cursors[str(node.endpoint)] == _START:
                    break
        return list(found.values())

    async def pages(self) -> AsyncIterator[list[BalanceRow]]:
        """Every copy there is, page by page, from the beginning; a scan may tell one twice."""
        for node in self._link.masters:
            self._cursors[str(node.endpoint)] = _START
            while True:
                yield await self._page(node)
                if self._cursors[str(node.endpoint)] == _START:
                    break

    async def _page(self, node: Node) -> list[BalanceRow]:
        name = str(node.endpoint)
        words = ("SCAN", self._cursors.get(name, _START), "MATCH", PATTERN, "COUNT", KEYS_PER_SCAN)
        reply = await self._link.call_at(node, *words)
        assert isinstance(reply, list)
        self._cursors[name], keys = reply
        asked = [(key, self._link.call_at(node, "HGETALL", key)) for key in keys]
        rows = [_row(key, await answer) for key, answer in asked]
        return [row for row in rows if row and row.trial + row.paid < MAX_COPY_TOKENS]


def _row(key: bytes, reply: Reply) -> BalanceRow | None:
    """The row that a copy was made of; None when it is gone by now."""
    assert isinstance(reply, list)
    words = [word.decode() for word in reply]
    fields = dict(pair for place, pair in enumerate(pairwise(words)) if place % 2 == 0)
    # Of a key that was revoked without the ledger, what is copied differs until that knows.
    if not fields or "tomb" in fields:
        return None
    return BalanceRow(
        int(key.decode().rpartition(":")[2]),
        int(fields["version"]),
        int(fields["trial"]),
        int(fields["paid"]),
        fields["status"],
        fields["tier"],
        {
            name.removeprefix(OWN_LIMITS): _own_limits(text)
            for name, text in fields.items()
            if name.startswith(OWN_LIMITS)
        },
    )


def _own_limits(text: str) -> dict[str, int | None]:
    words = zip(OWN_NAMES + SHADOW_NAMES, text.split(" "), strict=False)
    return {name: None if word == NULL else int(word) for name, word in words if word != NOT_NAMED}


async def forget_everything(link: RedisLink) -> int:
    """Delete windows, holds and copies of all subjects, for a ledger that went back in time.

    Answers how many. What runs meanwhile writes new ones: nothing may.
    """
    count = 0
    for node in link.masters:
        cursor = _START
        while True:
            reply = await link.call_at(node, "SCAN", cursor, "MATCH", "{s*}*", "COUNT", 1_000)
            assert isinstance(reply, list)
            cursor, keys = reply
            # One command for each: keys of several slots cannot go together.
            for answer in [link.call_at(node, "UNLINK", key) for key in keys]:
                await answer
            count += len(keys)
            if cursor == _START:
                break
    return count
