"""The port to whoever takes traces; without OTLP_URL there is nobody, and nothing is asked.

Refuses to import OpenTelemetry, an optional extra, until a setting asks for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Protocol, cast

from gateway.errors import ConfigurationFault
from gateway.settings import Settings

_LIBRARY: Final = "opentelemetry"
_OWNER: Final = "gateway.telemetry.otel"
_MISSING: Final = (
    "SLUICE_OTLP_URL needs the extra `otel`: pip install 'sluice[otel]', or leave it unset"
)
# What is still to be sent when the process ends.
_FLUSH_S: Final = 5.0
Note = Callable[[str, str | int], None]


class Tracer(Protocol):
    """Makes spans of the task that runs; `Note` adds an attribute to one."""

    def request(self, name: str, parent: str, state: str) -> AbstractContextManager[Note]:
        """All of one request, below the client's context where it has one."""

    def part(self, name: str) -> AbstractContextManager[Note]:
        """A part of it."""

    def headers(self) -> dict[str, str]:
        """The context of the span that is open, for whoever works for it."""

    def close(self) -> None:
        """Send what waits; blocks."""


@asynccontextmanager
async def tracing(settings: Settings) -> AsyncIterator[Tracer | None]:
    """A tracer while the context is open, if there is a collector to send to."""
    if settings.otlp_url is None:
        yield None
        return
    if find_spec(_LIBRARY) is None:
        raise ConfigurationFault([_MISSING])
    made = import_module(_OWNER).tracer(settings.otlp_url, settings.trace_one_in, settings.node)
    tracer = cast(Tracer, made)
    try:
        yield tracer
    finally:
        # A collector that is away must not hold up a stop.
        closing = asyncio.get_running_loop().run_in_executor(None, tracer.close)
        await asyncio.wait([closing], timeout=_FLUSH_S)
