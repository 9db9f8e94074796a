"""Refusals of what was asked: paths, bodies, fields, and bytes that are no HTTP."""

from collections.abc import Sequence
from typing import Final

from gateway.errors import Problem

_SHOWN_CHARACTERS: Final = 120
# The sentence stands in a reply three times.
_OFFERED_CHARACTERS: Final = 400


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def unknown_path(method: str, path: str, offered: Sequence[str]) -> Problem:
    """Nothing is at this path of this host; says what is."""
    shown = list(offered)
    while len(", ".join(shown)) > _OFFERED_CHARACTERS:
        shown.pop()
    more = ", ..." if len(shown) < len(offered) else ""
    there = f"; there are {', '.join(shown)}{more}" if offered else ""
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


def invalid_max_charge(most: int) -> Problem:
    """An X-Max-Charge that is no number of tokens."""
    return Problem(
        "MAX_CHARGE_INVALID",
        400,
        f"X-Max-Charge must be a whole number of tokens from 0 to {most}",
        fields={"in": "header", "field": "x-max-charge"},
    )


def max_charge_too_low(product: str, needed_tokens: int, max_charge: int) -> Problem:
    """The client's cap rules out what this request surely costs."""
    return Problem(
        "MAX_CHARGE_TOO_LOW",
        400,
        f"This request to {product} costs {needed_tokens:,} tokens or more, and X-Max-Charge "
        f"allows {max_charge:,}; nothing was done",
        fields={"needed_tokens": needed_tokens, "max_charge": max_charge},
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


def head_too_large() -> Problem:
    """A request line or a header beyond what is read, or too many of them."""
    return Problem(
        "HEAD_TOO_LARGE", 431, "The request line or a header is too long, or there are too many"
    )


def head_timeout() -> Problem:
    """A head that came too slowly."""
    return Problem("REQUEST_TIMEOUT", 408, "The request's head did not arrive in time")
