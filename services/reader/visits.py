"""What a browser is asked for and what it gives back; the port that a browser engine fills. Pure.

It refuses nothing; an engine that is not there is None, and `MISSING` is what the client reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from services.reader.cookies import Cookie
from services.reader.refusals import Refusal
from services.reader.target import Target

MISSING: Final = (
    "This deployment has no browser. Install one with `apt-get install chromium` and "
    "`pip install playwright`, or ask with X-Engine: direct"
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One page to open. `html` is its source if it came with the request; else it is fetched.

    `timing` says when it has been waited for long enough, `shots` which pictures are wanted.
    """

    target: Target
    deadline_ms: int
    headers: Mapping[str, str]
    cookies: tuple[Cookie, ...] = ()
    html: bytes | None = None
    timing: str = "resource-idle"
    wait_selectors: tuple[str, ...] = ()
    shots: frozenset[str] = frozenset()
    viewport: tuple[int, int] | None = None
    scripts: tuple[str, ...] = ()
    shadow_dom: bool = False
    frames: bool = False
    proxy: Target | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page as the browser had it in the end. `settled` is False where time ran out before."""

    target: Target
    status: int
    reason: str
    html: str
    settled: bool
    frames: tuple[tuple[str, str], ...] = ()
    screenshot: bytes | None = None
    pageshot: bytes | None = None


class Browser(Protocol):
    """A browser engine: opens pages, each under a time and a memory cap, all of them guarded."""

    async def start(self) -> None:
        """Gets ready; pages may be asked for before it is done."""

    async def stop(self) -> None:
        """Ends everything that `start` began, and leaves no process."""

    async def render(self, visit: Visit) -> Rendered | Refusal:
        """The page, or why there is none."""
