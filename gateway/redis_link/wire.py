"""Words of the Redis protocol: commands as bytes, cluster slots, scripts, and where a URL points.

Refuses to talk: bytes in, bytes out.
"""

import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

SLOTS: Final = 16_384
DEFAULT_PORT: Final = 6_379
LOOPBACK: Final = "127.0.0.1"

Word = bytes | str | int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one server listens, and what it wants to be told first. `path` set: a unix socket."""

    host: str
    port: int
    path: str | None = None
    db: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    def at(self, host: str, port: int) -> "Endpoint":
        """Another node of the same cluster: same credentials, another address."""
        return Endpoint(
            host or self.host or LOOPBACK, port, None, 0, self.user, self.password, self.tls
        )

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name by which the server knows it."""

    text: bytes
    sha: bytes

    @classmethod
    def of(cls, text: str) -> "Script":
        """The script of this Lua source."""
        raw = text.encode()
        return cls(raw, hashlib.sha1(raw, usedforsecurity=False).hexdigest().encode())

    def load(self) -> bytes:
        """The command that makes a server know it."""
        return encode("SCRIPT", "LOAD", self.text)

    def call(self, keys: tuple[Word, ...], arguments: tuple[Word, ...]) -> bytes:
        """The command that runs it."""
        return encode("EVALSHA", self.sha, len(keys), *keys, *arguments)


def encode(*words: Word) -> bytes:
    """One command as the server reads it: an array of byte strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def crc16(text: bytes) -> int:
    """CRC-16/XMODEM, the checksum that Redis Cluster divides its key space by."""
    return binascii.crc_hqx(text, 0)


def slot_of(key: str) -> int:
    """The cluster slot of a key: of the part in its first braces, if that part is not empty."""
    raw = key.encode()
    start = raw.find(b"{")
    if start >= 0:
        end = raw.find(b"}", start + 1)
        if end > start + 1:
            raw = raw[start + 1 : end]
    return crc16(raw) % SLOTS


def read_urls(url: str) -> tuple[Endpoint, ...]:
    """The same for `redis://[user:password@]a:port,b:port/0`: several servers of one cluster.

    Raises ValueError as `read_url` does.
    """
    scheme, middle, rest = url.partition("://")
    netloc = rest.split("/")[0].split("?")[0]
    user, at, hosts = netloc.rpartition("@")
    tail = rest.removeprefix(netloc)
    return tuple(read_url(f"{scheme}{middle}{user}{at}{host}{tail}") for host in hosts.split(","))


def read_url(url: str) -> Endpoint:
    """Where `unix:///path?db=0`, `redis://[user:password@]host:port/db` or rediss:// points.

    Raises ValueError when the URL has another scheme or a part that cannot be read.
    """
    parts = urlsplit(url)
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.scheme == "unix":
        db = int(parse_qs(parts.query).get("db", ["0"])[0])
        return Endpoint("", 0, unquote(parts.path), db, user, password)
    if parts.scheme not in ("redis", "rediss"):
        raise ValueError(f"a Redis URL begins with redis:, rediss: or unix:, not {url!r}")
    db = int(parts.path.strip("/") or 0)
    host = parts.hostname or LOOPBACK
    port = parts.port or DEFAULT_PORT
    return Endpoint(host, port, None, db, user, password, parts.scheme == "rediss")
