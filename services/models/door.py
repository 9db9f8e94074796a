"""What every api. service does with a request around its own work: body in, answer or refusal out.

It refuses other methods (405) and what is no JSON object (422); faults of the engine become the
envelope of the api. hosts. No refusal is ever charged.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from services import api_refusals, wire
from services.api_refusals import Refusal, invalid
from services.fields import FieldError, Fields
from services.models.faults import ModelFault, Refused, RemoteFailed

# Larger bodies are parsed in a thread: orjson reads about 500 KB in a millisecond.
SMALL_BODY_BYTES: Final = 256 * 1024
UNAVAILABLE: Final = 503
RETRY_AFTER_S: Final = "2"


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON body as bytes, and what it costs."""

    body: bytes
    tokens: int


Work = Callable[[Fields], Awaitable[Answer]]


async def post(request: web.Request, work: Work) -> web.Response:
    """The answer of `work` to the fields of a POST, or the refusal that it raised."""
    if request.method != "POST":
        return refuse(request, _not_allowed(request), allow="POST")
    fields = await read_fields(request)
    if isinstance(fields, Refusal):
        return refuse(request, fields)
    try:
        answer = await work(fields)
    except FieldError as fault:
        return refuse(request, fault.refusal)
    except ModelFault as fault:
        return refuse(request, refusal_of(fault))
    return web.Response(
        body=answer.body,
        content_type=wire.JSON_TYPE,
        headers={wire.USAGE_TOKENS: str(answer.tokens)},
    )


async def read_fields(request: web.Request) -> Fields | Refusal:
    """The JSON object in the body."""
    raw = await request.read()
    try:
        found = _parsed(raw) if len(raw) <= SMALL_BODY_BYTES else await _parsed_aside(raw)
    except orjson.JSONDecodeError as fault:
        return invalid(("body",), f"The body is not valid JSON: {fault}", "json_invalid")
    if not isinstance(found, dict):
        return invalid(("body",), "Input should be a JSON object", "dict_type")
    return Fields(found)


def refusal_of(fault: ModelFault) -> Refusal:
    """What the client is told of a fault of the engine."""
    if isinstance(fault, Refused):
        return Refusal(400, fault.code, str(fault))
    status = fault.status if isinstance(fault, RemoteFailed) else UNAVAILABLE
    code = "SERVICE_UNAVAILABLE" if status == UNAVAILABLE else "UPSTREAM_FAILED"
    return Refusal(status, code, str(fault))


def refuse(request: web.Request, refusal: Refusal, allow: str | None = None) -> web.Response:
    """The refusal in the envelope, void."""
    response = api_refusals.answer(refusal, request.headers.get(wire.REQUEST_ID, ""), allow)
    if refusal.status == UNAVAILABLE:
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


def envelope(request: web.Request, status: int, message: str) -> web.Response:
    """For what goes wrong before or after the work: `serving.build_app` wants this shape."""
    return refuse(request, api_refusals.by_status(status, message))


def no_such_path(request: web.Request) -> web.Response:
    """404 for a path that nobody takes."""
    return envelope(request, 404, f"No such path: {request.path[:200]}")


def _not_allowed(request: web.Request) -> Refusal:
    return api_refusals.by_status(405, f"{request.method} is not a method of this path")


def _parsed(raw: bytes) -> Any:
    return orjson.loads(raw)


async def _parsed_aside(raw: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any] = await asyncio.to_thread(_parsed, raw)
    return found
