"""What the ledger answers: frozen records, and refusals as values.

Refuses to know how any of it is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.errors import Fault
from gateway.record import record


@record
class BalanceRow:
    """The newest state of a key, as the gate copies it: a higher `version` wins.

    `trial` and `paid` are tokens that are left. `status` is active, suspended or revoked, `tier`
    key or premium. `limits` has only what was set for this key:
    product -> {"rpm" | "tpm" | "concurrency" | "shadow_rpm" | ...: int or None}.
    """

    key_id: int
    version: int
    trial: int
    paid: int
    status: str
    tier: str
    limits: Mapping[str, Mapping[str, int | None]]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What never changes about a key; never its status or balance."""

    key_id: int
    created_at_ms: int


class Refusal(StrEnum):
    """Why a change of a key was not made; the closed set, in order of precedence."""

    UNKNOWN_KEY = "UNKNOWN_KEY"
    REF_USED_OTHERWISE = "REF_USED_OTHERWISE"
    REVOKED = "REVOKED"
    TOO_MUCH = "TOO_MUCH"
    NOT_A_STATUS = "NOT_A_STATUS"


class DeedRefusal(StrEnum):
    """Why an owner's transfer or revocation was not made; the closed set.

    UNKNOWN_KEY is the receiver's, where the sender is known to be there.
    """

    UNKNOWN_KEY = "UNKNOWN_KEY"
    REF_USED_OTHERWISE = "REF_USED_OTHERWISE"
    SAME_KEY = "SAME_KEY"
    REVOKED = "REVOKED"
    SUSPENDED = "SUSPENDED"
    RECEIVER_NOT_ACTIVE = "RECEIVER_NOT_ACTIVE"
    NOT_PREMIUM = "NOT_PREMIUM"
    RECEIVER_NOT_PREMIUM = "RECEIVER_NOT_PREMIUM"
    NOT_ENOUGH = "NOT_ENOUGH"
    NOTHING_TO_MOVE = "NOTHING_TO_MOVE"
    TOO_MUCH = "TOO_MUCH"


@dataclass(frozen=True, slots=True)
class Deed:
    """A transfer or revocation that was made: `tokens` went to the receiver, `forfeited` are gone.

    The rows are those of right afterwards. `again`: it was made before, and is only told again.
    """

    tokens: int
    forfeited: int
    again: bool
    sender: BalanceRow
    receiver: BalanceRow | None


@dataclass(frozen=True, slots=True)
class MintRefused:
    """The address has minted as many keys as it may in 24 hours; `retry_after_s` is exact."""

    retry_after_s: int


class OutcomesRefused(Fault):
    """PostgreSQL refused a batch of outcomes for what is in it; nothing of it was posted.

    `sqlstate` SL001: a key that does not exist; SL002: a month that can't be; else an event is
    malformed. Repeating it does not help.
    """

    def __init__(self, sqlstate: str, detail: str) -> None:
        super().__init__(f"{detail} ({sqlstate})")
        self.sqlstate = sqlstate


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key as its owner and an operator see it; the key itself is nowhere."""

    key_id: int
    last_characters: str
    owner: str
    created_at_ms: int
    balance: BalanceRow


@dataclass(frozen=True, slots=True)
class Receipt:
    """Tokens that came to a key: granted, bought or given. `bucket` is trial or paid."""

    kind: str
    bucket: str
    tokens: int
    posted_ms: int


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What ended on one UTC day; `day` is YYYY-MM-DD.

    `day` or `product` is None where the question did not group by it. `requests` counts all
    that ended, charged or not; `tokens` is what was taken, less what was given back.
    """

    day: str | None
    product: str | None
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class RequestRow:
    """How one request ended. `kind` is charge or void; times are unix ms.

    `reported_tokens` None: the service reported none. `given_back_tokens` is what was returned
    because the answer did not reach its client.
    """

    request_id: str
    product: str
    kind: str
    outcome: str
    rule: str
    http_status: int
    cost_tokens: int
    from_trial: int
    from_paid: int
    shortfall: int
    given_back_tokens: int
    reported_tokens: int | None
    held_tokens: int
    admitted_ms: int
    decided_ms: int


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A gateway process as the ledger knows it."""

    instance: str
    beat_age_ms: int
    complete_below: int
    stopped: bool
    drained: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """What the proof does not forbid but an operator wants to see.

    `shortfall_tokens`: charged but not there to take, ever. `contradictions`: outcomes that came
    again saying something else, and refunds of what was never posted. The outbox: changed keys of
    which Redis may have an older copy.
    """

    shortfall_tokens: int
    contradictions: int
    outbox_keys: int
    outbox_age_ms: int


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the proof: it holds iff `differences` is 0; `sample` shows the first few.

    `fault`: why it did not come to its end, which proves nothing. `note`: what it did not look at.
    """

    name: str
    differences: int
    sample: tuple[Mapping[str, int | str | None], ...] = ()
    fault: str = ""
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether it came to its end and found nothing."""
        return not self.differences and not self.fault
