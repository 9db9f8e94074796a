"""The kinds of `sluice_degraded_decisions`, each with what was decided.

Refuses a kind that is not here: whoever reads the number looks it up in this list.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

DEGRADED_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "local_limits": "no key, Redis away: decided by this process's share of the limits",
        "local_money": "key, Redis away: decided on the ledger's row and this process's share",
        "local_capped": "key, Redis away: 503, as the local share is used up",
        "limits_away": "503: limits or holds cannot be looked at while Redis is away",
        "unknown_key": "503: PostgreSQL away, and nothing known here of the key or its balance",
        "unknown_repeat": "503: PostgreSQL away, which knows what an Idempotency-Key was used for",
        "ledger_away": "503 of a call about keys or money: PostgreSQL away",
        "no_ledger_no_redis": "503: both stores away",
        "revocation_journaled": "202: PostgreSQL away, a key revoked in Redis and in the journal",
        "revocation_refused": "503: nobody could be told of a revocation, nothing was done",
        "disk_short": "503 of a request with a key: little disk, and PostgreSQL away",
        "disk_full": "503: the disk takes no outcomes",
        "shed": "503: the event loop is late",
        "breaker_open": "503: the service of the product fails and is not asked for a while",
        "service_full": "503: as many requests of one service run here as may at once",
    }
)
