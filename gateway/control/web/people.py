"""Accounts, their keys, and what is used once to sign in, in PostgreSQL.

Refuses to know anything of a key but its id: who may put a key into an account is decided before.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.ledger.rows import BalanceRow, Refusal
from gateway.ledger.shelf import balance_of
from gateway.postgres import Postgres, Row

MOST_KEYS: Final = 100
_TICKET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Attempts:
    """How many attempts of a kind one address, or one mailbox, has in any window."""

    kind: str
    most: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Account:
    """A person."""

    account_id: str
    email: str | None
    language: str
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What a key may spend this UTC month (None: no bound of the owner's), and has spent."""

    monthly_tokens: int | None
    used_tokens: int


@dataclass(frozen=True, slots=True)
class OwnedKey:
    """A key in an account."""

    balance: BalanceRow
    name: str
    last_characters: str
    created_at_ms: int
    alert_percent: int | None
    alert_low_tokens: int | None
    budget: Budget


class People:
    """Reads and writes; `digest` makes what is at rest of a secret."""

    def __init__(
        self, postgres: Postgres, queries: Mapping[str, str], digest: Callable[[str], bytes]
    ) -> None:
        self._postgres = postgres
        self._queries = queries
        self._digest = digest

    async def attempt(self, attempts: Attempts, subject: str) -> int | None:
        """None if it is let through, else the seconds to wait."""
        hashed = self._digest(f"{attempts.kind} {subject}")
        wait: int | None = await self._postgres.value(
            self._queries["note_attempt"], hashed, attempts.most, attempts.window_s
        )
        return wait

    async def make_ticket(self, kind: str, email: str | None, life_s: int) -> str:
        """Something by which somebody can sign in once."""
        ticket = os.urandom(_TICKET_BYTES).hex()
        await self._postgres.value(
            self._queries["keep_ticket"], self._ticket(ticket), kind, email, life_s
        )
        return ticket

    async def use_ticket(self, ticket: str, kind: str) -> str | None:
        """The address that it was sent to ("" for none); None if it is worth nothing."""
        email: str | None = await self._postgres.value(
            self._queries["use_ticket"], self._ticket(ticket), kind
        )
        return email

    async def sign_in(self, provider: str, subject: str, email: str | None, language: str) -> str:
        """The account of who proved this identity."""
        account_id: str = await self._postgres.value(
            self._queries["sign_in"], provider, subject, email, language
        )
        return account_id

    async def account(self, account_id: str) -> Account | None:
        """An account."""
        row = await self._postgres.row(self._queries["account"], account_id)
        return None if row is None else Account(*row.values())

    async def keys(self, account_id: str) -> list[OwnedKey]:
        """The keys of an account, in the order in which they came."""
        rows = await self._postgres.rows(self._queries["account_keys"], account_id, None)
        return [_owned(row) for row in rows]

    async def key(self, account_id: str, key_id: int) -> OwnedKey | None:
        """One of them."""
        row = await self._postgres.row(self._queries["account_keys"], account_id, key_id)
        return None if row is None else _owned(row)

    async def add_key(self, account_id: str, key_id: int, name: str) -> bool:
        """Put a key into an account; False: it is full."""
        added: bool = await self._postgres.value(
            self._queries["add_account_key"], account_id, key_id, name, MOST_KEYS
        )
        return added

    async def set_key(
        self, account_id: str, key_id: int, name: str, percent: int | None, low_tokens: int | None
    ) -> bool:
        """Name and alerts."""
        known: bool = await self._postgres.value(
            self._queries["set_account_key"], account_id, key_id, name, percent, low_tokens
        )
        return known

    async def drop_key(self, account_id: str, key_id: int) -> bool:
        """Take a key out of an account."""
        known: bool = await self._postgres.value(
            self._queries["drop_account_key"], account_id, key_id
        )
        return known

    async def drop(self, account_id: str) -> None:
        """The account is no more."""
        await self._postgres.value(self._queries["drop_account"], account_id)

    async def speaks(self, account_id: str, language: str) -> None:
        """In which language letters are written."""
        await self._postgres.value(self._queries["set_account_language"], account_id, language)

    async def budget(self, key_id: int) -> Budget:
        """What a key may spend this month, and has."""
        row = await self._postgres.row(self._queries["key_budget"], key_id)
        assert row is not None, "one row, whatever is in it"
        return Budget(*row.values())

    async def set_budget(self, key_id: int, tokens: int | None) -> BalanceRow | Refusal:
        """In force in the ledger with the answer; Redis is to be told."""
        row = await self._postgres.row(self._queries["set_key_budget"], key_id, tokens)
        assert row is not None
        return balance_of(row) if row["refusal"] is None else Refusal(row["refusal"])

    def _ticket(self, ticket: str) -> bytes:
        return self._digest(f"ticket {ticket}")


def _owned(row: Row) -> OwnedKey:
    return OwnedKey(
        balance_of(row),
        row["name"],
        row["last_characters"],
        row["at_ms"],
        row["alert_percent"],
        row["alert_low_tokens"],
        Budget(row["monthly_tokens"], row["used_tokens"]),
    )
