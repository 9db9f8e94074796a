"""Pictures of pages, kept in memory for a while under names that nobody can guess.

It refuses to hold more than its cap: the oldest go first.
"""

import secrets
import time
from collections import OrderedDict
from typing import Final

# As long as the published reader's links are good for.
KEPT_S: Final = 4 * 3600
CAP_BYTES: Final = 128 * 1024 * 1024
PREFIX: Final = "/instant-screenshots/"


class Shots:
    """The pictures, by the path under which they are served."""

    def __init__(self, cap_bytes: int = CAP_BYTES) -> None:
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._cap_bytes = cap_bytes
        self._bytes = 0

    def keep(self, picture: bytes) -> str:
        """The path of the picture from now on."""
        path = f"{PREFIX}{secrets.token_urlsafe(24)}.png"
        self._kept[path] = time.monotonic(), picture
        self._bytes += len(picture)
        while self._bytes > self._cap_bytes and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))
        return path

    def find(self, path: str) -> bytes | None:
        """The picture of that path, unless it is too old or was never there."""
        for old in [path for path, (kept_s, _) in self._kept.items() if _is_old(kept_s)]:
            self._drop(old)
        found = self._kept.get(path)
        return found[1] if found else None

    def _drop(self, path: str) -> None:
        self._bytes -= len(self._kept.pop(path)[1])


def _is_old(kept_s: float) -> bool:
    return time.monotonic() - kept_s > KEPT_S
