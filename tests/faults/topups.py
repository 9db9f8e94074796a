"""Top-ups that go on while the way to Stripe is broken: each is credited once, none is lost.

Of three buyers one pays before the fault comes, one while it lasts, and one asks for his
checkout only then; whoever was told to come back does.
"""

import asyncio
from dataclasses import dataclass

from tests.billing.shop import SMALL_TOKENS
from tests.control.plain_http import Told, ask
from tests.crash.house import Key, until
from tests.faults.house import FaultHouse

_CREDITED_S = 60.0
_MAY_FAIL = (502, 503, 504)


@dataclass
class Order:
    """One key's purchase; `session` None: there is no checkout yet."""

    key: Key
    session: str | None = None


class TopUps:
    """Of one cell."""

    def __init__(self, house: FaultHouse) -> None:
        self._house = house
        self._orders: list[Order] = []
        self._asking: asyncio.Task[Told] | None = None

    async def prepare(self) -> None:
        """Two of three have a page to pay at, and one has paid."""
        house = self._house
        house.stripe.webhook_url = f"http://127.0.0.1:{house.ports[1]}/v1/billing/webhook"
        self._orders = [Order(await house.mint()) for _ in range(3)]
        for order in self._orders[:2]:
            assert (await self._buy(order)).status == 200, order
        await self._pay(self._orders[0])

    async def under_fault(self) -> None:
        """The second pays; the third asks, and may be told to come back."""
        await self._pay(self._orders[1])
        self._asking = asyncio.create_task(self._buy(self._orders[2]))

    async def afterwards(self) -> None:
        """All have paid, and have what they paid for: once."""
        last = self._orders[2]
        assert self._asking is not None
        told = await self._asking
        assert told.status == 200 or told.status in _MAY_FAIL, told
        if last.session is None:
            told = await self._buy(last)
            assert told.status == 200, told
        await self._pay(last)

        async def credited() -> bool:
            rows = [await self._house.book.load_balance(each.key.key_id) for each in self._orders]
            assert all(row is not None and row.paid in (0, SMALL_TOKENS) for row in rows), rows
            return all(row is not None and row.paid == SMALL_TOKENS for row in rows)

        await until(credited, _CREDITED_S)

    async def _buy(self, order: Order) -> Told:
        told = await ask(
            self._house.ports[0],
            "POST",
            "/v1/billing/checkout",
            bearer=order.key.text,
            document={"pack": "small", "currency": "usd"},
        )
        if told.status == 200:
            order.session = told.json()["url"].rpartition("/")[2]
        return told

    async def _pay(self, order: Order) -> None:
        assert order.session is not None
        await self._house.stripe.pay(order.session)
