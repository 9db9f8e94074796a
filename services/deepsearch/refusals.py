"""What deepsearch refuses, in the error body of its host: `{"error": "<sentence>"}`.

Only an unknown model has OpenAI's shape, as the contract has it. Every refusal is void.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from services import wire

INVALID: Final = "Invalid request body"
NO_MESSAGES: Final = "Messages array is required and must not be empty"
NOT_FROM_USER: Final = "Last message must be from user"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal; `details` name the wrong fields where the whole body is meant."""

    status: int
    message: str
    details: tuple[Mapping[str, Any], ...] = ()
    body: Mapping[str, Any] | None = None


class AskError(Exception):
    """What the client sent is wrong; the refusal says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def bad(message: str) -> AskError:
    """400 with a sentence of its own."""
    return AskError(Refusal(400, message))


def wrong(path: str, message: str) -> AskError:
    """400: the field at `path` is of the wrong type or out of its range."""
    detail = {"type": "field", "msg": message, "path": path, "location": "body"}
    return AskError(Refusal(400, INVALID, (detail,)))


def unknown_model(name: str) -> Refusal:
    """404 in OpenAI's shape."""
    message = f"Model '{name}' not found"
    kind = {"type": "invalid_request_error", "param": None, "code": "model_not_found"}
    return Refusal(404, message, body={"error": {"message": message, **kind}})


def answer(refusal: Refusal, allow: str | None = None) -> web.Response:
    """The refusal as a response, which is never charged."""
    body: Mapping[str, Any] = refusal.body or {"error": refusal.message}
    if refusal.details:
        body = {**body, "details": list(refusal.details)}
    headers = wire.void_headers()
    if allow is not None:
        headers["Allow"] = allow
    return web.Response(
        status=refusal.status,
        body=orjson.dumps(body),
        content_type=wire.JSON_TYPE,
        headers=headers,
    )
