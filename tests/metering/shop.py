"""One instance without its edge: requests are admitted and decided here, as the pipeline would."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.admission.ask import Ask, Code, Decision
from gateway.admission.gate import Gate
from gateway.admission.scripts import tag_of
from gateway.edge.request_ids import new_request_id
from gateway.errors import PostgresUnavailable
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow
from gateway.metering.meter import Meter, Passage, Verdict
from gateway.metering.numbers import AdmissionNumbers
from gateway.metering.outcomes import Outcome
from gateway.metering.pulse import Pulse
from gateway.metering.shipper import Shipper
from gateway.metering.spool import Spool
from gateway.postgres import Postgres
from gateway.products.product import Limits
from gateway.redis_link import RedisLink
from gateway.sql import load_queries
from gateway.telemetry import Telemetry

INSTANCE = "shop-1"
PRODUCT = "embeddings"
GRANT = 1_000_000
ANYONE = Limits(1_000, 100_000, 1_000)
DEADLINE_MS = 60_000


class Moody(Book):
    """The real ledger; at wish it is away, or its answer gets lost after the commit."""

    away = False
    answers_to_lose = 0
    batches: list[int]

    async def post_outcomes(
        self, events_json: bytes, *, deadline_ms: int | None = None
    ) -> list[BalanceRow]:
        if self.away:
            raise PostgresUnavailable("away")
        rows = await super().post_outcomes(events_json, deadline_ms=deadline_ms)
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise PostgresUnavailable("the answer was lost")
        return rows


class Shop:
    """The doing parts of one gateway process on real servers."""

    def __init__(self, root: Path, dsn: str, redis_url: str, **of_spool: int) -> None:
        loop = asyncio.get_running_loop()
        self.root = root
        self.redis_url = redis_url
        self.postgres = Postgres(dsn, command_deadline_ms=5_000)
        self.book = Moody(self.postgres, load_queries())
        self.link = RedisLink(redis_url, deadline_ms=5_000)
        self.gate = Gate(self.link)
        self.telemetry = Telemetry()
        self.spool = Spool(root, INSTANCE, **of_spool)
        self.meter = Meter(
            self.spool, self.gate, AdmissionNumbers(), self.telemetry, INSTANCE, loop.time
        )
        self.shipper = Shipper(self.spool, self.book, self.gate, self.meter, self.telemetry)
        self.pulse = Pulse(self.gate, self.meter, self.spool, lambda: self.link.restarts, loop.time)
        self._keys = iter(range(1, 1_000))
        self._ended = False
        self.deadline_ms = DEADLINE_MS

    async def mint(self, tokens: int = GRANT) -> int:
        """A key whose balance Redis has."""
        key_id = next(self._keys)
        row = await self.book.mint(key_id, os.urandom(32), "abcd", None, tokens, 0)
        assert isinstance(row, BalanceRow)
        await self.gate.put_balance(row)
        return key_id

    async def ask(
        self, key_id: int | None, hold: int = 100, limits: Limits = ANYONE
    ) -> tuple[Passage, Decision]:
        """Take a number and ask the gate; a refused number is given back."""
        subject = "a:192.0.2.1" if key_id is None else f"k:{key_id}"
        request_id, number = new_request_id(), self.meter.numbers.take()
        at_ms = int(request_id.replace("-", "")[:12], 16)
        passage = Passage(
            request_id,
            PRODUCT,
            subject,
            tag_of(subject),
            key_id,
            number,
            0 if key_id is None else hold,
            hold,
            at_ms,
            0.0,
            at_ms + self.deadline_ms,
        )
        decision = await self.gate.admit(
            Ask(
                subject,
                passage.tag,
                PRODUCT,
                request_id,
                limits,
                limits,
                hold,
                passage.held_tokens,
                passage.deadline_ms,
                INSTANCE,
                number,
                key_id is not None,
            )
        )
        if decision.code is Code.ADMITTED:
            self.meter.opened(passage)
        else:
            self.meter.numbers.give_back(number)
        return passage, decision

    async def admit(self, key_id: int | None, hold: int = 100, limits: Limits = ANYONE) -> Passage:
        passage, decision = await self.ask(key_id, hold, limits)
        assert decision.code is Code.ADMITTED, decision
        return passage

    async def serve(self, key_id: int | None, cost: int, limits: Limits = ANYONE) -> Passage:
        """One request from its admission to its last byte."""
        passage = await self.admit(key_id, 100, limits)
        await self.meter.settle_now(passage, complete(cost))
        self.meter.delivered(passage)
        return passage

    async def trial(self, key_id: int) -> int:
        row = await self.book.load_balance(key_id)
        assert row is not None
        return row.trial

    async def proof(self) -> dict[str, int]:
        """What the reconciliation finds, the copies in Redis included."""
        reconciler = Reconciler(self.postgres, load_queries())
        checks = await reconciler.run()
        checks.append(await reconciler.compare_copies(await self.gate.copies()))
        return {check.name: check.differences for check in checks if check.differences}

    async def close(self) -> None:
        """The end of a process that is asked to stop."""
        assert await self.shipper.drain(5)
        await self.shipper.say_goodbye()
        await self.end_spool()

    async def end_spool(self) -> None:
        """Its thread ends and its lock is free; what is owed or not posted stays on disk."""
        self._ended = True
        await self.spool.close()

    async def let_go(self) -> None:
        if not self._ended:
            await self.end_spool()
        await self.link.close()
        await self.postgres.close()


def complete(cost: int) -> Verdict:
    return Verdict(Outcome.COMPLETE, 200, cost, cost, "reported")


@asynccontextmanager
async def open_shop(root: Path, dsn: str, redis_url: str, **of_spool: int) -> AsyncIterator[Shop]:
    """A shop that is open; whether it is closed cleanly is the test's."""
    shop = Shop(root, dsn, redis_url, **of_spool)
    await shop.link.open()
    try:
        yield shop
    finally:
        await shop.let_go()
