"""One request on its way through the reader: what is wanted, of what, and how long it may take.

It refuses proxies of a type that is not spoken here.
"""

import time
from dataclasses import replace
from typing import Final

from services.reader import target
from services.reader.inputs import Upload
from services.reader.options import Options
from services.reader.refusals import Refusal, not_available
from services.reader.target import Target

# Time that a page gets to be taken apart even when it took all of its own to arrive.
LEAST_MS: Final = 1000


class Wanted:
    """One request on its way: what is wanted, of what, and until when."""

    def __init__(
        self, named: Target | None, upload: Upload | None, options: Options, deadline_ms: int
    ) -> None:
        self.named = named
        self.upload = upload
        self.options = options
        self._deadline_ms = deadline_ms
        self._begun_s = time.monotonic()

    @property
    def left_ms(self) -> int:
        spent_ms = int((time.monotonic() - self._begun_s) * 1000)
        return max(self._deadline_ms - spent_ms, LEAST_MS)

    @property
    def shown(self) -> str:
        """The address for the answer; empty where none was given."""
        return self.named.url if self.named else ""

    @property
    def needs_browser(self) -> bool:
        """Whether nothing but a browser can do what is wanted."""
        options = self.options
        asked = options.engine == "browser" or options.viewport is not None
        return bool(options.shots or options.scripts or (asked and self.upload is None))


def timing(options: Options) -> str:
    """When the browser has waited for long enough; a long timeout means to wait for silence."""
    if options.timing:
        return options.timing
    if (options.timeout_ms or 0) >= 20_000:
        return "network-idle"
    return "media-idle" if options.shots else "resource-idle"


def proxy(url: str | None) -> Target | Refusal | None:
    """The proxy that the client brings, or why it cannot be used."""
    if url is None:
        return None
    scheme = url.partition(":")[0].lower()
    if scheme.startswith("socks"):
        return not_available("proxyUrl", f"A proxy of type {scheme[:10]}")
    found = target.parse(url)
    return replace(found, path="proxyUrl") if isinstance(found, Refusal) else found
