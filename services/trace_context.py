"""The trace that a request belongs to, for the services that are asked on its behalf.

Refuses nothing: the gateway lets only a valid context through, and signs what it forwards.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

_NAMES: Final = ("traceparent", "tracestate")
_NONE: Final[Mapping[str, str]] = {}
_CONTEXT: Final = ContextVar("trace_context", default=_NONE)


def take(headers: Mapping[str, str]) -> None:
    """This task, and those that it starts, work for the trace of these headers; or for none."""
    _CONTEXT.set({name: headers[name] for name in _NAMES if name in headers})


def passed_on() -> Mapping[str, str]:
    """The headers for whoever is asked next."""
    return _CONTEXT.get()
