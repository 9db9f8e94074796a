"""One outcome on its way from the pipeline to the ledger: a JSON array with fixed positions.

Refuses to interpret: the ledger's `post_outcomes` reads the same positions.
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from gateway.record import record

REQUEST_ID: Final = 0
KIND: Final = 1
KEY_ID: Final = 2
PRODUCT: Final = 3
COST_TOKENS: Final = 4
REPORTED_TOKENS: Final = 5
HELD_TOKENS: Final = 6
OUTCOME: Final = 7
RULE: Final = 8
HTTP_STATUS: Final = 9
ADMISSION_NO: Final = 10
ADMITTED_MS: Final = 11
DECIDED_MS: Final = 12
INSTANCE: Final = 13
FIELDS: Final = 14

CHARGE: Final = "charge"
VOID: Final = "void"


@record
class Event:
    """A decided request. `cost_tokens` is 0 for a void; `reported_tokens` None means unreported."""

    request_id: str
    kind: str
    key_id: int | None
    product: str
    cost_tokens: int
    reported_tokens: int | None
    held_tokens: int
    outcome: str
    rule: str
    http_status: int
    admission_no: int
    admitted_ms: int
    decided_ms: int
    instance: str

    def encode(self) -> bytes:
        """The JSON array of the contract."""
        return encoded(
            self.request_id,
            self.kind,
            self.key_id,
            self.product,
            self.cost_tokens,
            self.reported_tokens,
            self.held_tokens,
            self.outcome,
            self.rule,
            self.http_status,
            self.admission_no,
            self.admitted_ms,
            self.decided_ms,
            self.instance,
        )


def encoded(*values: str | int | None) -> bytes:
    """The array of an event's values in their order: what a request pays, without the object."""
    assert len(values) == FIELDS
    return orjson.dumps(values)


def decode(array: Sequence[Any]) -> Event:
    """The event of an array read back from a spool; ValueError when its shape is foreign."""
    if len(array) != FIELDS:
        raise ValueError(f"an event has {FIELDS} fields, not {len(array)}")
    return Event(*array)


def voided(event: bytes, outcome: str) -> bytes:
    """The same request as a void that costs nothing."""
    array = orjson.loads(event)
    array[KIND], array[COST_TOKENS] = VOID, 0
    array[OUTCOME], array[RULE] = outcome, "none"
    return orjson.dumps(array)
