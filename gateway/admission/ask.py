"""Words of admission: what is asked of the gate, what it decides, what is held.

Refuses to decide: `model` and the scripts do that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.products.product import Limits
from gateway.record import record

TAGS: Final = 256
# Numbers up to here are exact in Lua (doubles). A larger balance is clamped in Redis' copy only.
MAX_COPY_TOKENS: Final = 2**53 - 1


class Code(IntEnum):
    """What the gate decided, in the order of precedence of the refusals."""

    ADMITTED = 0
    ALREADY_HELD = 1
    BALANCE_NOT_LOADED = 2
    REVOKED = 3
    SUSPENDED = 4
    NEVER_FITS = 5
    BALANCE_TOO_LOW = 6
    RPM = 7
    TPM = 8
    CONCURRENCY = 9
    # Of a process that decides alone, while Redis is away: its part of something is used up.
    CAPPED_RATE = 10
    CAPPED_PLACES = 11
    CAPPED_BALANCE = 12


@record
class Ask:
    """One request before the gate.

    `tpm_cost` and `hold_tokens` are upper bounds. `keyed` False: no balance is looked at, and
    `limits_key` are the limits. With a key the script takes `limits_key` or `limits_premium`
    by the tier in the balance copy, each field overridden by the key's own limits.
    """

    subject: str
    tag: str
    product: str
    request_id: str
    limits_key: Limits
    limits_premium: Limits
    tpm_cost: int
    hold_tokens: int
    deadline_ms: int
    instance: str
    admission_no: int
    keyed: bool


@record
class Decision:
    """The gate's answer, with the state that it was decided on.

    `retry_after_ms` is exact for RPM and TPM, and 0 where waiting is not the point. Remaining
    numbers count this request if it was admitted. `limit_tokens` None: tokens are not limited.
    `oldest_expiry_ms`: until the oldest entry of the request window dies, 0 for an empty one;
    `oldest_tokens_expiry_ms` the same of the token window. `now_us`: the store's clock.
    Where the key is not loaded, revoked or suspended, all numbers but `now_us` are 0.
    `degraded`: decided by this process alone, as Redis did not answer. `shadow`: what limits that
    are only tried say of an admitted request (`tried`); 0 where there are none.
    """

    code: Code
    retry_after_ms: int
    limit_requests: int
    remaining_requests: int
    limit_tokens: int | None
    remaining_tokens: int
    remaining_balance: int
    oldest_expiry_ms: int
    oldest_tokens_expiry_ms: int
    now_us: int
    tier: str
    degraded: bool = False
    shadow: int = 0


SHADOW_DIMENSIONS: Final = ("rpm", "tpm", "concurrency")
_REFUSES: Final = 8


def tried(shadow: int) -> tuple[tuple[str, ...], str | None]:
    """The dimensions that a shadow has looked at, and the one that would have refused."""
    looked = tuple(name for n, name in enumerate(SHADOW_DIMENSIONS) if shadow >> n & 1)
    refused = shadow // _REFUSES
    return looked, SHADOW_DIMENSIONS[refused - 1] if refused else None


class Grant(IntEnum):
    """What became of a wish to hold more for a request that runs."""

    GRANTED = 0
    GONE = 1
    BALANCE_NOT_LOADED = 2
    REVOKED = 3
    SUSPENDED = 4
    BALANCE_TOO_LOW = 5
    CAPPED = 6


@record
class Extension:
    """`hold_tokens` is what is held now, granted or not; `free_tokens` what no hold covers."""

    grant: Grant
    hold_tokens: int
    free_tokens: int


@record
class Settlement:
    """A decided request. `actual_tpm` None: the window stays as it is.

    `cost_tokens` stay held until the outcome is in the ledger and the request is settled.
    """

    subject: str
    tag: str
    product: str
    request_id: str
    actual_tpm: int | None
    cost_tokens: int = 0


@record
class Hold:
    """Tokens set aside for a request that has not ended. `subject` is `k:<key>` or `a:<addr>`."""

    request_id: str
    subject: str
    product: str
    hold_tokens: int
    instance: str
    admission_no: int
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left of one product's limits, and ms until the oldest entry dies (0: none)."""

    product: str
    limit_requests: int
    remaining_requests: int
    requests_reset_ms: int
    limit_tokens: int | None
    remaining_tokens: int
    tokens_reset_ms: int
    open_requests: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What Redis knows of a subject. `version` None: no balance copy. `open_requests` in all."""

    version: int | None
    trial: int
    paid: int
    status: str
    tier: str
    held_tokens: int
    open_requests: int
    products: Mapping[str, Remaining]
