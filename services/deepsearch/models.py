"""GET /v1/models and /v1/models/{id}: the names that clients of the platform know. Free.

Any other name is unknown here (404), although requests that name it are answered all the same.
"""

from typing import Any, Final

import orjson
from aiohttp import web

from services import wire
from services.deepsearch import refusals

PATH: Final = "/v1/models"
NAMES: Final = ("jina-deepsearch-v1", "jina-deepsearch-v2")
# When the service was first published: clients want a time, and names have none.
CREATED: Final = 1_763_596_800


def answer(name: str) -> web.Response:
    """The list, or the entry of one name."""
    if not name:
        return free({"object": "list", "data": [_entry(each) for each in NAMES]})
    if name not in NAMES:
        return refusals.answer(refusals.unknown_model(name[:200]))
    return free(_entry(name))


def free(body: dict[str, Any]) -> web.Response:
    """A document for which nobody pays."""
    return web.Response(
        body=orjson.dumps(body), content_type=wire.JSON_TYPE, headers={wire.USAGE_TOKENS: "0"}
    )


def _entry(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "sluice"}
