"""`/admin/billing`: what waits, what is owed, and the orders that need a person.

Refuses to move anything itself: what an operator decides is kept, and the worker does it, once.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from gateway.billing.orders import Order
from gateway.billing.till import Till
from gateway.control.billing import order_document
from gateway.control.call import Reply
from gateway.edge import refusals
from gateway.errors import Problem
from gateway.keys.format import format_key_id

_DECISIONS: Final = ("credit", "return")


class AdminBilling:
    """The handlers."""

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

    async def release(
        self, path: Mapping[str, str], _query: Mapping[str, str], body: Any
    ) -> Reply | Problem:
        """`{"decision"}` about money that is held: `credit`, what was bought comes to its key;
        `return`, all of it goes back through Stripe. Saying the same again changes nothing."""
        decision = body.get("decision") if isinstance(body, dict) else None
        if decision not in _DECISIONS or set(body) != {"decision"}:
            return refusals.invalid_field("decision", f"must be {' or '.join(_DECISIONS)}")
        order_id = _order_id(path["order_id"])
        said = "UNKNOWN_ORDER" if order_id is None else await self._till.release(order_id, decision)
        if said == "UNKNOWN_ORDER" or order_id is None:
            return Problem("RESOURCE_NOT_FOUND", 404, "There is no order with this id")
        if said == "DECIDED":
            return Problem("ORDER_NOT_HELD", 409, "Something else was decided about this order")
        if said != "RELEASED":
            return Problem("ORDER_NOT_HELD", 409, "No money of this order is held")
        order = await self._till.order(order_id)
        assert order is not None, "orders stay"
        return Reply(202 if order.state == "held" else 200, _document(order))


def _document(order: Order) -> dict[str, Any]:
    return {
        "key_id": format_key_id(order.key_id),
        **order_document(order),
        "payment_id": order.payment_id,
        "session_id": order.session_id,
        "released": order.released,
    }


def _order_id(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
