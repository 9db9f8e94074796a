"""Every refusal that the gateway words itself, as one constructor each: the catalogue of errors.

Refuses to render: a Problem knows no envelope. Codes are stable; those of the wire contract
(section 0.4b) keep its names. A refusal is never charged.
"""

from collections.abc import Sequence
from typing import Final

from gateway.errors import Problem
from gateway.units import MS_PER_S

# An open request may end at any moment; asking more often than this helps nobody.
CONCURRENCY_RETRY_MS: Final = 1_000
_SHOWN_CHARACTERS: Final = 120


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


# Who asks.


def missing_key() -> Problem:
    """The product needs a key and none was sent."""
    return Problem(
        "AUTH_MISSING_API_KEY",
        401,
        "Authentication required: send the header 'Authorization: Bearer <key>'; "
        "POST /v1/keys gives a free trial key",
    )


def authorization_format() -> Problem:
    """An Authorization header that is not `Bearer <key>`."""
    return Problem(
        "AUTH_INVALID_FORMAT",
        401,
        "Invalid authorization format: the header must be 'Authorization: Bearer <key>'",
    )


def invalid_key() -> Problem:
    """A key with a typo, or one that does not exist; which of both is not told."""
    detail = "Invalid API key, please get a new one with POST /v1/keys"
    return Problem("AUTH_INVALID_API_KEY", 401, detail)


def revoked() -> Problem:
    """A key that was destroyed."""
    return Problem(
        "AUTH_API_KEY_REVOKED",
        401,
        "Invalid API key: it was revoked, which cannot be undone; "
        "please get a new one with POST /v1/keys",
    )


def suspended() -> Problem:
    """A key that the operator or a payment dispute has put on hold."""
    detail = "This API key is suspended; please contact the operator"
    return Problem("AUTHZ_KEY_SUSPENDED", 402, detail)


# What may be used.


def balance_too_low(balance_tokens: int, hold_tokens: int) -> Problem:
    """The balance does not cover what this request may cost."""
    return Problem(
        "AUTHZ_INSUFFICIENT_BALANCE",
        402,
        f"Insufficient account balance: {balance_tokens:,} tokens are free and this request may "
        f"need {hold_tokens:,}; please recharge",
        fields={"balance_tokens": balance_tokens, "hold_tokens": hold_tokens},
    )


def rate_requests(product: str, current: int, limit: int, retry_after_ms: int) -> Problem:
    """The key's requests of the last 60 s have reached the limit."""
    return Problem(
        "RATE_REQUEST_LIMIT_EXCEEDED",
        429,
        f"Request rate limit exceeded: {current}/{limit} requests per minute",
        retry_after_ms,
        {"product": product, "current": current, "limit": limit},
    )


def rate_ip(product: str, current: int, limit: int, retry_after_ms: int) -> Problem:
    """The requests without a key from this address have reached the limit."""
    return Problem(
        "RATE_IP_LIMIT_EXCEEDED",
        429,
        f"Request rate limit exceeded: {current}/{limit} requests per minute from this address; "
        "with a key the limit is higher",
        retry_after_ms,
        {"product": product, "current": current, "limit": limit},
    )


def rate_tokens(product: str, current: int, limit: int, retry_after_ms: int) -> Problem:
    """The key's tokens of the last 60 s leave no room for this request."""
    return Problem(
        "RATE_TOKEN_LIMIT_EXCEEDED",
        429,
        f"Token rate limit exceeded: {current:,}/{limit:,} tokens per minute",
        retry_after_ms,
        {"product": product, "current": current, "limit": limit},
    )


def concurrency(product: str, current: int, limit: int) -> Problem:
    """Too many requests of this subject are open at once."""
    return Problem(
        "RATE_CONCURRENCY_LIMIT_EXCEEDED",
        429,
        f"Concurrency limit exceeded: {current}/{limit} concurrent requests",
        CONCURRENCY_RETRY_MS,
        {"product": product, "current": current, "limit": limit},
    )


def never_fits(product: str, needed: int, limit: int) -> Problem:
    """Larger than the whole limit: waiting does not help."""
    return Problem(
        "RATE_LIMIT_NEVER_FITS",
        413,
        f"This request needs {needed:,} tokens and the limit of {product} is {limit:,} per "
        "minute: it can never fit, please send less at once",
        fields={"product": product, "needed": needed, "limit": limit},
    )


def too_many_new_keys(limit: int, retry_after_ms: int) -> Problem:
    """This address has minted its trial keys for today."""
    return Problem(
        "RATE_NEW_KEYS_LIMIT_EXCEEDED",
        429,
        f"Only {limit} trial keys can be made from one address in a day",
        retry_after_ms,
        {"limit": limit},
    )


# What was asked.


def unknown_path(method: str, path: str, offered: Sequence[str]) -> Problem:
    """Nothing is at this path of this host; says what is."""
    there = f"; there are {', '.join(offered)}" if offered else ""
    return Problem("PATH_NOT_FOUND", 404, f"Nothing is at {_shown(method)} {_shown(path)}{there}")


def not_found(kind: str, name: str) -> Problem:
    """A thing that does not exist or belongs to someone else; which of both is not told."""
    return Problem("RESOURCE_NOT_FOUND", 404, f"{kind} '{_shown(name)}' not found or access denied")


def method_not_allowed(method: str, path: str, allow: str) -> Problem:
    """The path exists, the method does not."""
    return Problem(
        "METHOD_NOT_ALLOWED",
        405,
        f"{_shown(method)} is not allowed at {_shown(path)}; allowed are {allow}",
        allow=allow,
    )


def body_too_large(limit_bytes: int) -> Problem:
    """A request body above the product's cap."""
    return Problem(
        "REQUEST_TOO_LARGE",
        413,
        f"The request body is too large: at most {limit_bytes:,} bytes are taken here",
        fields={"limit_bytes": limit_bytes},
    )


def invalid_query(name: str, why: str) -> Problem:
    """A query parameter that is missing or wrong."""
    return Problem("INPUT_INVALID", 422, why, fields={"in": "query", "field": name})


def billing_not_configured() -> Problem:
    """No Stripe key was set, so nothing can be bought here."""
    return Problem(
        "BILLING_NOT_CONFIGURED",
        503,
        "Billing is not configured on this deployment: set SLUICE_STRIPE_SECRET_KEY",
    )


def compressed_body() -> Problem:
    """Tokens are bounded by bytes, and a compressed byte may hold a thousand."""
    return Problem(
        "BODY_COMPRESSED",
        415,
        "Please send the body without Content-Encoding; compressed requests are not taken",
    )


def body_unreadable(why: str) -> Problem:
    """A body that is not what it should be, mostly JSON."""
    return Problem("REQUEST_UNREADABLE", 400, f"The request body cannot be read: {why}")


def body_incomplete() -> Problem:
    """The client stopped in the middle of its body."""
    return Problem("REQUEST_INCOMPLETE", 400, "The request body ended before its announced length")


def body_timeout(seconds: int) -> Problem:
    """The client's body came too slowly."""
    return Problem(
        "REQUEST_TIMEOUT", 408, f"The request body did not arrive within {seconds} seconds"
    )


def invalid_field(field: str, why: str) -> Problem:
    """A field of the body that is missing or wrong; `detail` is a list of one on api hosts."""
    return Problem("INPUT_INVALID", 422, why, fields={"field": field})


def classify_undecided() -> Problem:
    """A body of /v1/classify that is neither few-shot nor zero-shot."""
    return invalid_field(
        "labels", "Either 'classifier_id' (few-shot) or 'model' and 'labels' (zero-shot) is needed"
    )


def malformed_http(why: str) -> Problem:
    """Bytes that are no HTTP request."""
    return Problem("HTTP_MALFORMED", 400, f"This is not a well-formed HTTP request: {why}")


# What stands behind.


def not_deployed(product: str) -> Problem:
    """The product exists, and this installation runs no service for it."""
    detail = f"{product} is not deployed here; nothing was charged"
    return Problem("SERVICE_NOT_DEPLOYED", 503, detail, fields={"product": product})


def service_unreachable(product: str, retry_after_ms: int = MS_PER_S) -> Problem:
    """No connection to the service."""
    detail = f"{product} cannot be reached at the moment; nothing was charged"
    return Problem("SERVICE_UNAVAILABLE", 503, detail, retry_after_ms, {"product": product})


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


def degraded(retry_after_ms: int = MS_PER_S) -> Problem:
    """Limits or balances cannot be checked now, so nothing is let through on trust."""
    return Problem(
        "SERVICE_DEGRADED",
        503,
        "Limits and balances cannot be checked at the moment; nothing was charged, please retry",
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


def stopping(retry_after_ms: int = MS_PER_S) -> Problem:
    """This node drains and takes nothing new."""
    return Problem("SERVICE_STOPPING", 503, "This node is stopping; please retry", retry_after_ms)


def internal_error() -> Problem:
    """A bug of ours; the request id finds it in the log."""
    detail = "Something went wrong inside the gateway; nothing was charged"
    return Problem("INTERNAL_ERROR", 500, detail)
