"""Refusals because of what stands behind: services, stores, this node itself."""

from gateway.errors import Problem
from gateway.units import MS_PER_S


def billing_not_configured() -> Problem:
    """No Stripe key was set, so nothing can be bought here."""
    return Problem(
        "BILLING_NOT_CONFIGURED",
        503,
        "Billing is not configured on this deployment: set SLUICE_STRIPE_SECRET_KEY",
    )


def not_deployed(product: str) -> Problem:
    """The product exists, and this installation runs no service for it."""
    detail = f"{product} is not deployed here; nothing was charged"
    return Problem("SERVICE_NOT_DEPLOYED", 503, detail, fields={"product": product})


def service_unreachable(product: str, retry_after_ms: int = MS_PER_S) -> Problem:
    """No connection to the service."""
    detail = f"{product} cannot be reached at the moment; nothing was charged"
    return Problem("SERVICE_UNAVAILABLE", 503, detail, retry_after_ms, {"product": product})


def service_resting(product: str, retry_after_ms: int) -> Problem:
    """The service failed again and again, and is left alone for a moment."""
    detail = f"{product} fails at the moment and is not asked for a while; nothing was charged"
    return Problem("SERVICE_UNAVAILABLE", 503, detail, retry_after_ms, {"product": product})


def service_full(product: str, retry_after_ms: int = MS_PER_S) -> Problem:
    """As many requests as this node keeps open towards one service."""
    detail = (
        f"Too many requests for {product} are being answered here at once; nothing was charged, "
        "please retry"
    )
    return Problem("SERVICE_OVERLOADED", 503, detail, retry_after_ms, {"product": product})


def service_timeout(product: str, deadline_ms: int) -> Problem:
    """The service took longer than the product's deadline."""
    detail = f"Request timed out after {deadline_ms // MS_PER_S} seconds; nothing was charged"
    return Problem("SERVICE_TIMEOUT", 504, detail, fields={"product": product})


def service_broke_off(product: str) -> Problem:
    """The service's answer was cut, too large or no HTTP."""
    detail = f"{product} gave an answer that broke off; nothing was charged"
    return Problem("SERVICE_BROKE_OFF", 502, detail, fields={"product": product})


def service_failed(product: str, status: int) -> Problem:
    """The service answered 5xx without a body that may be shown."""
    detail = f"{product} failed with status {status}; nothing was charged"
    return Problem("SERVICE_FAILED", 502, detail, fields={"product": product})


def service_busy(product: str, said: str, retry_after_ms: int = MS_PER_S) -> Problem:
    """The service itself has enough to do; `said` is its own sentence, if it had one."""
    detail = said or f"{product} has too much to do at the moment; nothing was charged"
    return Problem("SERVICE_REFUSED", 429, detail, retry_after_ms, {"product": product})


def degraded(retry_after_ms: int = MS_PER_S) -> Problem:
    """Limits or balances cannot be checked now, so nothing is let through on trust."""
    return Problem(
        "SERVICE_DEGRADED",
        503,
        "Limits and balances cannot be checked at the moment; nothing was charged or moved, "
        "please retry",
        retry_after_ms,
    )


def part_used_up(what: str, retry_after_ms: int) -> Problem:
    """The limiter is away, and the part that this process gives out by itself is used up.

    No limit of the client's was reached, or it is not known whether: so it is not a 429.
    """
    return Problem(
        "SERVICE_DEGRADED",
        503,
        f"The limiter is away, so only a part of your {what} can be given out here at the moment, "
        "and that is in use; nothing was charged and nothing counts, please retry",
        retry_after_ms,
    )


def overloaded(retry_after_ms: int = MS_PER_S) -> Problem:
    """This node sheds load before it admits."""
    return Problem(
        "SERVICE_OVERLOADED",
        503,
        "Too many requests at once; nothing was charged, please retry",
        retry_after_ms,
    )


def internal_error() -> Problem:
    """A bug of ours; the request id finds it in the log."""
    detail = "Something went wrong inside the gateway; nothing was charged"
    return Problem("INTERNAL_ERROR", 500, detail)
