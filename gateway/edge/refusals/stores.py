"""Refusals because a store or the disk is away: what is broken, in a client's words.

All are SERVICE_DEGRADED: a client can do nothing but come again, whichever it is. None was charged
and none counts in a window.
"""

from typing import Final

from gateway.errors import Problem
from gateway.units import MS_PER_S

_CODE: Final = "SERVICE_DEGRADED"


def _away(detail: str, retry_after_ms: int) -> Problem:
    return Problem(_CODE, 503, detail, retry_after_ms)


def key_not_known_now(retry_after_ms: int = MS_PER_S) -> Problem:
    """The ledger is away, and this node has neither met the key nor has a copy of its balance."""
    detail = (
        "The ledger does not answer at the moment, and nothing is known here of this key or its "
        "balance; nothing was charged, please retry"
    )
    return _away(detail, retry_after_ms)


def ledger_away(retry_after_ms: int = MS_PER_S) -> Problem:
    """A call about money or a key, which only the ledger can answer."""
    detail = (
        "The ledger does not answer at the moment, so nothing about keys or money can be read or "
        "changed; nothing was done, please retry"
    )
    return _away(detail, retry_after_ms)


def stores_away(retry_after_ms: int = MS_PER_S) -> Problem:
    """Both stores are away: nothing can be checked, nothing is let in on trust."""
    detail = (
        "Neither limits nor balances can be checked at the moment: both stores of this service "
        "are away. Nothing was done and nothing was charged, please retry"
    )
    return _away(detail, retry_after_ms)


def disk_short(retry_after_ms: int = 5 * MS_PER_S) -> Problem:
    """The disk is nearly full and the ledger is away, to which it would be emptied."""
    detail = (
        "The ledger does not answer and there is little room to keep what would be charged, so "
        "no request with a key is let in at the moment; nothing was charged, please retry"
    )
    return _away(detail, retry_after_ms)


def disk_away(retry_after_ms: int = MS_PER_S) -> Problem:
    """The disk takes no outcomes: nothing is let in that could not be accounted for."""
    detail = (
        "The disk of this node takes no records at the moment, so nothing is let in; nothing was "
        "charged, please retry"
    )
    return _away(detail, retry_after_ms)


def repeat_not_known_now(retry_after_ms: int = MS_PER_S) -> Problem:
    """The ledger is away, which knows what was done under an Idempotency-Key."""
    detail = (
        "The ledger, which knows what was done under this Idempotency-Key, does not answer at the "
        "moment; nothing was done and nothing was charged, please retry"
    )
    return _away(detail, retry_after_ms)


def revocation_not_taken(retry_after_ms: int = MS_PER_S) -> Problem:
    """The ledger is away, and so is Redis or the disk of the journal."""
    detail = (
        "Neither the ledger nor what stands in for it can be told at the moment, so the key was "
        "not revoked and goes on working where it is known; nothing was done, please repeat it"
    )
    return _away(detail, retry_after_ms)
