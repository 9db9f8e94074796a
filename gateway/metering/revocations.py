"""Keys that end while the ledger is away: told to Redis and to the disk now, to the ledger later.

1. The wish is made durable on this machine (revocation_files), then the key gets its tombstone in
   Redis: from there on no node admits it. Then 202.
2. Redis did not take it: the wish is withdrawn, 503. If the tombstone came to be all the same, it
   is lifted as soon as Redis answers.
3. Every second, in every process of the machine: what is wanted is told to the ledger. It does not
   answer: the tombstones are put where they are, in case Redis has lost them.
4. The ledger has it: Redis gets the ledger's own row, which takes the place of the tombstone.

A crash anywhere leaves a whole file or none. Each step is safe to repeat, by any process.
Refuses to move tokens: a revocation with a receiver waits for the ledger.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from gateway.admission.gate import Gate
from gateway.admission.reads import Load
from gateway.admission.tombs import Tombs
from gateway.conditions import Conditions
from gateway.errors import PostgresUnavailable, RedisUnavailable, SpoolUnavailable
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow, DeedRefusal
from gateway.metering.revocation_files import RevocationFiles, Wanted
from gateway.postgres import PostgresRefused

_LOG = logging.getLogger("sluice.revocations")
# A disk that takes longer than this is broken; what it does later is withdrawn then.
_DISK_S: Final = 2.0
# Told to the ledger, or put into Redis again, in one run.
MAX_PER_RUN: Final = 500
_TROUBLE: Final = "revocations_waiting"
REVOKED: Final = "revoked"


class Taken(Enum):
    """What became of a wish."""

    NOW = auto()
    BEFORE = auto()


class Revocations:
    """Of one machine. `new_name` makes a name that never comes twice."""

    def __init__(
        self,
        files: RevocationFiles,
        tombs: Tombs,
        book: Book,
        gate: Gate,
        conditions: Conditions,
        new_name: Callable[[], str],
    ) -> None:
        self._files = files
        self._tombs = tombs
        self._book = book
        self._gate = gate
        self._conditions = conditions
        self._new_name = new_name
        self._next = 0

    async def take(self, key_id: int) -> Taken:
        """End this key without the ledger; when it returns no node admits it any more.

        Raises RedisUnavailable or SpoolUnavailable: then nothing was done, or will be undone.
        """
        if not self._tombs.can_bury:
            raise RedisUnavailable("a revocation has to be told to it first")
        name = self._new_name()
        wanted = await self._written(key_id, name)
        try:
            before = await self._tombs.bury(key_id, name)
        except RedisUnavailable:
            await asyncio.shield(asyncio.to_thread(self._withdraw, wanted))
            raise
        return Taken.BEFORE if before == REVOKED else Taken.NOW

    async def is_ended(self, key_id: int) -> bool:
        """Whether it was revoked without the ledger, as far as this node can tell."""
        if self._files.has(key_id):
            return True
        try:
            return await self._tombs.is_revoked(key_id)
        except RedisUnavailable:
            return False

    def over(self, load: Load) -> Load:
        """The same rows, those of keys in the journal as the ledger is about to have them."""

        async def loaded(key_ids: Sequence[int]) -> Sequence[BalanceRow]:
            return [
                replace(row, status=REVOKED) if self._files.has(row.key_id) else row
                for row in await load(key_ids)
            ]

        return loaded

    async def run_once(self) -> int:
        """Do what is wanted; how many were done. Raises PostgresUnavailable, RedisUnavailable."""
        every = await asyncio.to_thread(self._files.all)
        if not every:
            self._conditions.clear(_TROUBLE)
            return 0
        self._conditions.set(_TROUBLE, f"{len(every)} in the journal")
        if self._next >= len(every):
            self._next = 0
        some = every[self._next : self._next + MAX_PER_RUN]
        self._next += MAX_PER_RUN
        ends = [wanted for wanted in some if not wanted.is_lift]
        try:
            for wanted in ends:
                await self._end(wanted)
        except PostgresUnavailable:
            await self._bury_again(ends)
            raise
        finally:
            lifts = [wanted for wanted in some if wanted.is_lift]
            for wanted in lifts:
                await self._lift(wanted)
        return len(some)

    async def _written(self, key_id: int, name: str) -> Wanted:
        writing = asyncio.ensure_future(asyncio.to_thread(self._files.write, key_id, name))
        try:
            return await asyncio.wait_for(asyncio.shield(writing), _DISK_S)
        except OSError as error:
            if not writing.done():
                writing.add_done_callback(self._too_late)
            raise SpoolUnavailable(f"the journal of revocations: {error}") from error

    def _too_late(self, writing: "asyncio.Future[Wanted]") -> None:
        if not writing.cancelled() and writing.exception() is None:
            asyncio.get_running_loop().run_in_executor(None, self._withdraw, writing.result())

    def _withdraw(self, wanted: Wanted) -> None:
        try:
            self._files.withdraw(wanted)
        except OSError as error:
            # It stays wanted: the key ends once the ledger is back, as its owner asked.
            _LOG.error("a revocation could not be withdrawn: %s", error)

    async def _end(self, wanted: Wanted) -> None:
        if not self._files.has(wanted.key_id):
            # Taken back, or done by another process, since the folder was read.
            return
        memory = self._gate.memory
        try:
            found = await self._book.end_key(wanted.key_id)
        except PostgresRefused as refused:
            # Kept for a person, and the others go on.
            _LOG.error("the ledger refused to revoke key %d: %s", wanted.key_id, refused)
            return
        if isinstance(found, DeedRefusal):
            _LOG.error("key %d was revoked and the ledger says %s", wanted.key_id, found.value)
        else:
            # What Redis does not take now the outbox brings.
            with suppress(RedisUnavailable):
                await self._gate.put_balance(found.sender, memory)
            _LOG.warning(
                "key %d, revoked without the ledger, is revoked in it: %d tokens forfeited",
                wanted.key_id,
                found.forfeited,
            )
        await self._done(wanted)

    async def _lift(self, wanted: Wanted) -> None:
        # Wanted again since: that tombstone has another name.
        await self._tombs.lift(wanted.key_id, wanted.name)
        await self._done(wanted)

    async def _done(self, wanted: Wanted) -> None:
        try:
            await asyncio.to_thread(self._files.done, wanted)
        except OSError as error:
            raise SpoolUnavailable(f"the journal of revocations: {error}") from error

    async def _bury_again(self, ends: Sequence[Wanted]) -> None:
        names = await asyncio.to_thread(lambda: [self._files.name_of(each) for each in ends])
        told = [(each.key_id, name) for each, name in zip(ends, names, strict=True) if name]
        await asyncio.gather(*(self._tombs.bury(key_id, name) for key_id, name in told))
