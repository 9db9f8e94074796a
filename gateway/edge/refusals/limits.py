"""Refusals of how much was asked for: rates, tokens, places, new keys."""

from typing import Final

from gateway.errors import Problem

# An open request may end at any moment; asking more often than this helps nobody.
CONCURRENCY_RETRY_MS: Final = 1_000


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
