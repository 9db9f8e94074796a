"""Who asks: the key in the Authorization header, else the client's address.

Below `/web/call` it is the session of a page of ours, and nothing else.

Refuses to say whether a key may still be used: status and balance are read at admission.
"""

from functools import lru_cache
from typing import Final, Protocol

from gateway.admission.scripts import tag_of
from gateway.edge import refusals
from gateway.edge.address import Addresses
from gateway.edge.authorization import extract_key
from gateway.edge.doors_of_web import CALL
from gateway.edge.exchange import Exchange
from gateway.errors import Problem
from gateway.keys.store import KeyStore
from gateway.products.product import Family
from gateway.record import record

_BY_SESSION: Final = f"{CALL}/"


class Callers(Protocol):
    """Who is signed in on our pages."""

    async def caller(self, exchange: Exchange) -> int | Problem:
        """The id of the key of the session that makes this call, or why there is none."""


@record
class Subject:
    """Whose limits and balance count. `text` is `k:<key id>` or `a:<address or IPv6 /64>`."""

    text: str
    tag: str
    key_id: int | None


class Identifier:
    """Finds the subject of a request."""

    def __init__(self, keys: KeyStore, addresses: Addresses, callers: Callers) -> None:
        self._keys = keys
        self._addresses = addresses
        self._callers = callers

    async def subject(
        self, exchange: Exchange, family: Family, *, needs_key: bool
    ) -> Subject | Problem:
        """The subject, or why it cannot be told; raises PostgresUnavailable on a cold key."""
        if exchange.target.startswith(_BY_SESSION):
            found = await self._callers.caller(exchange)
            return found if isinstance(found, Problem) else _subject(found)
        header = exchange.headers.get("Authorization")
        key = extract_key(header, family)
        if isinstance(key, Problem):
            return key
        if key is None:
            return refusals.missing_key() if needs_key else self.anonymous(exchange)
        key_id = self._keys.known(key)
        if key_id is None:
            key_id = await self._keys.find(key)
        if key_id is None:
            return refusals.invalid_key()
        return _subject(key_id)

    def at_once(self, exchange: Exchange, family: Family) -> Subject | None:
        """The same where it is known in memory; None: ask `subject`."""
        header = exchange.headers.get("Authorization")
        if header is None or exchange.target.startswith(_BY_SESSION):
            return None
        key = extract_key(header, family)
        key_id = self._keys.known(key) if isinstance(key, str) else None
        return None if key_id is None else _subject(key_id)

    def at_a_glance(self, key: str) -> str | None:
        """The subject of a key that is known in memory; asks nobody."""
        key_id = self._keys.known(key)
        return None if key_id is None else f"k:{key_id}"

    def anonymous(self, exchange: Exchange) -> Subject:
        """The subject of the client's address."""
        text = "a:" + self._addresses.client(exchange.peer, exchange.headers)
        return Subject(text, tag_of(text), None)


# The tag is a checksum and a format, the same for each request of a key.
@lru_cache(maxsize=20_000)
def _subject(key_id: int) -> Subject:
    text = f"k:{key_id}"
    return Subject(text, tag_of(text), key_id)
