"""Pages that were read, kept on disk for a while: the least recently used go first.

One file per page: a line of JSON, then the packed body, with a checksum over both. Files are
written aside and renamed, so none is ever half there; what is broken is as good as not there. Only
public pages are given to it; it refuses to grow beyond its cap, and to fail a request.
"""

import asyncio
import contextlib
import hashlib
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from services.reader import target
from services.reader.fetch import Fetched
from services.reader.target import Target

# How old a stored page may be where the client does not say.
FRESH_S: Final = 3600
STORED_S: Final = 7 * 24 * 3600
SUFFIX: Final = ".page"
LEVEL: Final = 1
# A page that takes a large part of the room would put many others out.
SHARE: Final = 8
# Headers of a request that may change what a target answers.
VARYING: Final = ("User-Agent", "Referer", "Accept-Language")


class Cache:
    """The pages below one folder. Its calls block on the disk; `load` and `keep` use a thread."""

    def __init__(self, folder: Path, cap_bytes: int) -> None:
        self._folder = folder
        self._cap_bytes = cap_bytes
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._total_bytes = 0

    def open(self) -> None:
        """Makes the folder, and learns what is in it: the oldest use first."""
        if not self._cap_bytes:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            found = [
                (entry.stat().st_mtime, entry.name, entry.stat().st_size)
                for entry in os.scandir(self._folder)
            ]
            for _, name, size_bytes in sorted(found):
                if not name.endswith(SUFFIX):
                    (self._folder / name).unlink(missing_ok=True)  # left by a write that was killed
                    continue
                self._note(name, size_bytes)

    async def load(self, name: str, tolerance_s: int | None) -> Fetched | None:
        """The page kept under `name`, if it is no older than the client tolerates."""
        if name not in self._sizes or tolerance_s == 0:
            return None
        most_s = min(FRESH_S if tolerance_s is None else tolerance_s, STORED_S)
        found = await asyncio.to_thread(self._read, name, most_s)
        if found is not None and name in self._sizes:
            self._sizes.move_to_end(name)
        return found

    async def keep(self, name: str, page: Fetched) -> None:
        """Keeps a page that may be given to others."""
        if not self._cap_bytes or not page.public:
            return
        size_bytes = await asyncio.to_thread(self._write, name, page)
        if size_bytes:
            self._note(name, size_bytes)

    def _note(self, name: str, size_bytes: int) -> None:
        self._total_bytes += size_bytes - self._sizes.pop(name, 0)
        self._sizes[name] = size_bytes
        while self._total_bytes > self._cap_bytes:
            oldest, freed_bytes = self._sizes.popitem(last=False)
            self._total_bytes -= freed_bytes
            with contextlib.suppress(OSError):
                (self._folder / oldest).unlink(missing_ok=True)

    def _read(self, name: str, most_s: int) -> Fetched | None:
        try:
            raw = (self._folder / name).read_bytes()
            head_line, _, packed = raw.partition(b"\n")
            head = orjson.loads(head_line)
            if head["sum"] != zlib.crc32(packed) or not 0 <= time.time() - head["time_s"] <= most_s:
                return None
            here = target.parse(head["url"])
            if not isinstance(here, Target):
                return None
            os.utime(self._folder / name)
            return Fetched(
                target=here,
                status=head["status"],
                reason=head["reason"],
                content_type=head["content_type"],
                charset=head["charset"],
                body=zlib.decompress(packed),
            )
        except (OSError, ValueError, KeyError, TypeError, zlib.error):
            return None

    def _write(self, name: str, page: Fetched) -> int:
        packed = zlib.compress(page.body, LEVEL)
        head = {
            "url": page.target.url,
            "status": page.status,
            "reason": page.reason,
            "content_type": page.content_type,
            "charset": page.charset,
            "time_s": time.time(),
            "sum": zlib.crc32(packed),
        }
        written = orjson.dumps(head) + b"\n" + packed
        if len(written) * SHARE > self._cap_bytes:
            return 0
        aside = self._folder / f"{name}.{os.getpid()}.{time.monotonic_ns()}"
        try:
            aside.write_bytes(written)
            aside.replace(self._folder / name)
        except OSError:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            return 0
        return len(written)


def name_of(url: str, headers: Mapping[str, str], engine: str) -> str:
    """The name under which a page is kept: of its address and of all that may change its answer."""
    parts = [url, engine, *(headers.get(name, "") for name in VARYING)]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest() + SUFFIX
