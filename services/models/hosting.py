"""Puts parts that share one engine behind one listener; the listener opens once models are loaded.

A part is a handler for some paths. It refuses paths that no part takes.
"""

import gc
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

from aiohttp import web

from services import serving
from services.models import door
from services.models.engine import Engine, engine
from services.models.fetching import PictureFetcher
from services.settings import Settings

# How long a thread keeps the interpreter when the loop wants it. The default of 5 ms adds up where
# several threads count tokens and collect results.
SWITCH_S: Final = 0.001


class Part(Protocol):
    """Answers the requests to the paths that it takes."""

    def takes(self, path: str) -> bool: ...

    async def handle(self, request: web.Request) -> web.StreamResponse: ...


class Host:
    """One engine and the parts that use it."""

    def __init__(
        self, settings: Settings, make: Callable[[Engine, PictureFetcher], Sequence[Part]]
    ) -> None:
        self._engine = engine(settings)
        self._pictures = PictureFetcher(settings)
        self._parts = make(self._engine, self._pictures)

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        """Loads the models before the listener opens: whoever can connect is served."""
        sys.setswitchinterval(SWITCH_S)
        await self._engine.start()
        # What is there now stays; looking through it again and again would hold the loop.
        gc.freeze()
        yield
        self._pictures.close()
        await self._engine.stop()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        for part in self._parts:
            if part.takes(request.path):
                return await part.handle(request)
        return door.no_such_path(request)


def alone(
    settings: Settings, make: Callable[[Engine, PictureFetcher], Sequence[Part]]
) -> web.Application:
    """An application of these parts and an engine of their own."""
    host = Host(settings, make)
    app = serving.build_app(settings, host.handle, door.envelope, settings.model_body_bytes)
    app.cleanup_ctx.append(host.run)
    return app
