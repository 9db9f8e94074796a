"""Refusals of services that are not ours: whether a body is the host's envelope, else its essence.

Refuses to pass a foreign error format on: clients are written against one envelope per host.
"""

from typing import Any, Final

import orjson

from gateway.edge import refusals
from gateway.errors import Problem
from gateway.products.product import Family

_MANDATORY: Final = {
    Family.READER: "readableMessage",
    Family.API: "detail",
    Family.DEEPSEARCH: "error",
}
_LONGEST_SENTENCE: Final = 500
# The service does not believe that we are the gateway: nothing that a client could mend.
NOT_LET_IN: Final = (401, 407)


def is_envelope(body: bytes, family: Family) -> bool:
    """Whether the body has what every client of this host reads."""
    document = _document(body)
    return isinstance(document, dict) and _MANDATORY[family] in document


def refused_by_service(product: str, status: int, body: bytes) -> Problem:
    """The service's 4xx in our words, with its own sentence where one can be found."""
    said = _sentence(_document(body))
    if status == 429:
        return refusals.service_busy(product, (said or "")[:_LONGEST_SENTENCE])
    text = said or f"{product} refused the request with status {status}"
    return Problem("SERVICE_REFUSED", status, f"{text[:_LONGEST_SENTENCE]}")


def _document(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _sentence(document: Any) -> str | None:
    for _ in range(3):
        if isinstance(document, str):
            return document
        if not isinstance(document, dict):
            return None
        document = document.get("detail") or document.get("error") or document.get("message")
    return None
