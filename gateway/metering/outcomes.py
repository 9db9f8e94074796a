"""Who pays: the one table that the code uses and the documentation shows.

Refuses to know products or prices; it only says for each way that a request can end whether it is
charged and what it counts for in the windows.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Charge(Enum):
    """What of a request's usage is charged."""

    REPORTED = "the reported usage"
    PRODUCED = "what was produced up to then"
    OWN_COUNT = "the gateway's own count where input is what counts, else nothing and an alarm"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Ending:
    """One way to end: its public sentence, what is charged, and whether the windows keep it."""

    text: str
    charge: Charge
    counts_rpm: bool
    counts_tpm: bool


class Outcome(Enum):
    """Every way in which a request ends; the value is its name in the ledger and in metrics."""

    COMPLETE = "complete"
    COMPLETE_UNREPORTED = "complete_unreported"
    ANSWER_SAYS_ERROR = "answer_says_error"
    SERVICE_VOID = "service_void"
    SERVICE_REFUSED = "service_refused"
    SERVICE_FAILED = "service_failed"
    SERVICE_TIMEOUT = "service_timeout"
    SERVICE_BROKE_OFF = "service_broke_off"
    GATEWAY_DIED = "gateway_died"
    GATEWAY_FAILED = "gateway_failed"
    UNDELIVERED = "undelivered"
    CLIENT_LEFT_BEFORE = "client_left_before"
    CLIENT_LEFT_MIDWAY = "client_left_midway"
    BALANCE_ENDED = "balance_ended"
    CLIENT_BODY_FAILED = "client_body_failed"
    NO_KEY = "no_key"

    # Each request is looked up by it several times; that of Enum is written in Python.
    __hash__ = object.__hash__


WHO_PAYS: Final[dict[Outcome, Ending]] = {
    Outcome.COMPLETE: Ending("complete 2xx with usage", Charge.REPORTED, True, True),
    Outcome.COMPLETE_UNREPORTED: Ending("2xx without usage", Charge.OWN_COUNT, True, True),
    Outcome.ANSWER_SAYS_ERROR: Ending(
        "2xx whose body says error, is invalid or empty", Charge.NOTHING, True, False
    ),
    Outcome.SERVICE_VOID: Ending("the page failed or gave no content", Charge.NOTHING, True, False),
    Outcome.SERVICE_REFUSED: Ending("service 4xx after admission", Charge.NOTHING, True, False),
    Outcome.SERVICE_FAILED: Ending("service 5xx or connection error", Charge.NOTHING, True, False),
    Outcome.SERVICE_TIMEOUT: Ending("service too slow", Charge.NOTHING, True, False),
    Outcome.SERVICE_BROKE_OFF: Ending("answer cut or invalid", Charge.NOTHING, True, False),
    Outcome.GATEWAY_DIED: Ending("the gateway died", Charge.NOTHING, True, False),
    Outcome.GATEWAY_FAILED: Ending("the gateway failed", Charge.NOTHING, True, False),
    Outcome.UNDELIVERED: Ending(
        "decided, but the last byte was not handed over", Charge.NOTHING, True, False
    ),
    Outcome.CLIENT_LEFT_BEFORE: Ending(
        "client went away before the first body byte", Charge.NOTHING, True, False
    ),
    Outcome.CLIENT_LEFT_MIDWAY: Ending(
        "client went away in the middle of a stream", Charge.PRODUCED, True, True
    ),
    Outcome.BALANCE_ENDED: Ending(
        "balance ran out in the middle of a stream", Charge.PRODUCED, True, True
    ),
    Outcome.CLIENT_BODY_FAILED: Ending(
        "the request's body broke off or grew too large", Charge.NOTHING, True, False
    ),
    Outcome.NO_KEY: Ending("complete, without a key", Charge.NOTHING, True, True),
}


def may_charge(outcome: Outcome) -> bool:
    """Whether this ending can cost the customer anything."""
    return WHO_PAYS[outcome].charge is not Charge.NOTHING
