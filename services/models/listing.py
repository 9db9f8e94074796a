"""GET /v1/models and /v1/models/{id}: what may be asked for, in the list shape of OpenAI. Free.

It refuses unknown names with 404 and other methods with 405.
"""

from typing import Any, Final
from urllib.parse import unquote

import orjson
from aiohttp import web

from services import api_refusals, wire
from services.api_refusals import Refusal
from services.models import door
from services.models.engine import Engine
from services.models.faults import UnknownModel

PATH: Final = "/v1/models"
METHODS: Final = "GET, HEAD"
# When the service was first published: clients want a time, and names have none.
CREATED: Final = 1_763_596_800


class Listing:
    """Answers for the names that the engine knows, aliases included."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def takes(self, path: str) -> bool:
        return path == PATH or path.startswith(PATH + "/")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method not in METHODS.split(", "):
            refusal = api_refusals.by_status(405, f"{request.method} is not a method of this path")
            return door.refuse(request, refusal, allow=METHODS)
        name = unquote(request.path.removeprefix(PATH).strip("/"))
        if not name:
            return _free({"object": "list", "data": [self._entry(n) for n in self._engine.names]})
        try:
            return _free(self._entry(name))
        except UnknownModel as fault:
            return door.refuse(request, Refusal(404, fault.code, str(fault)))

    def _entry(self, name: str) -> dict[str, Any]:
        served = self._engine.resolve(name)
        entry = {"id": name, "object": "model", "created": CREATED, "owned_by": "sluice"}
        return entry if served == name else {**entry, "served_by": served}


def _free(body: dict[str, Any]) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), content_type=wire.JSON_TYPE, headers={wire.USAGE_TOKENS: "0"}
    )
