"""Static files under names that change with their content, so that browsers keep them for ever.

Refuses to read the disk after the start, and any name that it has not given out itself.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationFault

FOLDER: Final = Path(__file__).resolve().parent / "static"
PREFIX: Final = "/static/"
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_PACKED: Final = frozenset((".css", ".js", ".svg", ".json", ".txt"))
_NAMES_OTHERS: Final = frozenset((".css", ".js"))
_NAME: Final = re.compile(rb"\./([a-z0-9_-]+\.[a-z0-9]+)")
_LEAST_PACKED_BYTES: Final = 512
_HASH_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent; `packed` is its gzip, if that is smaller."""

    content_type: str
    etag: str
    body: bytes
    packed: bytes | None


class Statics:
    """The files of a folder, read once. A script that imports `./other.js` gets its whole name."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._raw = {
            path.name: path.read_bytes()
            for path in sorted(folder.glob("*"))
            if path.is_file() and path.suffix in TYPES
        }
        self._addresses: dict[str, str] = {}
        self._files: dict[str, StaticFile] = {}
        for name in self._raw:
            self._take(name, ())

    def address(self, name: str) -> str:
        """Where the file is to be had; raises KeyError for one that is not there."""
        return self._addresses[name]

    @property
    def addresses(self) -> Mapping[str, str]:
        """All of them by name."""
        return self._addresses

    def find(self, hashed_name: str) -> StaticFile | None:
        """The file behind the last part of an address."""
        return self._files.get(hashed_name)

    def _take(self, name: str, trail: tuple[str, ...]) -> str:
        known = self._addresses.get(name)
        if known is not None:
            return known
        if name in trail:
            raise ConfigurationFault([f"static files import each other: {' '.join(trail)}"])
        body, suffix = self._raw[name], Path(name).suffix
        if suffix in _NAMES_OTHERS:
            body = _NAME.sub(lambda found: self._whole(found, (*trail, name)), body)
        digest = hashlib.sha256(body).hexdigest()[:_HASH_CHARACTERS]
        hashed = f"{Path(name).stem}.{digest}{suffix}"
        packed = None
        if suffix in _PACKED and len(body) >= _LEAST_PACKED_BYTES:
            packed = gzip.compress(body, 9, mtime=0)
        self._files[hashed] = StaticFile(TYPES[suffix], f'"{digest}"', body, packed)
        self._addresses[name] = PREFIX + hashed
        return self._addresses[name]

    def _whole(self, found: re.Match[bytes], trail: tuple[str, ...]) -> bytes:
        name = found[1].decode("ascii")
        if name not in self._raw:
            return found[0]
        return b"./" + self._take(name, trail).removeprefix(PREFIX).encode("ascii")
