"""From a key's text to its id: a bounded cache in front of one query.

Refuses to remember status, tier or balance: those are read where the request is admitted, so that
a revocation is in force on every node at once. The cache holds HMACs, never keys.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, TypeVar

from gateway.keys.format import check_key, key_hmac, peppers
from gateway.ledger.book import Book

_MAX_CACHED: Final = 200_000
# An unknown key with a right checksum is a deleted database or an attack; both may ask again soon.
_UNKNOWN_S: Final = 5.0
_MAX_UNKNOWN: Final = 10_000
_NAME_BYTES: Final = 16
Value = TypeVar("Value")


class KeyStore:
    """Finds keys; `pepper` is the secret of the HMAC, `prefix` what each key begins with.

    Keys that were made under one of the `earlier` peppers are found as well.
    """

    def __init__(
        self, book: Book, pepper: bytes, prefix: str, earlier: Sequence[bytes] = ()
    ) -> None:
        self._book = book
        self._pepper = pepper
        self._earlier = earlier
        self._prefix = prefix
        self._known: dict[bytes, int] = {}
        # The same for keys in use, by a hash of this process that costs a third of the HMAC.
        self._named: dict[bytes, int] = {}
        self._salt = os.urandom(32)
        self._unknown: dict[bytes, float] = {}
        self._asking: dict[bytes, asyncio.Task[int | None]] = {}

    def hash(self, text: str) -> bytes:
        """What stands at rest for a key or an address."""
        return key_hmac(self._pepper, text)

    def known(self, key: str) -> int | None:
        """The id of a key that was found before; no I/O."""
        # A header's bytes beyond ASCII arrive as surrogates, which have no encoding to be hashed.
        if not key.isascii():
            return None
        name = blake2b(key.encode(), digest_size=_NAME_BYTES, key=self._salt).digest()
        key_id = self._named.get(name)
        if key_id is None:
            key_id = self._known.get(key_hmac(self._pepper, key))
            if key_id is not None:
                _bound(self._named, _MAX_CACHED)
                self._named[name] = key_id
        return key_id

    async def find(self, key: str) -> int | None:
        """The id of the key, None when there is none; raises PostgresUnavailable."""
        if not check_key(key, self._prefix):
            return None
        digest = key_hmac(self._pepper, key)
        if self._unknown.get(digest, 0.0) > time.monotonic():
            return None
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.create_task(self._ask(digest, key))
            task.add_done_callback(lambda done: self._answered(digest, done))
        # Shielded: the client that asked first may leave while others wait for the same key.
        return await asyncio.shield(task)

    async def _ask(self, digest: bytes, key: str) -> int | None:
        row = await self._book.find_key(digest)
        for pepper in self._earlier:
            if row is None:
                row = await self._book.find_key(key_hmac(pepper, key))
        if row is None:
            _bound(self._unknown, _MAX_UNKNOWN)
            self._unknown[digest] = time.monotonic() + _UNKNOWN_S
            return None
        self.remember(digest, row.key_id)
        return row.key_id

    def _answered(self, digest: bytes, task: "asyncio.Task[int | None]") -> None:
        self._asking.pop(digest, None)
        # If everybody who asked has left, nobody else looks at the fault.
        if not task.cancelled():
            task.exception()

    def remember(self, digest: bytes, key_id: int) -> None:
        """Keep what was found or has just been minted."""
        _bound(self._known, _MAX_CACHED)
        self._known[digest] = key_id
        self._unknown.pop(digest, None)


def key_store(book: Book, setting: str, prefix: str) -> KeyStore:
    """With the pepper of the setting and the earlier ones behind it."""
    pepper, *earlier = peppers(setting)
    return KeyStore(book, pepper, prefix, earlier)


def _bound(cache: dict[bytes, Value], most: int) -> None:
    if len(cache) >= most:
        # The oldest tenth goes: dictionaries keep the order of insertion.
        for digest in list(cache)[: most // 10]:
            del cache[digest]
