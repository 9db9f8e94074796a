"""Processes that are killed after a number of steps, and a story that is told to its end anyway.

A step is one statement at PostgreSQL or one call at Stripe: what a process does outside itself.
Between two of them nothing is kept, so these are all the places where a kill can differ. A life
ends either before its last step is done or after, when nobody hears the answer any more.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gateway.admission.gate import Gate
from gateway.billing.checkout import Asked, Checkout, Terms
from gateway.billing.inbox import Inbox
from gateway.billing.looking import Looker
from gateway.billing.orders import Order
from gateway.billing.pack_file import load_packs
from gateway.billing.recharge import Recharges
from gateway.billing.recharge_till import RechargeTill, Wish
from gateway.billing.stripe_port import StripePort
from gateway.billing.sweep import Sweep
from gateway.billing.till import Till
from gateway.edge.request_ids import new_request_id
from gateway.errors import Fault
from gateway.ledger.book import Book
from gateway.postgres import Postgres, Row
from gateway.sql import load_queries
from tests.stripe_standin import StandIn
from tests.stripe_standin.signing import signature

_T = TypeVar("_T")
BEFORE: Final = "before"
AFTER: Final = "after"
_FOR_EVER: Final = 10**9


class Killed(Fault):
    """The process is no more."""


@dataclass
class Life:
    """How many steps are left, and whether the last one is done."""

    steps: int = _FOR_EVER
    how: str = AFTER
    done: int = 0
    names: list[str] = field(default_factory=list)

    async def step(self, name: str, act: Callable[[], Awaitable[_T]]) -> _T:
        """Do it, unless the process is dead by then."""
        if self.done >= self.steps:
            raise Killed(name)
        self.done += 1
        self.names.append(name)
        last = self.done >= self.steps
        if last and self.how == BEFORE:
            raise Killed(name)
        answer = await act()
        if last:
            raise Killed(name)
        return answer


class MortalPostgres(Postgres):
    """Statements of a life."""

    def __init__(self, life: Life, dsn: str) -> None:
        super().__init__(dsn, command_deadline_ms=20_000)
        self._life = life

    async def rows(self, sql: str, *values: object, deadline_ms: int | None = None) -> list[Row]:
        """One step."""
        act = super().rows

        async def run() -> list[Row]:
            return await act(sql, *values, deadline_ms=deadline_ms)

        return await self._life.step(sql.split("(")[0][-24:], run)


class MortalPort(StripePort):
    """Calls of a life: each request that leaves is a step."""

    def __init__(self, life: Life, stripe: StandIn) -> None:
        super().__init__(stripe.secret_key, stripe.base_url)
        send = self._http.request_async

        async def request(method: str, url: str, *rest: Any, **more: Any) -> Any:
            async def run() -> Any:
                return await send(method, url, *rest, **more)

            return await life.step(f"{method} {url.rpartition('/v1/')[2][:24]}", run)

        self._http.request_async = request  # type: ignore[method-assign]


@dataclass
class House:
    """One process: everything that billing is made of."""

    stripe: StandIn
    postgres: Postgres
    port: StripePort
    till: Till
    checkout: Checkout
    inbox: Inbox
    sweep: Sweep
    recharge_till: RechargeTill
    recharges: Recharges

    async def close(self) -> None:
        """The process is gone."""
        await self.postgres.close()
        await self.port.close()


def house(life: Life, dsn: str, stripe: StandIn, gate: Gate) -> House:
    """A process with this life."""
    queries, packs = load_queries(), load_packs(None)
    postgres, port = MortalPostgres(life, dsn), MortalPort(life, stripe)
    till, recharge_till = Till(postgres, queries), RechargeTill(postgres, queries)
    looker = Looker(till, port, gate)
    terms = Terms(False, "https://shop.example/", "https://shop.example/no")
    return House(
        stripe,
        postgres,
        port,
        till,
        Checkout(till, port, packs, terms, new_request_id),
        Inbox(till, port, looker, [stripe.webhook_secret]),
        Sweep(till, port, looker, 0),
        recharge_till,
        Recharges(till, recharge_till, port, looker, packs, terms, new_request_id, 0),
    )


@dataclass
class Story:
    """Somebody buys and saves his card, gets a part back, disputes the rest and loses or wins.

    Each scene is repeated by whoever began it until it was heard to the end: a client under his
    Idempotency-Key, Stripe its webhook, a worker whatever is left.
    """

    dsn: str
    stripe: StandIn
    gate: Gate
    key_id: int
    life: Life
    revoked: bool = False
    _house: House | None = None
    _sent: int = 0

    async def told(self) -> None:
        """From the checkout to the end."""
        order = await self._until_heard(self._checkout)
        assert order.session_id is not None
        if self.revoked:
            await self._in_vain(order.session_id)
            return
        await self.stripe.pay(order.session_id)
        await self._webhooks()
        await self.stripe.refund(order.session_id, 123)
        await self._webhooks()
        await self._until_heard(self._allow)
        await self._until_heard(lambda h: h.recharges.run_once())
        await self._webhooks()
        await self._until_heard(lambda h: h.recharge_till.stop(self.key_id, "owner"))
        dispute = await self.stripe.dispute(order.session_id)
        await self._webhooks()
        await self.stripe.win(dispute["id"])
        await self._webhooks()
        await self._until_heard(lambda h: h.sweep.run_once())
        await self._settle_inbox()

    async def _in_vain(self, session_id: str) -> None:
        """The key is revoked before the money comes: all of it goes back."""
        postgres = Postgres(self.dsn, command_deadline_ms=20_000)
        await Book(postgres, load_queries()).revoke(self.key_id)
        await postgres.close()
        await self.stripe.pay(session_id)
        await self._webhooks()
        await self._until_heard(lambda h: h.sweep.run_once())
        await self._webhooks()

    async def close(self) -> None:
        """The last process ends."""
        if self._house is not None:
            await self._house.close()

    async def _checkout(self, h: House) -> Order:
        pack = load_packs(None).packs["small"]
        asked = Asked(self.key_id, "the-order", pack, "usd", save=True)
        order = await h.checkout.open(asked)
        assert isinstance(order, Order), order
        return order

    async def _allow(self, h: House) -> bool:
        wish = Wish("medium", "usd", 10**12, 6_000, None)
        return await h.recharge_till.allow(self.key_id, wish, "a-secret", livemode=False)

    async def _webhooks(self) -> None:
        """Stripe sends everything new until it has heard 200, then a worker works at it."""
        events = self.stripe.events()
        for event in events[self._sent :]:
            body = json.dumps(event).encode()
            header = signature(body, [self.stripe.webhook_secret], self.stripe.desk.world.now())

            async def receive(h: House, body: bytes = body, header: str = header) -> str:
                return await h.inbox.receive(body, header)

            await self._until_heard(receive)
        self._sent = len(events)
        await self._settle_inbox()

    async def _settle_inbox(self) -> None:
        for _ in range(200):
            await self._until_heard(lambda h: h.inbox.run_once())
            # Leases and pauses are over.
            watcher = Postgres(self.dsn, command_deadline_ms=20_000, role=None)
            sql = "update stripe_inbox set next_at = now() where done_at is null returning 1"
            left = await watcher.rows(sql)
            await watcher.close()
            if not left:
                return
        raise AssertionError("the inbox is never empty")

    async def _until_heard(self, act: Callable[[House], Awaitable[_T]]) -> _T:
        async with asyncio.timeout(60):
            while True:
                if self._house is None:
                    self._house = house(self.life, self.dsn, self.stripe, self.gate)
                try:
                    return await act(self._house)
                except Fault:
                    pass
                # Whoever lives on does so for ever: one kill per story.
                if self.life.done >= self.life.steps:
                    await self._house.close()
                    self._house, self.life = None, Life()
