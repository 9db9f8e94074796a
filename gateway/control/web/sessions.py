"""Who is signed in: sessions in PostgreSQL, known by a cookie of which only a hash is at rest.

1. A session is a key, an account, or an account with one of its keys.
2. It ends 12 hours after it was seen last, and 7 days after it began at the latest.
3. Its CSRF token is derived from the cookie, so that nobody can ask for it who has not the cookie.

Refuses to be taken along: signing in always makes a new session.
"""

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from gateway.control.web import refusals
from gateway.control.web.cookies import HOST_SESSION, SESSION, cookie, is_same_origin
from gateway.edge.exchange import Exchange
from gateway.errors import Problem
from gateway.postgres import Postgres

IDLE_S: Final = 12 * 3_600
MOST_S: Final = 7 * 24 * 3_600
CSRF_HEADER: Final = "X-Csrf-Token"
_TOKEN_BYTES: Final = 32
_TOKEN_CHARACTERS: Final = 2 * _TOKEN_BYTES


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in. `token` is the cookie, never at rest and not in the repr."""

    token: str = field(repr=False)
    account_id: str | None
    key_id: int | None
    email: str | None

    @property
    def csrf(self) -> str:
        """What a page of ours sends along with each write."""
        return hmac.digest(self.token.encode(), b"csrf", sha256).hex()


class Sessions:
    """Opens, finds and ends sessions. `digest` makes what is at rest of a secret."""

    def __init__(
        self, postgres: Postgres, queries: Mapping[str, str], digest: Callable[[str], bytes]
    ) -> None:
        self._postgres = postgres
        self._queries = queries
        self._digest = digest

    async def open(self, account_id: str | None, key_id: int | None, email: str | None) -> Session:
        """A new session of somebody who has proved who he is."""
        session = Session(os.urandom(_TOKEN_BYTES).hex(), account_id, key_id, email)
        await self._postgres.value(
            self._queries["open_session"], self._hash(session.token), account_id, key_id
        )
        return session

    async def find(self, exchange: Exchange) -> Session | None:
        """The session of the browser that asks."""
        token = cookie(exchange, HOST_SESSION) or cookie(exchange, SESSION)
        if token is None or len(token) != _TOKEN_CHARACTERS or not token.isalnum():
            return None
        row = await self._postgres.row(
            self._queries["touch_session"], self._hash(token), IDLE_S, MOST_S
        )
        if row is None:
            return None
        return Session(token, row["account_id"], row["key_id"], row["email"])

    async def choose(self, session: Session, key_id: int | None) -> bool:
        """Look at another key of the account, or at none; False: it is not the account's."""
        chosen: bool = await self._postgres.value(
            self._queries["choose_session_key"], self._hash(session.token), key_id
        )
        return chosen

    async def close(self, session: Session | None) -> None:
        """The cookie is worth nothing from now on."""
        if session is not None:
            await self._postgres.value(self._queries["close_session"], self._hash(session.token))

    async def caller(self, exchange: Exchange) -> int | Problem:
        """The key of a product call that a page of ours makes; see `edge.identify`."""
        session = await self.find(exchange)
        if session is None:
            return refusals.session_needed()
        if not may_write(exchange, session):
            return refusals.foreign_origin()
        return refusals.key_needed() if session.key_id is None else session.key_id

    def _hash(self, token: str) -> bytes:
        return self._digest(f"session {token}")


def may_write(exchange: Exchange, session: Session) -> bool:
    """Whether the call has the token, and comes from no other origin if it says from which."""
    given = exchange.headers.get(CSRF_HEADER, "").encode("utf-8", "replace")
    if not hmac.compare_digest(given, session.csrf.encode()):
        return False
    return "Origin" not in exchange.headers or is_same_origin(exchange)
