"""What happens before a Redis that was away is believed again.

Its memory may be old: it was cut off from here, frozen, or began anew with a snapshot. In its
absence requests were admitted that it knows nothing of, and keys were changed (revoked, suspended,
charged, topped up) whose copies it still has as they were.

1. The holds of requests that were admitted without it, or grew without it, and still run.
2. Every balance that changed and that nobody could tell it: the ledger's outbox, read after the
   server was there again. A copy only gets newer.
3. Only then it is trusted. Until then keys are decided by the ledger's row, as while it was away;
   those that were let in so during 1 and 2 are written to it before anybody can ask it.

Refuses to believe it on less; only where PostgreSQL has been away for as long as Redis was (nobody
can have changed anything then), or longer, the outbox is not waited for.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from gateway.admission.ask import Hold
from gateway.admission.gate import Gate
from gateway.admission.roll import Roll
from gateway.admission.scripts import tag_slots
from gateway.admission.unposted import Unposted
from gateway.errors import PostgresUnavailable, RedisUnavailable
from gateway.ledger.rows import BalanceRow
from gateway.redis_link import Node, RedisLink

_LOG = logging.getLogger("sluice.comeback")
# While more keys have changed than that, the worker, which tells Redis of all, is waited for.
MOST_ROWS: Final = 20_000
_WRITTEN_MS: Final = 1_000


class Untold(Protocol):
    """The requests of this process that Redis has to be told of."""

    def untold_holds(self) -> list[Hold]:
        """Of requests that run and were admitted, or have grown, without Redis."""

    def told(self, holds: Sequence[Hold]) -> None:
        """Redis has these holds."""

    @property
    def unposted(self) -> Unposted:
        """What is decided and not posted, and what was spent meanwhile."""


class Comeback:
    """Of one process and link. `outbox` reads the ledger's changes, our own among them."""

    def __init__(
        self,
        link: RedisLink,
        gate: Gate,
        roll: Roll,
        untold: Untold,
        outbox: Callable[[int], Awaitable[Sequence[BalanceRow]]],
    ) -> None:
        self._link = link
        self._gate = gate
        self._roll = roll
        self._untold = untold
        self._outbox = outbox
        self._slots = tag_slots()
        link.doubt_who_was_away()

    async def run_once(self) -> int:
        """Wait for servers that were away, and bring each to trust; how many that were.

        Raises RedisUnavailable and PostgresUnavailable: it is not trusted yet, try again.
        """
        nodes = await self._link.doubted()
        fault: Exception | None = None
        for node in nodes:
            away_since_s = node.away_since_s
            try:
                await self._bring_up_to_date(node)
            except (PostgresUnavailable, RedisUnavailable) as caught:
                # The others are not made to wait for this one.
                fault = caught
                continue
            # Lost again meanwhile: its next return begins anew.
            if node.is_up and node.away_since_s == away_since_s:
                node.trust()
                _LOG.info("Redis at %s is trusted", node.endpoint)
                try:
                    await self._tell_holds(node)
                except RedisUnavailable as caught:
                    fault = caught
        if fault is not None:
            raise fault
        if self._link.is_trusted:
            self._untold.unposted.forget_spent()
        return len(nodes)

    def trouble(self) -> str:
        """Which servers answer and are not trusted yet, for an operator; empty when none."""
        nodes = [node for node in self._link.masters if node.is_doubted and node.is_up]
        return "; ".join(f"{node.endpoint}: it answers and is not trusted yet" for node in nodes)

    async def _tell_holds(self, node: Node) -> None:
        """All are on their way to it before this waits for anything."""
        holds = [hold for hold in self._untold.untold_holds() if self._gate.is_at(node, hold)]
        await self._gate.reassert(holds)
        self._untold.told(holds)

    async def _bring_up_to_date(self, node: Node) -> None:
        await self._tell_holds(node)
        memory = self._gate.memory
        try:
            rows = await self._outbox(MOST_ROWS)
        except PostgresUnavailable:
            if self._roll.seen_s >= node.away_since_s:
                raise
            rows = ()
        if len(rows) >= MOST_ROWS:
            raise RedisUnavailable(f"{MOST_ROWS} changed balances and more are not told yet")
        there = [row for row in rows if self._gate.is_at(node, row)]
        await self._gate.settle((), there, memory)
        await self._writes_to(node)

    async def _writes_to(self, node: Node) -> None:
        """It could not be told of what changes from here on if it took no writes."""
        for tag, slot in self._slots.items():
            if self._link.owns(node, slot):
                await self._link.call(slot, "SET", f"{tag}written", 1, "PX", _WRITTEN_MS)
                return
