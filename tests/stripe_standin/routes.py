"""Which request of the API is answered by what."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.stripe_standin.errors import Obj

# A handler gets the parameters and the ids of the address, in order.
Handler = Callable[..., Obj]


@dataclass(frozen=True, slots=True)
class Route:
    """`{}` in the address stands for an id."""

    method: str
    path: str
    handler: Handler

    def match(self, method: str, path: str) -> Sequence[str] | None:
        """The ids of the address, or None when it is another's."""
        if method != self.method:
            return None
        found = re.fullmatch(re.escape(self.path).replace(r"\{\}", "([^/]+)"), path)
        return found.groups() if found else None


@dataclass(frozen=True, slots=True)
class Router:
    """All routes."""

    routes: Sequence[Route]

    def find(self, method: str, path: str) -> tuple[Route, Sequence[str]] | None:
        """The first that fits."""
        for route in self.routes:
            ids = route.match(method, path)
            if ids is not None:
                return route, ids
        return None
