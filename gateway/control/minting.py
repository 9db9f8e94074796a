"""`POST /v1/keys`: a trial key, limited per address, shown this once.

Refuses to log or store the key; what is kept is its HMAC, its last characters, and an HMAC of the
address.
"""

import os

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
from gateway.ledger.rows import MintRefused
from gateway.units import MS_PER_S


async def mint(parts: DeskParts, call: Call) -> Reply | Problem:
    """A new key with its trial grant; 429 with the exact wait when the address had enough."""
    key = make_key(os.urandom(RANDOM_BYTES), parts.settings.key_prefix)
    key_id = key_id_from_random(os.urandom(8))
    address = parts.identifier.anonymous(call.exchange).text
    digest = parts.keys.hash(key)
    per_day = parts.settings.keys_per_address
    grant = parts.catalogue.limits.free_trial_tokens
    row = await parts.book.mint(
        key_id, digest, last_characters(key), parts.keys.hash(address), grant, per_day
    )
    if isinstance(row, MintRefused):
        return refusals.too_many_new_keys(per_day, row.retry_after_s * MS_PER_S)
    parts.keys.remember(digest, key_id)
    document = {
        "api_key": key,
        "key_id": format_key_id(key_id),
        "tier": row.tier,
        "balance": {"trial": row.trial, "paid": row.paid, "total": row.trial + row.paid},
    }
    return Reply(201, document)
