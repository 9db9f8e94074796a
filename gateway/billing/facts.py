"""Everything that Stripe ever said of an order, merged, and the state that follows.

Merging takes the further of both for each thing by itself, so it is commutative, associative and
idempotent: looks and events in any order, any number of times, give the same facts.

    payment   open < pending < expired < failed < paid      money that came counts, whatever else
    refund    pending < settled < failed                     one that failed is no refund
    dispute   inquiry < open < lost < won                    lost stays, unless an appeal is won
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar


class Payment(IntEnum):
    """How far the payment is."""

    OPEN = 1
    PENDING = 2
    EXPIRED = 3
    FAILED = 4
    PAID = 5


class Refund(IntEnum):
    """How far a refund is; it counts from the moment it is asked for."""

    PENDING = 1
    SETTLED = 2
    FAILED = 3


class Dispute(IntEnum):
    """How far a dispute is."""

    INQUIRY = 1
    OPEN = 2
    LOST = 3
    WON = 4


_R = TypeVar("_R", Refund, Dispute)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was said. Amounts are minor units; `received_minor` is what came in.

    `mismatch` tells why the payment is not what the order asked for; empty when it is.
    """

    payment: Payment = Payment.OPEN
    received_minor: int = 0
    mismatch: str = ""
    refunds: Mapping[str, tuple[int, Refund]] = field(default_factory=dict)
    disputes: Mapping[str, tuple[int, Dispute]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """What follows for the order. `paid_minor` None: no tokens are due for what is known.

    `bad_disputes` suspend the key, `won_disputes` do not any more.
    """

    state: str
    paid_minor: int | None
    refunded_minor: int
    disputed_minor: int
    bad_disputes: tuple[str, ...]
    won_disputes: tuple[str, ...]


def merge(one: Facts, other: Facts) -> Facts:
    """What both say together."""
    return Facts(
        max(one.payment, other.payment),
        max(one.received_minor, other.received_minor),
        max(one.mismatch, other.mismatch),
        _merged(one.refunds, other.refunds),
        _merged(one.disputes, other.disputes),
    )


def _merged(
    one: Mapping[str, tuple[int, _R]], other: Mapping[str, tuple[int, _R]]
) -> dict[str, tuple[int, _R]]:
    found = dict(one)
    for name, (amount, how) in other.items():
        known = found.get(name, (amount, how))
        found[name] = (max(known[0], amount), max(known[1], how))
    return dict(sorted(found.items()))


def standing(facts: Facts, *, asked: bool) -> Standing:
    """The state of the order; `asked`: Stripe has made a session or a payment for it."""
    refunded = sum(amount for amount, how in facts.refunds.values() if how is not Refund.FAILED)
    counted = {Dispute.OPEN, Dispute.LOST}
    disputed = sum(amount for amount, how in facts.disputes.values() if how in counted)
    kinds = {how for _, how in facts.disputes.values()}
    if facts.payment is not Payment.PAID:
        state = facts.payment.name.lower()
        if facts.payment is Payment.OPEN:
            state = "awaiting" if asked else "created"
        return Standing(state, None, refunded, disputed, (), ())
    if facts.mismatch:
        back = facts.received_minor > 0 and refunded + disputed >= facts.received_minor
        state, paid = "returned" if back else "held", None
    else:
        state, paid = _paid_state(facts.received_minor, refunded, kinds), facts.received_minor
    return Standing(
        state,
        paid,
        refunded,
        disputed,
        tuple(name for name, (_, how) in facts.disputes.items() if how in counted),
        tuple(name for name, (_, how) in facts.disputes.items() if how is Dispute.WON),
    )


def _paid_state(received_minor: int, refunded_minor: int, kinds: set[Dispute]) -> str:
    if Dispute.OPEN in kinds:
        return "disputed"
    if Dispute.LOST in kinds:
        return "dispute_lost"
    if refunded_minor == 0:
        return "paid"
    return "refunded" if refunded_minor >= received_minor else "partly_refunded"


def encode(facts: Facts) -> dict[str, Any]:
    """For the order's row."""
    return {
        "payment": facts.payment.name.lower(),
        "received_minor": facts.received_minor,
        "mismatch": facts.mismatch,
        "refunds": {k: [a, how.name.lower()] for k, (a, how) in facts.refunds.items()},
        "disputes": {k: [a, how.name.lower()] for k, (a, how) in facts.disputes.items()},
    }


def decode(row: Mapping[str, Any]) -> Facts:
    """From the order's row; an empty one knows nothing."""
    if not row:
        return Facts()
    return Facts(
        Payment[row["payment"].upper()],
        row["received_minor"],
        row["mismatch"],
        {k: (a, Refund[how.upper()]) for k, (a, how) in row["refunds"].items()},
        {k: (a, Dispute[how.upper()]) for k, (a, how) in row["disputes"].items()},
    )
