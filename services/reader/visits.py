"""What a browser is asked for and what it gives back; the port that a browser engine fills. Pure.

It refuses nothing; an engine that is not there is None, and `MISSING` is what the client reads.
"""

from collections.abc import Callable, Mapping
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
    # Hears the page as it was when its own source was there, before all that comes later.
    early: Callable[[str], None] | None = None

    @property
    def manner(self) -> str:
        """All that makes one rendering of an address another than the next."""
        parts = (self.timing, self.wait_selectors, self.viewport, self.shadow_dom)
        return f"browser {parts}"

    @property
    def is_common(self) -> bool:
        """Whether everybody who asks in this manner gets the same, and nothing but the page."""
        own = self.html or self.cookies or self.proxy or self.target.userinfo
        return not (own or self.shots or self.scripts or self.frames)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page as the browser had it in the end. `settled` is False where time ran out before.

    `public` is whether it may be kept for others, by what its own answer said.
    """

    target: Target
    status: int
    reason: str
    html: str
    settled: bool
    frames: tuple[tuple[str, str], ...] = ()
    screenshot: bytes | None = None
    pageshot: bytes | None = None
    public: bool = False


class Browser(Protocol):
    """A browser engine: opens pages, each under a time and a memory cap, all of them guarded."""

    async def start(self) -> None:
        """Gets ready; pages may be asked for before it is done."""

    async def stop(self) -> None:
        """Ends everything that `start` began, and leaves no process."""

    async def render(self, visit: Visit) -> Rendered | Refusal:
        """The page, or why there is none."""
