"""`GET /admin/billing`: what waits, what is owed, and the orders that need a person.

Refuses to move anything: money goes back at Stripe, and tokens by a credit.
"""

from collections.abc import Mapping
from typing import Any

from gateway.billing.orders import Order
from gateway.billing.till import Till
from gateway.control.billing import order_document
from gateway.control.call import Reply
from gateway.errors import Problem
from gateway.keys.format import format_key_id


class AdminBilling:
    """The handler."""

    def __init__(self, till: Till) -> None:
        self._till = till

    async def show(
        self, _path: Mapping[str, str], _query: Mapping[str, str], _body: Any
    ) -> Reply | Problem:
        """Figures, and the orders that are held or returning."""
        held = await self._till.orders_in("held")
        returning = await self._till.orders_in("returning")
        document = {
            **await self._till.figures(),
            "held": [_document(order) for order in held],
            "returning": [_document(order) for order in returning],
        }
        return Reply(200, document)


def _document(order: Order) -> dict[str, Any]:
    return {
        "key_id": format_key_id(order.key_id),
        **order_document(order),
        "payment_id": order.payment_id,
        "session_id": order.session_id,
    }
