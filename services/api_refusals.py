"""What services of the api. hosts refuse, in the superset envelope that all their clients parse.

Python clients raise `detail`, OpenAI clients print `error.message`; a refused field is a 422 whose
`detail` is a list, as request validators write it. Every refusal is void.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import web

from services import wire

CODES: Final = {
    401: "AUTH_REQUIRED",
    404: "RESOURCE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "INPUT_BODY_TOO_LARGE",
    500: "INTERNAL_ERROR",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal. `where` is the path to the wrong field, or empty; `kind` its sort of mistake.

    `facts` are fields of the envelope that only this refusal has.
    """

    status: int
    code: str
    message: str
    where: tuple[str, ...] = ()
    kind: str = "value_error"
    facts: Mapping[str, int] = field(default_factory=dict)


def invalid(where: tuple[str, ...], message: str, kind: str = "value_error") -> Refusal:
    """A field that is missing or of the wrong type: 422."""
    return Refusal(422, "INPUT_INVALID", message, where, kind)


def by_status(status: int, message: str) -> Refusal:
    """A refusal that only its HTTP status describes."""
    return Refusal(status, CODES.get(status, "REQUEST_REFUSED"), message)


def body(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """The envelope of the api. host as a document; `detail` is a list for 422."""
    detail: Any = refusal.message
    if refusal.status == 422:
        detail = [{"loc": list(refusal.where), "msg": refusal.message, "type": refusal.kind}]
    return {
        "detail": detail,
        "code": refusal.code,
        "request_id": request_id,
        "message": refusal.message,
        **refusal.facts,
        "error": {
            "message": refusal.message,
            "type": "server_error" if refusal.status >= 500 else "invalid_request_error",
            "code": refusal.code,
            "param": refusal.where[-1] if refusal.where else None,
        },
    }


def answer(refusal: Refusal, request_id: str, allow: str | None = None) -> web.Response:
    """The refusal as a response, which is never charged."""
    headers = wire.void_headers()
    if allow is not None:
        headers["Allow"] = allow
    return web.Response(
        status=refusal.status,
        body=orjson.dumps(body(refusal, request_id)),
        content_type=wire.JSON_TYPE,
        headers=headers,
    )
