"""A key that its owner ends while the ledger is away: 202, and from then on nobody admits it.

Refuses to tell what is forfeited: only the ledger knows, and it learns of it later.
"""

from typing import Final

from gateway.control.call import Reply
from gateway.control.desk_parts import DeskParts
from gateway.edge import refusals
from gateway.errors import Problem, RedisUnavailable, SpoolUnavailable
from gateway.keys.format import format_key_id
from gateway.metering.revocations import REVOKED, Taken

_NOTE: Final = (
    "The key is refused from now on, on every node and for ever. The ledger does not answer at the "
    "moment; what is left of the balance is forfeited when it does. Nothing has to be repeated"
)


async def without_ledger(parts: DeskParts, key_id: int) -> Reply | Problem:
    """Tell Redis and the journal of this node; 503 when either cannot be told."""
    try:
        taken = await parts.revocations.take(key_id)
    except (RedisUnavailable, SpoolUnavailable):
        parts.telemetry.degraded.labels("revocation_refused").inc()
        return refusals.revocation_not_taken()
    if taken is Taken.BEFORE:
        return refusals.revoked()
    parts.telemetry.degraded.labels("revocation_journaled").inc()
    document = {
        "key_id": format_key_id(key_id),
        "status": REVOKED,
        "moved_tokens": 0,
        "forfeited_tokens": None,
        "note": _NOTE,
    }
    return Reply(202, document)
