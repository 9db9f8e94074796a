"""`POST /v1/keys`: a trial key, limited per address, shown this once.

Refuses to log or store the key; what is kept is its HMAC, its last characters, and an HMAC of the
address.
"""

import os
from dataclasses import dataclass, field
from typing import Any

from gateway.control.call import Call, Reply
from gateway.control.desk_parts import DeskParts
from gateway.edge import refusals
from gateway.errors import Problem
from gateway.keys.format import (
    RANDOM_BYTES,
    format_key_id,
    key_id_from_random,
    last_characters,
    make_key,
)
from gateway.keys.store import KeyStore
from gateway.ledger.rows import BalanceRow, MintRefused
from gateway.units import MS_PER_S


@dataclass(frozen=True, slots=True)
class FreshKey:
    """A key that nobody has yet; not in its repr."""

    key: str = field(repr=False)
    key_id: int
    digest: bytes = field(repr=False)

    @property
    def words(self) -> tuple[int, bytes, str]:
        """What the ledger keeps of it."""
        return self.key_id, self.digest, last_characters(self.key)


def new_key(keys: KeyStore, prefix: str) -> FreshKey:
    """A key and an id from the machine's randomness."""
    key = make_key(os.urandom(RANDOM_BYTES), prefix)
    return FreshKey(key, key_id_from_random(os.urandom(8)), keys.hash(key))


def minted_document(fresh: FreshKey, row: BalanceRow) -> dict[str, Any]:
    """The one reply that has the key in it."""
    return {
        "api_key": fresh.key,
        "key_id": format_key_id(fresh.key_id),
        "tier": row.tier,
        "balance": {"trial": row.trial, "paid": row.paid, "total": row.trial + row.paid},
    }


async def mint(parts: DeskParts, call: Call) -> Reply | Problem:
    """A new key with its trial grant; 429 with the exact wait when the address had enough."""
    per_day = parts.settings.keys_per_address
    if per_day == 0:
        # Waiting would not help, so no Retry-After may say that it does.
        return Problem("TRIAL_KEYS_CLOSED", 403, "This installation gives out no trial keys")
    fresh = new_key(parts.keys, parts.settings.key_prefix)
    address = parts.keys.hash(parts.identifier.anonymous(call.exchange).text)
    grant = parts.catalogue.limits.free_trial_tokens
    row = await parts.book.mint(*fresh.words, address, grant, per_day)
    if isinstance(row, MintRefused):
        return refusals.too_many_new_keys(per_day, row.retry_after_s * MS_PER_S)
    parts.keys.remember(fresh.digest, fresh.key_id)
    return Reply(201, minted_document(fresh, row))
