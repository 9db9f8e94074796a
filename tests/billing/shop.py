"""A gateway and a stand-in for Stripe, and what a buyer does with both."""

from dataclasses import dataclass
from typing import Any

from tests.control.plain_http import Told
from tests.control.rig import Door, until
from tests.stripe_standin import StandIn

SMALL_TOKENS = 100_000_000
SMALL_USD = 500
TRIAL_TOKENS = 10_000_000


@dataclass(frozen=True)
class Shop:
    """One door with billing, and its Stripe."""

    door: Door
    stripe: StandIn

    async def buy(self, key: str, *, name: str | None = None, **words: Any) -> Told:
        """Ask for a checkout."""
        document = {"pack": "small", "currency": "usd", **words}
        headers = {} if name is None else {"Idempotency-Key": name}
        return await self.door.ask(
            "POST", "/v1/billing/checkout", bearer=key, document=document, headers=headers
        )

    async def session_of(self, key: str, **how: Any) -> tuple[str, str]:
        """Ids of an order that awaits its payment, and of its session."""
        told = await self.buy(key, **how)
        assert told.status == 200, told
        document = told.json()
        return document["order_id"], document["url"].rpartition("/")[2]

    async def order(self, key: str, order_id: str) -> dict[str, Any]:
        """The order as its owner sees it."""
        told = await self.door.ask("GET", "/v1/billing/orders", bearer=key)
        assert told.status == 200, told
        (found,) = [item for item in told.json()["items"] if item["order_id"] == order_id]
        return dict(found)

    async def reaches(self, key: str, order_id: str, state: str) -> dict[str, Any]:
        """Wait until the order is in this state."""

        async def there() -> dict[str, Any] | None:
            found = await self.order(key, order_id)
            return found if found["state"] == state else None

        found: dict[str, Any] = await until(there)
        return found

    async def balance(self, key: str) -> tuple[int, int]:
        """Trial and paid tokens."""
        balance = (await self.door.me(key))["balance"]
        return balance["trial"], balance["paid"]

    async def proven(self) -> bool:
        """Whether every check of the books holds."""
        told = await self.door.ops("GET", "/admin/reconcile")
        wrong = [c for c in told.json()["checks"] if c["differences"]]
        assert wrong == []
        return bool(told.json()["ok"])
