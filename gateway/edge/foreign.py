"""Refusals of services that are not ours: whether a body is the host's envelope, else its essence.

Refuses to pass a foreign error format on: clients are written against one envelope per host.
"""

import re
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
# The other two forms in which r. and s. refuse, to clients that exclude JSON (wire contract 0.4).
_LINE: Final = re.compile(rb"[A-Z][A-Za-z]{1,60}Error: [^\r\n]{1,8000}\n?")
_EVENT: Final = b"event: error\ndata: "
# The service does not believe that we are the gateway: nothing that a client could mend.
NOT_LET_IN: Final = (401, 407)


def is_envelope(body: bytes, family: Family) -> bool:
    """Whether the body has what every client of this host reads."""
    document = _document(body)
    return isinstance(document, dict) and _MANDATORY[family] in document


def is_other_form(kind: bytes, body: bytes, family: Family) -> bool:
    """Whether a refusal of r. or s. is told as a line of text or as an event.

    `kind` is the content type without parameters, in small letters.
    """
    if family is not Family.READER:
        return False
    if kind == b"text/plain":
        return _LINE.fullmatch(body) is not None
    event = kind == b"text/event-stream" and body.startswith(_EVENT)
    return event and is_envelope(body[len(_EVENT) :], family)


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
