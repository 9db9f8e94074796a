"""What a client is told of a fault behind the door, and how its request then ends.

Refuses to know more of a fault than its kind: the log has its words.
"""

from collections.abc import Mapping
from typing import Final

from gateway.edge import refusals
from gateway.errors import (
    AnswerBroken,
    Fault,
    PostgresUnavailable,
    Problem,
    RedisUnavailable,
    ServiceTimeout,
    ServiceUnreachable,
    SpoolUnavailable,
)
from gateway.metering.outcomes import Outcome
from gateway.products.product import Product

OUTCOME_OF: Final[Mapping[str, Outcome]] = {
    "SERVICE_REFUSED": Outcome.SERVICE_REFUSED,
    "SERVICE_FAILED": Outcome.SERVICE_FAILED,
    "SERVICE_UNAVAILABLE": Outcome.SERVICE_FAILED,
    "SERVICE_TIMEOUT": Outcome.SERVICE_TIMEOUT,
    "SERVICE_BROKE_OFF": Outcome.SERVICE_BROKE_OFF,
    "SERVICE_DEGRADED": Outcome.GATEWAY_FAILED,
}


def told(fault: Fault, product: Product) -> Problem:
    """What the client is told of a broken dependency."""
    if isinstance(fault, ServiceUnreachable):
        return refusals.service_unreachable(product.name)
    if isinstance(fault, ServiceTimeout):
        return refusals.service_timeout(product.name, product.deadline_ms)
    if isinstance(fault, AnswerBroken):
        return refusals.service_broke_off(product.name)
    if isinstance(fault, SpoolUnavailable | RedisUnavailable | PostgresUnavailable):
        return refusals.degraded()
    return refusals.service_broke_off(product.name)
