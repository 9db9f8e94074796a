"""Rows of the ledger in memory, and the rules that need no more than rows."""

from dataclasses import dataclass, field
from typing import Any

import orjson

MOST = 2**53 - 1


class Refused(Exception):
    """A statement was refused; nothing of it was done."""

    def __init__(self, sqlstate: str, detail: str) -> None:
        super().__init__(detail)
        self.sqlstate = sqlstate
        self.detail = detail


@dataclass(slots=True)
class Key:
    """A row of key_balance, and what the keys table has of it."""

    key_id: int
    hmac: bytes = b""
    version: int = 0
    seq: int = 0
    trial: int = 0
    paid: int = 0
    status: str = "active"
    tier: str = "key"
    limits: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        return {
            "key_id": self.key_id,
            "version": self.version,
            "trial": self.trial,
            "paid": self.paid,
            "status": self.status,
            "tier": self.tier,
            "limits": orjson.dumps(self.limits).decode(),
        }

    def move(self, trial: int, paid: int) -> None:
        assert self.trial + trial >= 0 <= self.paid + paid, "a balance below zero"
        self.trial += trial
        self.paid += paid
        self.seq += 1
        self.version += 1


@dataclass(frozen=True, slots=True)
class Posted:
    """A row of outcome."""

    event: tuple[Any, ...]
    kind: str
    key_id: int | None
    cost: int
    from_trial: int
    from_paid: int
    shortfall: int
    number: int
    instance: str


@dataclass(slots=True)
class Instance:
    """A row of instance; `beat_s` in the server's time."""

    beat_s: float
    complete_below: int = 1
    unused: frozenset[int] = frozenset()
    stopped: bool = False
    drained: bool = False


def id_of(key: Key | None) -> int | None:
    return None if key is None else key.key_id


def deed(
    refusal: str | None,
    tokens: int = 0,
    forfeited: int = 0,
    sender: Key | None = None,
    receiver: Key | None = None,
) -> dict[str, Any]:
    return {
        "refusal": refusal,
        "tokens": tokens,
        "forfeited": forfeited,
        "again": False,
        "sender": None if sender is None else sender.row(),
        "receiver": None if receiver is None else receiver.row(),
    }


def transfer_refusal(
    one: Key | None, other: Key | None, tokens: int | None, most: int
) -> str | None:
    if one is None or other is None:
        return "UNKNOWN_KEY"
    movable = min(one.paid, most)
    wanted = movable if tokens is None else tokens
    reasons = (
        (one is other, "SAME_KEY"),
        (one.status == "revoked", "REVOKED"),
        (one.status != "active", "SUSPENDED"),
        (other.status != "active", "RECEIVER_NOT_ACTIVE"),
        (one.tier != "premium", "NOT_PREMIUM"),
        (other.tier != "premium", "RECEIVER_NOT_PREMIUM"),
        (tokens is not None and tokens > movable, "NOT_ENOUGH"),
        (wanted < 1, "NOTHING_TO_MOVE"),
        (wanted > MOST - other.trial - other.paid, "TOO_MUCH"),
    )
    return next((name for holds, name in reasons if holds), None)
