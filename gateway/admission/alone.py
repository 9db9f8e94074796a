"""Admission by this process alone, while Redis does not answer: limits in parts, money by the row.

1. Without a key: this process's part of the limits of the address, from memory.
2. With a key: the balance row of PostgreSQL, read after the request came, and the rules of `local`
   on it, on what this process holds, and on what it has decided that the ledger does not have yet.
3. A part that is used up is not looked at again for a moment, so that a flood costs PostgreSQL
   nothing.
4. PostgreSQL is away as well: nobody is let in. There is no money, and nobody to count who shares.

Refuses to write to any store. A passage that is let in here ends like every other; `comeback` tells
Redis of those that still run when it is back.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from gateway.admission.ask import Ask, Code, Decision, Extension
from gateway.admission.gate import Gate
from gateway.admission.local import Own, extended
from gateway.admission.reads import BalanceReads
from gateway.admission.refusals import Refusals
from gateway.admission.roll import Roll
from gateway.admission.unposted import Unposted
from gateway.errors import PostgresUnavailable, StoresUnavailable
from gateway.ledger.rows import BalanceRow
from gateway.units import US_PER_S

LIMITS: Final = "local_limits"
MONEY: Final = "local_money"
CAPPED: Final = "local_capped"
_CAPPED: Final = frozenset({Code.CAPPED_RATE, Code.CAPPED_PLACES, Code.CAPPED_BALANCE})
_REMEMBERED: Final = frozenset({Code.RPM, Code.TPM, Code.CAPPED_RATE})


class Running(Protocol):
    """What this process has admitted, in whatever way, and not yet brought into the ledger."""

    @property
    def unposted(self) -> Unposted:
        """What is decided and not posted."""

    def own(self, subject: str, product: str) -> Own:
        """What a subject has here: requests of a product, tokens of all."""


class Alone:
    """Decides without Redis. `count` is told the kind of each decision."""

    def __init__(
        self,
        gate: Gate,
        reads: BalanceReads,
        roll: Roll,
        running: Running,
        count: Callable[[str], None],
    ) -> None:
        self._local = gate.local
        self._reads = reads
        self._roll = roll
        self._running = running
        self._count = count
        self._now_s = asyncio.get_running_loop().time
        self._refusals = Refusals(self._now_s, _REMEMBERED)

    async def admit(self, ask: Ask) -> Decision:
        """Let it in by this process's part, or not. Raises StoresUnavailable.

        From the decision to the caller there is no pause: whoever counts what runs must note the
        request before he waits for anything.
        """
        self._check()
        found = self._refusals.find(ask)
        if found is None:
            sent_s = self._now_s()
            if ask.keyed:
                self._running.unposted.count_spent(ask.subject)
                with self._running.unposted.watching():
                    row = await self._row(ask.subject)
                    found = self._local.admit(ask, row, *self._means(ask))
            else:
                found = self._local.admit(ask, None, *self._means(ask))
            self._refusals.note(ask, found, sent_s)
        self._tell(ask, found)
        return found

    async def judge(self, ask: Ask) -> Decision:
        """What `admit` would decide; takes nothing and is not counted. Raises StoresUnavailable."""
        self._check()
        if not ask.keyed:
            return self._local.judge(ask, None, *self._means(ask))
        with self._running.unposted.watching():
            row = await self._row(ask.subject)
            return self._local.judge(ask, row, *self._means(ask))

    async def extend(self, subject: str, product: str, held: int, wanted: int) -> Extension:
        """Hold more for a request of a key that runs here. Raises StoresUnavailable.

        As with `admit`: note what is granted before anything else.
        """
        self._check()
        self._running.unposted.count_spent(subject)
        with self._running.unposted.watching():
            row = await self._row(subject)
            own = self._running.own(subject, product)
            found = extended(row, own, self._roll.parts, held, wanted)
        self._count(MONEY)
        return found

    def _check(self) -> None:
        if not self._roll.is_there:
            raise StoresUnavailable("neither Redis nor PostgreSQL answers")

    def _means(self, ask: Ask) -> tuple[Own, int, int]:
        now_us = int(self._now_s() * US_PER_S)
        return self._running.own(ask.subject, ask.product), self._roll.parts, now_us

    async def _row(self, subject: str) -> BalanceRow:
        """Of now, and not older than what this process has posted since."""
        try:
            row = await self._reads.read(int(subject.partition(":")[2]))
        except PostgresUnavailable as fault:
            raise StoresUnavailable(f"Redis is away, and PostgreSQL: {fault}") from fault
        assert row is not None, "a found key has a balance"
        return self._running.unposted.newest(row)

    def _tell(self, ask: Ask, found: Decision) -> None:
        if found.code in _CAPPED:
            self._count(CAPPED)
        else:
            self._count(MONEY if ask.keyed else LIMITS)
